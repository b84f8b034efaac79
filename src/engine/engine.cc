// Opening and closing the engine.
#include "engine/engine.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/core.h"
#include "engine/image_quota.h"
#include "engine/lifecycle.h"
#include "engine/log_quota.h"
#include "engine/recovery.h"
#include "engine/restore.h"
#include "engine/rootless.h"
#include "engine/sandbox_table.h"
#include "engine/ulimits.h"
#include "engine/validate.h"
#include "io/cancel.h"
#include "launch/apparmor.h"
#include "sys/file.h"

namespace berth::engine {
namespace {

Result<void> make_private_dirs(const EngineOptions& options) {
  // 0710: what lies below belongs to containers; only those in the group pass through (CVE-2021-41091).
  CHECK(sys::make_dirs(options.data_root, 0710));
  for (const char* name : {"containers", "volumes", "tmp"}) {
    CHECK(sys::make_dirs(options.data_root + "/" + name, 0710));
  }
  CHECK(sys::make_dirs(options.exec_root, 0711));
  return sys::make_dirs(options.exec_root + "/containers", 0700);
}

/// One engine per root: a second one would take the first one's containers for its own.
Result<sys::UniqueFd> lock_root(const std::string& directory) {
  std::string path = directory + "/engine.lock";
  TRY(auto fd, sys::open_file(path.c_str(), O_RDWR | O_CREAT, 0600));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) return Error::from_errno("lock", path, errno);
  return failure(
      Kind::WrongState,
      "{} is in use by another berthd: stop that one, or give this one a --data-root and --exec-root of its "
      "own",
      directory);
}

std::string read_host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "localhost";
  return name;
}

Result<void> open_host(Core& core) {
  TRY(core.host, launch::detect_host_facts());
  if (!rootless_facts().rootless) {
    auto loaded = launch::load_default_apparmor_profile(core.host, core.options.exec_root);
    if (!loaded) log::warn("{}: containers run without it", loaded.error().message());
  }
  TRY(auto program, launch::KeeperProgram::load(core.options.keeper_program));
  core.keeper_program.emplace(std::move(program));
  TRY(auto cgroups, sys::CgroupHost::detect());
  core.cgroups.emplace(std::move(cgroups));
  core.host_name = read_host_name();
  CHECK(check_defaults(core.options.settings.container_defaults));
  for (const std::string& text : core.options.settings.default_ulimits) {
    TRY(auto limit, parse_ulimit(text));
    core.default_ulimits.push_back(std::move(limit));
  }
  return {};
}

/// docker's file of the engine's id, which an administrator may write (a machine that is cloned keeps it);
/// without one, it is made of the database's.
Result<std::string> settle_engine_id(const std::string& root, RecordStore& records) {
  constexpr size_t kLongest = 256;
  std::string path = root + "/engine-id";
  auto text = sys::read_file(path, kLongest);
  if (text) {
    while (!text->empty() && std::string_view(" \t\r\n").find(text->back()) != std::string_view::npos)
      text->pop_back();
    if (!text->empty()) return text;
  } else if (text.error().kind() != Kind::NotFound) {
    return std::move(text).error().in("engine's id");
  }
  TRY(std::string id, records.engine_id());
  CHECK(sys::write_file_atomic(path, id, 0644));
  return id;
}

Result<void> open_stores(Core& core) {
  const std::string& root = core.options.data_root;
  TRY(core.database, storage::Database::open(root + "/state.db"));
  TRY(auto records, RecordStore::open(*core.database));
  core.records.emplace(std::move(records));
  TRY(core.id, settle_engine_id(root, *core.records));
  TRY(auto content, storage::ContentStore::open(root + "/content"));
  core.content.emplace(std::move(content));
  TRY(core.snapshotter, storage::Snapshotter::open(*core.database, *core.content, root));
  TRY(core.image_store, storage::ImageStore::open(*core.database, *core.content, *core.snapshotter));
  core.image_quota = std::make_unique<ImageQuota>(core);
  CHECK(core.image_quota->open());
  core.registry_jobs =
      std::make_unique<RegistryJobs>(core.loop, core.options.settings.registry, *core.image_store);
  return {};
}

Result<void> open_network(Core& core) {
  TRY(core.network, network::Networks::open(core.options.network));
  core.namespaces = std::make_unique<sys::NetnsPool>(sys::NetnsPool::Options{
      .size = core.options.ready_namespaces, .sysctls = sys::default_network_sysctls()});
  return {};
}

void fill_in(EngineOptions& options) {
  if (options.network.instance.empty())
    options.network.instance = network::instance_of_exec_root(options.exec_root);
  // Engines side by side do not see each other's groups.
  const std::string& instance = options.network.instance;
  if (options.cgroup_parent.empty())
    options.cgroup_parent = instance.empty() ? "/berth" : "/berth-" + instance;
}

std::string json_list(const std::vector<std::string>& values) {
  return to_json(Json(values));
}

/// docker's names for what has been taken over, and berth's log driver.
std::map<std::string, std::string> reload_attributes(const Core& core) {
  const EngineSettings& settings = core.options.settings;
  std::vector<std::string> mirrors;
  for (const registry::Mirror& mirror : settings.registry.mirrors) mirrors.push_back(mirror.url.str());
  return {{"name", core.host_name},
          {"labels", json_list(settings.labels)},
          {"debug", log::enabled(log::Level::Debug) ? "true" : "false"},
          {"shutdown-timeout", std::to_string(settings.shutdown_timeout)},
          {"live-restore", settings.live_restore ? "true" : "false"},
          {"max-concurrent-downloads", std::to_string(settings.registry.max_downloads)},
          {"max-concurrent-uploads", std::to_string(settings.registry.max_uploads)},
          {"max-download-attempts", std::to_string(settings.registry.max_download_attempts)},
          {"insecure-registries", json_list(settings.registry.insecure)},
          {"registry-mirrors", json_list(mirrors)},
          {"default-runtime", "runc"},
          {"default-shm-size", std::to_string(settings.container_defaults.shm_size)},
          {"default-ipc-mode", settings.container_defaults.ipc_mode},
          {"default-cgroupns-mode", settings.container_defaults.cgroupns_mode},
          {"log-driver", settings.default_log.type}};
}

