// What services stand on: networks and volumes; and containers of services that have gone.
#include <unistd.h>

#include "apps/berth/commands/prompt.h"
#include "apps/berth/compose/config_hash.h"
#include "apps/berth/compose/converge.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::path_of;

/// Keys of the volumes that it mounts.
std::set<std::string> volumes_of(const Service& service) {
  std::set<std::string> keys;
  const Value* volumes = service.config.find("volumes");
  for (const Value& volume : volumes == nullptr ? Value::List() : volumes->items) {
    const Value* source = volume.find("source");
    if (source != nullptr && volume.find("type")->text == "volume") keys.insert(source->text);
  }
  return keys;
}

}  // namespace

std::set<std::string> Converger::used_networks() const {
  std::set<std::string> used;
  if (options_.all_resources) {
    for (const auto& [key, network] : session_.project.networks) used.insert(key);
    return used;
  }
  for (const std::string& name : names_) {
    const Value* networks = session_.project.services.at(name).config.find("networks");
    if (networks == nullptr) continue;
    for (const auto& [key, settings] : networks->members) used.insert(key);
  }
  return used;
}

Outcome<void> Converger::make_networks() {
  auto engine = session_.client();
  for (const std::string& key : used_networks())
    CHECK(make_network(session_.project.networks.at(key), *engine));
  return {};
}

Outcome<void> Converger::make_network(const Resource& network, client::Client& engine) {
  auto found = call_json(engine, "GET", path_of("networks", network.name));
  if (!found && !found.error().not_found()) return found.error();
  std::vector<Observed> users;
  if (network.external) {
    if (found) return {};
    return Failure::plain(
        fmt::format("network {} declared as external, but could not be found", network.name));
  }
  if (found) {
    const Json* labels = json_member(*found, "Labels");
    auto label = [&](std::string_view key) {
      return labels == nullptr ? std::string() : json_string(*labels, key).value_or("");
    };
    if (label(label_project) != session_.project.name) {
      session_.report.warn(
          fmt::format("a network with name {} exists but was not created for project \"{}\". "
                      "Set `external: true` to use an existing network",
                      network.name, session_.project.name));
      return {};
    }
    if (label(label_hash) == network_hash(network) || label(label_hash).empty()) return {};
    TRY(users, empty_network(network, engine));
    CHECK(call(engine, "DELETE", path_of("networks", network.name)));
    session_.report.tell("Network", network.name, "Removed");
  }
  TRY(Json body, network_body(session_.project, network));
  session_.report.tell("Network", network.name, "Creating");
  auto made = call(engine, "POST", "/networks/create", {}, to_json(body));
  // Another `up` of the same project may have been faster.
  if (!made && made.error().http_status != 409) return made.error();
  session_.report.tell("Network", network.name, "Created");
  note({Done::What::NetworkMade, network.name, network.name});
  return connect_again(network, users, engine);
}

Outcome<std::vector<Observed>> Converger::empty_network(const Resource& network, client::Client& engine) {
  std::vector<Observed> users;
  for (Observed& container : before_) {
    auto service = session_.project.services.find(container.service);
    const Value* networks =
        service == session_.project.services.end() ? nullptr : service->second.config.find("networks");
    if (networks == nullptr || !networks->has(network.key)) continue;
    CHECK(stop_container(session_, engine, container, options_.timeout));
    if (container.running()) container.state = "exited";
    if (!container.networks.contains(network.name)) continue;
    CHECK(call(engine, "POST", path_of("networks", network.name, "disconnect"), {},
               to_json(Json{{"Container", container.id}, {"Force", true}})));
    users.push_back(container);
  }
  return users;
}

/// Their files are kept: only what they are connected to is new.
Outcome<void> Converger::connect_again(const Resource& network, const std::vector<Observed>& containers,
                                       client::Client& engine) {
  for (const Observed& container : containers) {
    const Service& service = session_.project.services.at(container.service);
    const Value* settings = service.config.find("networks")->find(network.key);
    TRY(Json endpoint, endpoint_body(session_.project, service, settings,
                                     {.number = container.number, .container_of = container_of()}));
    CHECK(call(engine, "POST", path_of("networks", network.name, "connect"), {},
               to_json(Json{{"Container", container.id}, {"EndpointConfig", std::move(endpoint)}})));
  }
  return {};
}

