#include "apps/berth/compose/converge.h"

#include <algorithm>
#include <chrono>

#include "base/json.h"
#include "storage/byte_stream.h"
#include "storage/tar_writer.h"

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;

std::string short_id(const std::string& id) {
  return id.substr(0, 12);
}

class StringSink final : public storage::ByteSink {
 public:
  Result<void> write(std::string_view bytes) override {
    text.append(bytes);
    return {};
  }
  std::string text;
};

Result<std::string> archive_of(const InjectedFile& file) {
  StringSink sink;
  storage::TarWriter tar(sink);
  storage::TarEntry entry;
  entry.type = storage::TarType::File;
  entry.name = file.target.substr(1);
  entry.mode = file.mode;
  entry.uid = static_cast<uint32_t>(file.uid);
  entry.gid = static_cast<uint32_t>(file.gid);
  entry.size = file.content.size();
  CHECK(tar.file(entry, file.content));
  CHECK(tar.finish());
  return std::move(sink.text);
}

}  // namespace

Outcome<void> stop_container(Session& session, client::Client& engine, const Observed& container,
                             std::optional<int64_t> timeout) {
  if (!container.running()) return {};
  session.report.tell("Container", container.name, "Stopping");
  Query query;
  if (timeout) query.add("t", fmt::format("{}", *timeout));
  auto stopped = call(engine, "POST", path_of("containers", container.id, "stop"), std::move(query));
  if (!stopped && !stopped.error().not_found()) return stopped.error();
  session.report.tell("Container", container.name, "Stopped");
  return {};
}

Outcome<void> remove_container(Session& session, client::Client& engine, const Observed& container,
                               bool volumes) {
  Query query;
  query.flag("force", true).flag("v", volumes);
  session.report.tell("Container", container.name, "Removing");
  auto removed = call(engine, "DELETE", path_of("containers", container.id), std::move(query));
  if (!removed && !removed.error().not_found()) return removed.error();
  session.report.tell("Container", container.name, "Removed");
  return {};
}

Outcome<void> Converger::run() {
  auto outcome = converge();
  if (outcome) return commit();
  if (options_.rollback) undo();
  return outcome.error();
}

Outcome<void> Converger::converge() {
  TRY(auto chosen, session_.services(options_.services));
  chosen_ = {chosen.begin(), chosen.end()};
  names_ = options_.dependencies ? session_.project.with_dependencies(chosen) : chosen_;
  for (const auto& [name, count] : options_.scale) {
    auto service = session_.project.services.find(name);
    if (service == session_.project.services.end())
      return Failure::plain(fmt::format("no such service: {}", name));
    service->second.replicas = count;
  }
  CHECK(session_.context.engine().negotiate());
  CHECK(learn_images());
  TRY(before_, session_.containers());
  for (const Observed& container : before_) {
    if (container.number == 1) containers_[container.service] = container.id;
  }
  CHECK(handle_orphans());
  CHECK(make_networks());
  CHECK(make_volumes());
  CHECK(run_graph(session_.graph(names_), session_.parallel,
                  [this](const std::string& name) { return converge_service(name); }));
  return options_.wait ? wait_all() : Outcome<void>();
}

Outcome<void> Converger::learn_images() {
  auto engine = session_.client();
  for (const std::string& name : names_) {
    const Service& service = session_.project.services.at(name);
    std::string image = image_of(session_.project, service);
    TRY(Json json, call_json(*engine, "GET", client::image_path(image, "json")));
    TRY(image_ids_[name], json_string(json, "Id"));
  }
  return {};
}

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

Recreate Converger::policy_for(const std::string& service) const {
  return chosen_.contains(service) ? options_.recreate : options_.recreate_dependencies;
}

bool Converger::diverged(const Service& service, const Observed& container) {
  if (container.hash != config_hash(session_.project, service)) return true;
  if (container.image_id != image_ids_[service.name]) return true;
  // Whoever lives in another container's namespaces must move with it.
  std::lock_guard lock(mutex_);
  for (std::string_view key : {"network_mode", "ipc", "pid"}) {
    const Value* mode = service.config.find(key);
    if (mode != nullptr && mode->text.starts_with("service:") && recreated_.contains(mode->text.substr(8)))
      return true;
  }
  const Value* from = service.config.find("volumes_from");
  for (const Value& item : from == nullptr ? Value::List() : from->items) {
    if (recreated_.contains(item.text.substr(0, item.text.find(':')))) return true;
  }
  return false;
}

