#include "apps/berth/compose/converge.h"

#include <algorithm>
#include <chrono>

#include "apps/berth/compose/config_hash.h"
#include "apps/berth/compose/hooks.h"
#include "apps/berth/compose/project_check.h"
#include "apps/berth/compose/provider.h"
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
  CHECK(check_container_names(session_.project, names_));
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
    if (is_provided(service)) continue;
    std::string image = image_of(session_.project, service);
    TRY(Json json, call_json(*engine, "GET", client::image_path(image, "json")));
    TRY(image_ids_[name], json_string(json, "Id"));
  }
  return {};
}

Recreate Converger::policy_for(const std::string& service) const {
  return chosen_.contains(service) ? options_.recreate : options_.recreate_dependencies;
}

ContainerOf Converger::container_of() {
  return [this](const std::string& other) -> std::optional<std::string> {
    std::lock_guard lock(mutex_);
    auto found = containers_.find(other);
    return found == containers_.end() ? std::nullopt : std::optional(found->second);
  };
}

/// Somebody has disconnected it, or a volume has another name now.
bool Converger::lacks_surroundings(const Service& service, const Observed& container) const {
  const Project& project = session_.project;
  const Value* networks = service.config.find("networks");
  if (networks != nullptr && container.state == "running") {
    for (const auto& [key, settings] : networks->members) {
      auto network = project.networks.find(key);
      if (network != project.networks.end() && !container.networks.contains(network->second.name))
        return true;
    }
  }
  const Value* volumes = service.config.find("volumes");
  for (const Value& mount : volumes == nullptr ? Value::List() : volumes->items) {
    const Value* source = mount.find("source");
    if (mount.find("type")->text != "volume" || source == nullptr) continue;
    auto volume = project.volumes.find(source->text);
    if (volume != project.volumes.end() && !container.volumes.contains(volume->second.name)) return true;
  }
  return false;
}

bool Converger::diverged(const Service& service, const Observed& container) {
  if (container.hash != config_hash(service, container_of())) return true;
  // docker's compose has no such label: its containers are taken as they are.
  if (!container.grants.empty() && container.grants != grants_hash(session_.project, service)) return true;
  if (container.image_id != image_ids_[service.name]) return true;
  if (lacks_surroundings(service, container)) return true;
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

/// What depends on it comes behind, and has its variables then.
Outcome<void> Converger::provide(const Service& service) {
  if (!options_.start) return {};
  TRY(const auto variables, run_provider(session_, service, "up"));
  std::lock_guard lock(mutex_);
  add_provider_variables(session_, service.name, variables);
  return {};
}

Outcome<void> Converger::converge_service(const std::string& name) {
  const Service& service = session_.project.services.at(name);
  if (is_provided(service)) return provide(service);
  auto engine = session_.client();
  std::vector<Observed> containers;
  {
    std::lock_guard lock(mutex_);
    for (const Observed& container : before_) {
      if (container.service == name) containers.push_back(container);
    }
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
  CreateInput input{.number = number,
                    .image_id = image_ids_[service.name],
                    .hash = config_hash(service, container_of()),
                    .grants = grants_hash(session_.project, service)};
  if (replaced != nullptr) {
    input.replaces = replaced->name;
    TRY(input.kept_volumes, anonymous_volumes(service, *replaced, engine));
  }
  input.container_of = container_of();
  TRY(Json body, create_body(session_.project, service, input));
  Query query;
  query.add("name", name);
  query.add_unless_empty("platform", text_of(service.config, "platform", service.path()).value_or(""));
  TRY(Json made, call_json(engine, "POST", "/containers/create", std::move(query), to_json(body)));
  TRY(std::string id, json_string(made, "Id"));
  for (const std::string& warning : json_strings(made, "Warnings").value_or(std::vector<std::string>())) {
    session_.report.warn(warning);
  }
  if (auto injected = put_files(session_.project, service, id, engine); !injected) {
    (void)call(engine, "DELETE", path_of("containers", id), std::move(Query().flag("force", true)));
    return injected.error();
  }
  if (number == 1) {
    std::lock_guard lock(mutex_);
    containers_[service.name] = id;
  }
  return id;
}

Outcome<void> put_files(const Project& project, const Service& service, const std::string& id,
                        client::Client& engine) {
  TRY(auto files, injected_files(project, service));
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

/// Those that are restarted with the service stop before it is replaced, and start when they are converged
/// themselves.
Outcome<void> Converger::stop_dependents(const std::string& service, client::Client& engine) {
  std::vector<Observed> dependents;
  {
    std::lock_guard lock(mutex_);
    for (Observed& container : before_) {
      auto other = session_.project.services.find(container.service);
      if (!names_.contains(container.service) || other == session_.project.services.end()) continue;
      auto dependency = other->second.depends_on.find(service);
      const bool with_it = dependency != other->second.depends_on.end() && dependency->second.restart;
      if (!with_it || !container.running()) continue;
      dependents.push_back(container);
      container.state = "exited";
    }
  }
  for (const Observed& container : dependents) {
    CHECK(stop_container(session_, engine, container, options_.timeout));
    note({Done::What::Stopped, container.id, container.name});
  }
  return {};
}

Outcome<void> Converger::replace(const Service& service, Observed& old, client::Client& engine) {
  CHECK(stop_dependents(service.name, engine));
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
  using Runs = ConvergeOptions::Runs;
  Runs runs = Runs::AsFound;
  if (container.state != "running") {
    runs = container.state == "created" ? Runs::ForTheFirstTime : Runs::Again;
    session_.report.tell("Container", container.name, "Starting");
    CHECK(call(engine, "POST", path_of("containers", container.id, "start")));
    note({Done::What::Started, container.id, container.name});
    CHECK(run_hooks(session_, engine, container, "post_start"));
    session_.report.tell("Container", container.name, "Started");
  }
  if (options_.running) options_.running(container, runs);
  return {};
}

}  // namespace berth::cli::compose
