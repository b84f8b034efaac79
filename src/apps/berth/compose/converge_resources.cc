// What services stand on: networks and volumes; and containers of services that have gone.
#include "apps/berth/compose/converge.h"

#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;

}  // namespace

Outcome<void> Converger::make_networks() {
  std::set<std::string> used;
  for (const std::string& name : names_) {
    const Value* networks = session_.project.services.at(name).config.find("networks");
    if (networks == nullptr) continue;
    for (const auto& [key, settings] : networks->members) used.insert(key);
  }
  auto engine = session_.client();
  for (const std::string& key : used) CHECK(make_network(session_.project.networks.at(key), *engine));
  return {};
}

Outcome<void> Converger::make_network(const Resource& network, client::Client& engine) {
  auto found = call_json(engine, "GET", path_of("networks", network.name));
  if (!found && !found.error().not_found()) return found.error();
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
    if (label(label_hash) == resource_hash(network) || label(label_hash).empty()) return {};
    CHECK(remove_users_of(network.key));
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
  return {};
}

/// The network is made anew: containers on it are, too.
Outcome<void> Converger::remove_users_of(const std::string& network) {
  auto engine = session_.client();
  for (const Observed& container : before_) {
    auto service = session_.project.services.find(container.service);
    if (service == session_.project.services.end()) continue;
    const Value* networks = service->second.config.find("networks");
    if (networks == nullptr || !networks->has(network)) continue;
    CHECK(stop_container(session_, *engine, container, options_.timeout));
    CHECK(remove_container(session_, *engine, container, false));
    containers_.erase(container.service);
  }
  TRY(before_, session_.containers());
  return {};
}

Outcome<void> Converger::make_volumes() {
  std::set<std::string> used;
  for (const std::string& name : names_) {
    const Value* volumes = session_.project.services.at(name).config.find("volumes");
    for (const Value& volume : volumes == nullptr ? Value::List() : volumes->items) {
      const Value* source = volume.find("source");
      if (source != nullptr && volume.find("type")->text == "volume") used.insert(source->text);
    }
  }
  auto engine = session_.client();
  for (const std::string& key : used) {
    const Resource& volume = session_.project.volumes.at(key);
    auto found = call(*engine, "GET", path_of("volumes", volume.name));
    if (found) continue;
    if (!found.error().not_found()) return found.error();
    if (volume.external) return Failure::plain(fmt::format("external volume \"{}\" not found", volume.name));
    TRY(Json body, volume_body(session_.project, volume));
    session_.report.tell("Volume", volume.name, "Creating");
    CHECK(call(*engine, "POST", "/volumes/create", {}, to_json(body)));
    session_.report.tell("Volume", volume.name, "Created");
    note({Done::What::VolumeMade, volume.name, volume.name});
  }
  return {};
}

Outcome<void> Converger::handle_orphans() {
  auto engine = session_.client();
  std::string names;
  for (const Observed& container : before_) {
    const auto& project = session_.project;
    if (project.services.contains(container.service) || project.disabled.contains(container.service))
      continue;
    if (options_.remove_orphans) {
      CHECK(stop_container(session_, *engine, container, options_.timeout));
      CHECK(remove_container(session_, *engine, container, false));
    } else {
      names += (names.empty() ? "" : " ") + container.name;
    }
  }
  if (!names.empty()) {
    session_.report.warn(
        fmt::format("Found orphan containers ([{}]) for this project. If you removed or renamed this service "
                    "in your compose "
                    "file, you can run this command with the --remove-orphans flag to clean it up.",
                    names));
  }
  return {};
}

}  // namespace berth::cli::compose