Outcome<void> Converger::converge_service(const std::string& name) {
  const Service& service = session_.project.services.at(name);
  auto engine = session_.client();
  std::vector<Observed> containers;
  for (const Observed& container : before_) {
    if (container.service == name) containers.push_back(container);
  }
  CHECK(shrink(containers, service.replicas, *engine));
  std::vector<Observed> to_start;
  std::set<int64_t> taken;
  for (Observed& container : containers) {
    taken.insert(container.number);
    Recreate policy = policy_for(name);
    if (policy == Recreate::Always || (policy == Recreate::Diverged && diverged(service, container))) {
      CHECK(replace(service, container, *engine));
    } else if (container.state == "running") {
      session_.report.tell("Container", container.name, "Running");
    }
    to_start.push_back(container);
  }
  for (int64_t number = 1; static_cast<int64_t>(to_start.size()) < service.replicas; ++number) {
    if (taken.contains(number)) continue;
    Observed made{.name = session_.project.container_name(service, number),
                  .service = name,
                  .state = "created",
                  .number = number};
    session_.report.tell("Container", made.name, "Creating");
    TRY(made.id, create(service, number, made.name, *engine, nullptr));
    session_.report.tell("Container", made.name, "Created");
    note({Done::What::Created, made.id, made.name});
    to_start.push_back(std::move(made));
  }
  if (!options_.start || to_start.empty()) return {};
  CHECK(await_dependencies(service, *engine));
  for (const Observed& container : to_start) CHECK(start(container, *engine));
  return {};
}

Outcome<void> Converger::shrink(std::vector<Observed>& containers, int64_t wanted, client::Client& engine) {
  while (static_cast<int64_t>(containers.size()) > wanted) {
    CHECK(stop_container(session_, engine, containers.back(), options_.timeout));
    CHECK(remove_container(session_, engine, containers.back(), false));
    containers.pop_back();
  }
  return {};
}

Outcome<std::map<std::string, std::string>> Converger::anonymous_volumes(const Service& service,
                                                                         const Observed& old,
                                                                         client::Client& engine) {
  std::map<std::string, std::string> kept;
  if (options_.renew_anonymous_volumes) return kept;
  TRY(Json json, call_json(engine, "GET", path_of("containers", old.id, "json")));
  std::set<std::string> named;
  const Value* volumes = service.config.find("volumes");
  for (const Value& volume : volumes == nullptr ? Value::List() : volumes->items) {
    if (volume.find("source") != nullptr || volume.find("type")->text != "volume")
      named.insert(volume.find("target")->text);
  }
  const Json* mounts = json_member(json, "Mounts");
  for (const Json& mount : mounts == nullptr ? Json::array() : *mounts) {
    TRY(std::string type, json_string(mount, "Type"));
    TRY(std::string name, json_string(mount, "Name"));
    TRY(std::string target, json_string(mount, "Destination"));
    // An anonymous volume's name is 64 hexadecimal digits.
    if (type == "volume" && name.size() == 64 && !named.contains(target)) kept[target] = name;
  }
  return kept;
}

Outcome<std::string> Converger::create(const Service& service, int64_t number, const std::string& name,
                                       client::Client& engine, const Observed* replaced) {
  CreateInput input{
      .number = number, .image_id = image_ids_[service.name], .hash = config_hash(session_.project, service)};
  if (replaced != nullptr) {
    input.replaces = replaced->name;
    TRY(input.kept_volumes, anonymous_volumes(service, *replaced, engine));
  }
  input.container_of = [this](const std::string& other) -> std::optional<std::string> {
    std::lock_guard lock(mutex_);
    auto found = containers_.find(other);
    return found == containers_.end() ? std::nullopt : std::optional(found->second);
  };
  TRY(Json body, create_body(session_.project, service, input));
  Query query;
  query.add("name", name);
  query.add_unless_empty("platform", text_of(service.config, "platform", service.path()).value_or(""));
  TRY(Json made, call_json(engine, "POST", "/containers/create", std::move(query), to_json(body)));
  TRY(std::string id, json_string(made, "Id"));
  for (const std::string& warning : json_strings(made, "Warnings").value_or(std::vector<std::string>())) {
    session_.report.warn(warning);
  }
  if (auto injected = inject(service, id, engine); !injected) {
    (void)call(engine, "DELETE", path_of("containers", id), std::move(Query().flag("force", true)));
    return injected.error();
  }
  if (number == 1) {
    std::lock_guard lock(mutex_);
    containers_[service.name] = id;
  }
  return id;
}