Outcome<void> Converger::remove_users(const std::function<bool(const Service&)>& uses) {
  auto engine = session_.client();
  for (const Observed& container : before_) {
    auto service = session_.project.services.find(container.service);
    if (service == session_.project.services.end() || !uses(service->second)) continue;
    CHECK(stop_container(session_, *engine, container, options_.timeout));
    CHECK(remove_container(session_, *engine, container, false));
    containers_.erase(container.service);
  }
  TRY(before_, session_.containers());
  return {};
}

Outcome<void> Converger::make_volumes() {
  std::set<std::string> used;
  for (const std::string& name : names_) used.merge(volumes_of(session_.project.services.at(name)));
  if (options_.all_resources)
    for (const auto& [key, volume] : session_.project.volumes) used.insert(key);
  auto engine = session_.client();
  for (const std::string& key : used) CHECK(make_volume(session_.project.volumes.at(key), *engine));
  return {};
}

/// A volume holds data: it is made anew only where somebody says so.
Outcome<bool> Converger::is_to_be_recreated(const Resource& volume, const Json& found) {
  const Json* labels = json_member(found, "Labels");
  std::string project, hash;
  if (labels != nullptr) {
    TRY(project, json_string(*labels, label_project));
    TRY(hash, json_string(*labels, label_hash));
  }
  if (project.empty()) {
    session_.report.warn(fmt::format(
        "volume \"{}\" already exists but was not created by compose. Use `external: true` to use an "
        "existing volume",
        volume.name));
  } else if (project != session_.project.name) {
    session_.report.warn(
        fmt::format("volume \"{}\" already exists but was created for project \"{}\" (expected \"{}\"). Use "
                    "`external: true` to use an existing volume",
                    volume.name, project, session_.project.name));
  }
  if (hash.empty() || hash == volume_hash(volume) || options_.recreate_volumes)
    return !hash.empty() && hash != volume_hash(volume);
  const std::string differs =
      fmt::format("Volume \"{}\" exists but doesn't match configuration in compose file.", volume.name);
  if (::isatty(STDIN_FILENO) == 1)
    return commands::confirm(session_.context, differs + " Recreate (data will be lost)?");
  session_.report.warn(differs + " It is used as it is: --yes recreates it, and its data is lost.");
  return false;
}

Outcome<void> Converger::make_volume(const Resource& volume, client::Client& engine) {
  auto found = call_json(engine, "GET", path_of("volumes", volume.name));
  if (!found && !found.error().not_found()) return found.error();
  if (volume.external) {
    if (found) return {};
    return Failure::plain(fmt::format("external volume \"{}\" not found", volume.name));
  }
  if (found) {
    TRY(const bool recreate, is_to_be_recreated(volume, *found));
    if (!recreate) return {};
    CHECK(remove_users([&](const Service& service) { return volumes_of(service).contains(volume.key); }));
    CHECK(call(engine, "DELETE", path_of("volumes", volume.name)));
    session_.report.tell("Volume", volume.name, "Removed");
  }
  TRY(Json body, volume_body(session_.project, volume));
  session_.report.tell("Volume", volume.name, "Creating");
  CHECK(call(engine, "POST", "/volumes/create", {}, to_json(body)));
  session_.report.tell("Volume", volume.name, "Created");
  note({Done::What::VolumeMade, volume.name, volume.name});
  return {};
}

Outcome<void> Converger::handle_orphans() {
  auto engine = session_.client();
  std::string names;
  TRY(auto containers, session_.containers(Session::Scope::All));
  for (const Observed& container : containers) {
    const auto& project = session_.project;
    const bool known =
        project.services.contains(container.service) || project.disabled.contains(container.service);
    // What `run` has made belongs to nobody any more when it has ended.
    if (container.one_off ? container.state != "exited" && container.state != "dead" : known) continue;
    if (options_.remove_orphans) {
      CHECK(stop_container(session_, *engine, container, options_.timeout));
      CHECK(remove_container(session_, *engine, container, false));
    } else {
      names += (names.empty() ? "" : " ") + container.name;
    }
  }
  if (!names.empty() && !options_.ignore_orphans) {
    session_.report.warn(
        fmt::format("Found orphan containers ([{}]) for this project. If you removed or renamed this service "
                    "in your compose "
                    "file, you can run this command with the --remove-orphans flag to clean it up.",
                    names));
  }
  return {};
}

}  // namespace berth::cli::compose