io::Task<Result<bool>> until_empty(io::TaskGroup& group) {
  io::Task<void> empty = group.wait_until_empty();
  co_await std::move(empty);
  co_return true;
}

}  // namespace

Engine::Engine(std::unique_ptr<Core> core) : core_(std::move(core)) {
  SandboxTable::add(*core_);
}
Engine::~Engine() {
  SandboxTable::remove(*core_);
}

io::Task<Result<std::unique_ptr<Engine>>> Engine::open(io::EventLoop& loop, EngineOptions options) {
  fill_in(options);
  auto core = std::make_unique<Core>(loop, std::move(options));
  CO_CHECK(make_private_dirs(core->options));
  CO_TRY(core->data_lock, lock_root(core->options.data_root));
  if (core->options.exec_root != core->options.data_root) {
    CO_TRY(core->exec_lock, lock_root(core->options.exec_root));
  }
  // Attachments that keepers still know must not be taken for new ones.
  core->next_attachment = static_cast<uint64_t>(to_unix_nanoseconds(now()));
  CO_CHECK(open_host(*core));
  CO_CHECK(open_stores(*core));
  CO_CHECK(open_network(*core));
  io::Task<Result<void>> recovery = recover(*core);
  CO_CHECK(co_await std::move(recovery));
  core->database->release_memory();
  core->tasks.spawn(watch_log_quota(*core));
  core->tasks.spawn(core->image_quota->watch());
  co_return std::unique_ptr<Engine>(new Engine(std::move(core)));
}

Containers& Engine::containers() {
  return core_->containers_facade;
}
Images& Engine::images() {
  return core_->images_facade;
}
Volumes& Engine::volumes() {
  return core_->volumes_facade;
}
Networks& Engine::networks() {
  return core_->networks_facade;
}
System& Engine::system() {
  return core_->system_facade;
}
Registries& Engine::registries() {
  return core_->registries_facade;
}
EventLog& Engine::events() {
  return core_->events;
}
ImageQuota& Engine::image_quota() {
  return *core_->image_quota;
}

Result<void> Engine::reload(EngineSettings settings) {
  Core& core = *core_;
  std::vector<spec::Ulimit> ulimits;
  for (const std::string& text : settings.default_ulimits) {
    TRY(auto limit, parse_ulimit(text));
    ulimits.push_back(std::move(limit));
  }
  CHECK(validate_log_config(settings.default_log));
  CHECK(check_defaults(settings.container_defaults));
  core.default_ulimits = std::move(ulimits);
  core.options.settings = std::move(settings);
  core.registry_jobs->replace_settings(core.options.settings.registry);
  core.image_quota->check();
  core.events.publish("daemon", "reload", core.id, reload_attributes(core));
  return {};
}

io::Task<void> Engine::close() {
  Core& core = *core_;
  core.closing = true;
  for (const ContainerHandle& container : core.containers.all()) give_up_restore(*container);
  if (!core.options.settings.live_restore) {
    io::Task<void> stopping = stop_with_engine(core);
    co_await std::move(stopping);
  }
  core.registry_jobs->stop_all();
  if (auto written = core.image_quota->flush(); !written) log::warn("{}", written.error().message());
  io::Task<Result<bool>> finished = until_empty(core.background);
  auto deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(core.options.settings.shutdown_timeout);
  auto done = co_await io::with_deadline(std::move(finished), deadline);
  if (!done) log::warn("closing with work unfinished: the next start cleans up");
  bool idle = true;
  for (const ContainerHandle& container : core.containers.all()) idle = idle && !container->run;
  if (idle) {
    // Nothing runs: leave the host as it was found.
    auto cleared = co_await core.loop.on_worker([&core]() -> Result<void> {
      CHECK(core.network->shut_down());
      core.cgroups->remove_parent(core.options.cgroup_parent);
      return {};
    });
    if (!cleared) log::warn("{}", cleared.error().message());
  }
  if (auto written = core.database->checkpoint(); !written) log::warn("{}", written.error().message());
}

void Engine::add_layer_holder(std::function<void(storage::InUse&)> holder) {
  core_->layer_holders.push_back(std::move(holder));
}

storage::InUse Engine::layers_in_use() const {
  return in_use(*core_);
}

storage::ImageStore& Engine::image_store() {
  return *core_->image_store;
}
storage::Snapshotter& Engine::snapshotter() {
  return *core_->snapshotter;
}
storage::ContentStore& Engine::content_store() {
  return *core_->content;
}
storage::Database& Engine::database() {
  return *core_->database;
}
network::Networks& Engine::network() {
  return *core_->network;
}
sys::NetnsPool& Engine::namespaces() {
  return *core_->namespaces;
}
const sys::CgroupHost& Engine::cgroups() {
  return *core_->cgroups;
}
const launch::KeeperProgram& Engine::keeper_program() {
  return *core_->keeper_program;
}
const launch::HostFacts& Engine::host_facts() {
  return core_->host;
}
const EngineOptions& Engine::options() const {
  return core_->options;
}

}  // namespace berth::engine