Outcome<void> Converger::inject(const Service& service, const std::string& id, client::Client& engine) {
  TRY(auto files, injected_files(session_.project, service));
  for (const InjectedFile& file : files) {
    TRY(std::string archive, archive_of(file));
    client::Request request{.method = "PUT",
                            .path = path_of("containers", id, "archive"),
                            .body = std::move(archive),
                            .content_type = "application/x-tar"};
    request.query.add("path", "/");
    CHECK(engine.call(request));
  }
  return {};
}

Outcome<void> Converger::replace(const Service& service, Observed& old, client::Client& engine) {
  session_.report.tell("Container", old.name, "Recreate");
  std::string name = session_.project.container_name(service, old.number);
  std::string temporary = fmt::format("{}_{}", short_id(old.id), name);
  TRY(std::string id, create(service, old.number, temporary, engine, &old));
  note({Done::What::Created, id, temporary});
  CHECK(stop_container(session_, engine, old, options_.timeout));
  if (options_.rollback) {
    std::string aside = fmt::format("{}_before_{}", short_id(old.id), name);
    Query query;
    query.add("name", aside);
    CHECK(call(engine, "POST", path_of("containers", old.id, "rename"), std::move(query)));
    note({Done::What::SetAside, old.id, old.name, old.running()});
  } else {
    auto removed =
        call(engine, "DELETE", path_of("containers", old.id), std::move(Query().flag("force", true)));
    if (!removed && !removed.error().not_found()) return removed.error();
  }
  Query query;
  query.add("name", name);
  CHECK(call(engine, "POST", path_of("containers", id, "rename"), std::move(query)));
  session_.report.tell("Container", name, "Recreated");
  old = Observed{.id = id, .name = name, .service = service.name, .state = "created", .number = old.number};
  std::lock_guard lock(mutex_);
  recreated_.insert(service.name);
  return {};
}

Outcome<void> Converger::start(const Observed& container, client::Client& engine) {
  if (container.state != "running") {
    session_.report.tell("Container", container.name, "Starting");
    CHECK(call(engine, "POST", path_of("containers", container.id, "start")));
    session_.report.tell("Container", container.name, "Started");
    note({Done::What::Started, container.id, container.name});
  } else {
    bool restart = false;
    {
      std::lock_guard lock(mutex_);
      for (const auto& [other, dependency] : session_.project.services.at(container.service).depends_on) {
        restart = restart || (dependency.restart && recreated_.contains(other));
      }
    }
    if (restart) {
      session_.report.tell("Container", container.name, "Restarting");
      CHECK(call(engine, "POST", path_of("containers", container.id, "restart")));
      session_.report.tell("Container", container.name, "Started");
    }
  }
  if (options_.running) options_.running(container);
  return {};
}

Outcome<void> Converger::await_dependencies(const Service& service, client::Client& engine) {
  for (const auto& [name, dependency] : service.depends_on) {
    if (dependency.condition == "service_started" || !session_.project.services.contains(name)) continue;
    TRY(auto containers, session_.containers_of(name));
    if (containers.empty()) {
      if (!dependency.required) continue;
      return Failure::plain(fmt::format("dependency failed to start: service \"{}\" has no container", name));
    }
    for (const Observed& container : containers) {
      session_.report.tell("Container", container.name, "Waiting");
      if (dependency.condition == "service_healthy") {
        if (auto healthy = wait_until_healthy(engine, container.id, container.name); !healthy) {
          if (!dependency.required) {
            session_.report.warn(healthy.error().text());
            continue;
          }
          session_.report.tell("Container", container.name, "Error");
          return Failure::plain(fmt::format("dependency failed to start: {}", healthy.error().text()));
        }
        session_.report.tell("Container", container.name, "Healthy");
        continue;
      }
      TRY(Json ended, call_json(engine, "POST", path_of("containers", container.id, "wait")));
      TRY(int64_t code, json_int(ended, "StatusCode"));
      if (code != 0) {
        std::string text = fmt::format("service \"{}\" didn't complete successfully: exit {}", name, code);
        if (!dependency.required) {
          session_.report.warn(text);
          continue;
        }
        session_.report.tell("Container", container.name, "Error");
        return Failure::plain(text);
      }
      session_.report.tell("Container", container.name, "Exited");
    }
  }
  return {};
}

namespace {

struct Health {
  bool good = false;
  std::string bad;
};

Outcome<Health> health_of(client::Client& engine, const std::string& id, const std::string& name) {
  TRY(Json json, call_json(engine, "GET", path_of("containers", id, "json")));
  const Json* state = json_member(json, "State");
  if (state == nullptr) return Health{};
  TRY(std::string status, json_string(*state, "Status"));
  if (status == "exited" || status == "dead") {
    return Health{
        .bad = fmt::format("container {} exited ({})", name, json_int(*state, "ExitCode").value_or(0))};
  }
  const Json* health = json_member(*state, "Health");
  std::string word = health == nullptr ? "none" : json_string(*health, "Status").value_or("none");
  if (word == "unhealthy") return Health{.bad = fmt::format("container {} is unhealthy", name)};
  return Health{.good = status == "running" && (word == "healthy" || word == "none")};
}

}  // namespace

Outcome<void> wait_until_healthy(client::Client& engine, const std::string& id, const std::string& name) {
  // The stream is open before the first look, so that nothing falls in between.
  Query query;
  query.add("filters",
            to_json(Json{{"container", {id}}, {"event", {"health_status", "die", "start", "destroy"}}}));
  TRY(auto events, engine.open_answer({.path = "/events", .query = query}));
  while (true) {
    TRY(Health health, health_of(engine, id, name));
    if (!health.bad.empty()) return Failure::plain(health.bad);
    if (health.good) return {};
    TRY(std::string_view piece, events.next());
    if (piece.empty())
      return Failure::plain(fmt::format("the engine went away while waiting for container {}", name));
  }
}

Outcome<void> Converger::wait_all() {
  TRY(auto containers, session_.containers());
  Graph graph;
  std::map<std::string, Observed> by_name;
  for (const Observed& container : containers) {
    if (!names_.contains(container.service)) continue;
    graph[container.name];
    by_name[container.name] = container;
  }
  return run_graph(graph, graph.size(), [&](const std::string& name) -> Outcome<void> {
    auto engine = session_.client();
    session_.report.tell("Container", name, "Waiting");
    CHECK(wait_until_healthy(*engine, by_name[name].id, name));
    session_.report.tell("Container", name, "Healthy");
    return {};
  });
}

void Converger::note(Done done) {
  std::lock_guard lock(mutex_);
  done_.push_back(std::move(done));
}

/// What was made goes first, so that names are free; then what was set aside takes its name and its life
/// back.
void Converger::undo() {
  auto engine = session_.client();
  session_.report.warn("up failed: putting everything back as it was");
  auto attempt = [&](std::string_view method, std::string path, const std::string& name, Query query = {}) {
    auto outcome = call(*engine, method, std::move(path), std::move(query));
    if (!outcome && !outcome.error().not_found())
      session_.report.warn(fmt::format("{}: {}", name, outcome.error().text()));
  };
  std::set<std::string> made;
  for (auto done = done_.rbegin(); done != done_.rend(); ++done) {
    if (done->what != Done::What::Created) continue;
    made.insert(done->id);
    attempt("DELETE", path_of("containers", done->id), done->name, std::move(Query().flag("force", true)));
    session_.report.tell("Container", done->name, "Removed");
  }
  for (const Done& done : done_) {
    if (done.what == Done::What::SetAside) {
      attempt("POST", path_of("containers", done.id, "rename"), done.name,
              std::move(Query().add("name", done.name)));
      if (done.was_running) attempt("POST", path_of("containers", done.id, "start"), done.name);
      session_.report.tell("Container", done.name, "Restored");
    } else if (done.what == Done::What::Started && !made.contains(done.id)) {
      attempt("POST", path_of("containers", done.id, "stop"), done.name);
    }
  }
  for (auto done = done_.rbegin(); done != done_.rend(); ++done) {
    if (done->what == Done::What::NetworkMade) attempt("DELETE", path_of("networks", done->name), done->name);
    if (done->what == Done::What::VolumeMade) attempt("DELETE", path_of("volumes", done->name), done->name);
  }
}

Outcome<void> Converger::commit() {
  if (!options_.rollback) return {};
  auto engine = session_.client();
  for (const Done& done : done_) {
    if (done.what != Done::What::SetAside) continue;
    auto removed =
        call(*engine, "DELETE", path_of("containers", done.id), std::move(Query().flag("force", true)));
    if (!removed && !removed.error().not_found()) return removed.error();
  }
  return {};
}

}  // namespace berth::cli::compose
