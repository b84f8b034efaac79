// Taking over what an earlier daemon left.
#include "engine/recovery.h"

#include <time.h>
#include <unistd.h>

#include <csignal>

#include "base/format.h"
#include "base/log.h"
#include "engine/container_network.h"
#include "engine/lifecycle.h"
#include "engine/links.h"
#include "engine/log_forwarding.h"
#include "engine/memory_volumes.h"
#include "engine/recovery_plan.h"
#include "engine/secrets.h"
#include "engine/start_order.h"
#include "engine/transitions.h"
#include "engine/user_namespace.h"
#include "sys/file.h"
#include "sys/shared_memory.h"

namespace berth::engine {
namespace {

/// A container as it was found, before anything is done about it.
struct Found {
  ContainerHandle container;
  std::optional<launch::Keeper> keeper;
  Sighting sighting;
};

Timestamp booted() {
  struct timespec up {};
  ::clock_gettime(CLOCK_BOOTTIME, &up);
  return now() - std::chrono::seconds(up.tv_sec) - std::chrono::nanoseconds(up.tv_nsec);
}

std::vector<Found> look_around(Core& core, std::vector<ContainerRecord> records) {
  std::vector<Found> all;
  for (ContainerRecord& record : records) {
    Found found{.container = std::make_shared<Container>(std::move(record))};
    const ContainerRecord& own = found.container->record;
    auto keeper = launch::Keeper::connect(core.exec_dir(own.id) + "/keeper.sock");
    if (keeper) {
      found.sighting.keeper = keeper->state();
      found.keeper.emplace(std::move(*keeper));
    }
    if (auto exit = launch::read_exit_record(core.container_dir(own.id) + "/exit"))
      found.sighting.exit = *exit;
    all.push_back(std::move(found));
  }
  return all;
}

void forget_endpoint(const std::vector<Found>& all, const network::EndpointRecord& endpoint) {
  for (const Found& found : all) {
    for (auto& [name, settings] : found.container->record.endpoints) {
      if (settings.endpoint_id == endpoint.id) clear_endpoint(settings, endpoint);
    }
  }
}

/// Endpoints of the containers whose keeper lives; the others' are dropped from the database, and from what
/// is known of their containers.
std::vector<network::EndpointRecord> living_endpoints(Core& core, const std::vector<Found>& all,
                                                      std::vector<network::EndpointRecord> stored) {
  std::set<std::string> alive;
  for (const Found& found : all) {
    if (found.keeper && found.sighting.keeper->phase != launch::KeeperState::Phase::Exited) {
      alive.insert(found.container->record.id);
    }
  }
  std::vector<network::EndpointRecord> living;
  for (network::EndpointRecord& endpoint : stored) {
    if (alive.contains(endpoint.container_id)) {
      living.push_back(std::move(endpoint));
      continue;
    }
    forget_endpoint(all, endpoint);
    if (auto removed = core.records->remove_endpoint(endpoint.id); !removed)
      log::warn("{}", removed.error().message());
  }
  return living;
}

Result<void> recover_network(Core& core, const std::vector<Found>& all) {
  TRY(auto networks, core.records->load_networks());
  TRY(auto endpoints, core.records->load_endpoints());
  TRY(auto recovery,
      core.network->recover(std::move(networks), living_endpoints(core, all, std::move(endpoints))));
  for (const std::string& repair : recovery.repairs) log::info("network: {}", repair);
  core.in_background(run_removal(core, std::move(recovery.stale)));
  for (const std::string& notice : core.network->take_notices()) log::info("network: {}", notice);
  for (const network::NetworkRecord* network : core.network->list())
    CHECK(core.records->save_network(*network));
  return {};
}

std::string group_parent(const Core& core, const ContainerRecord& record) {
  const std::string& own = record.host_config.resources.cgroup_parent;
  return own.empty() ? core.options.cgroup_parent : own;
}

/// What an earlier daemon's run holds on the host.
std::shared_ptr<Run> run_of(Core& core, const ContainerRecord& record) {
  auto run = std::make_shared<Run>();
  auto path = sys::CgroupHost::group_path(group_parent(core, record), record.id);
  if (path) {
    if (auto cgroup = sys::Cgroup::open(*core.cgroups, *path)) run->cgroup = std::move(*cgroup);
  }
  for (const auto* endpoint : core.network->endpoints_of_container(record.id))
    run->endpoints.push_back(endpoint->id);
  return run;
}

void adopt_exec(Core& core, Container& container, const ExecRecord& record) {
  auto exec = std::make_shared<Exec>();
  exec->record = record;
  exec->record.started = true;
  exec->record.running = true;
  exec->settled.set();
  container.run->execs[record.id] = exec;
  core.execs[record.id] = exec;
  container.execs.push_back(exec);
  container.record.exec_ids.push_back(record.id);
}

/// Execs of clients. Those that have ended meanwhile the keeper reports right away; health probes that still
/// run are nobody's any more.
void adopt_execs(Core& core, Container& container, const std::vector<ExecRecord>& stored) {
  for (const ExecRecord& record : stored) {
    if (record.container_id == container.record.id) adopt_exec(core, container, record);
  }
}

/// Answers names again: the sockets in the container's namespace went with the daemon before.
void resume_names(Core& core, const ContainerRecord& record) {
  if (!core.network->needs_dns(record.id)) return;
  auto netns = sys::NetworkNamespace::open(fmt::format("/proc/{}/ns/net", record.state.pid).c_str());
  Result<void> served = netns ? serve_names(core, record, *netns) : Result<void>(std::move(netns).error());
  if (!served) log::warn("container {}: {}", record.short_id(), served.error().message());
}

void note_started(Container& container, const launch::KeeperState& keeper) {
  ContainerState& state = container.record.state;
  bool known = state.status == Status::Running || state.status == Status::Paused;
  if (!known) {
    if (auto moved = transition(state, Action::Start); !moved) log::warn("{}", moved.error().message());
    state.error.clear();
    state.exit_code = 0;
  }
  state.pid = keeper.pid;
  state.started = keeper.started;
  // Whether it is frozen is known to the kernel alone.
  if (!container.run->cgroup) return;
  auto freeze = container.run->cgroup->freeze_state();
  bool frozen = freeze && *freeze == sys::FreezeState::Frozen;
  if (frozen && state.status == Status::Running) (void)transition(state, Action::Pause);
  if (!frozen && state.status == Status::Paused) (void)transition(state, Action::Unpause);
}

struct Repairer {
  Core& core;
  Found& found;
  const std::vector<ExecRecord>& execs;
  std::vector<ContainerHandle>& starting;  ///< by their policies, once all is known

  const ContainerHandle& container() const { return found.container; }
  void prepare_run() const {
    container()->torn_down.reset();
    container()->run = run_of(core, container()->record);
    adopt_memory_volumes(core.options.exec_root, container()->record.id, container()->record.mounts);
    adopt_execs(core, *container(), execs);
  }

  void operator()(const repair::Adopt&) const {
    prepare_run();
    Run& run = *container()->run;
    const launch::KeeperState state = *found.sighting.keeper;
    run.keeper.emplace(std::move(*found.keeper));
    run.pid = state.pid;
    if (state.phase == launch::KeeperState::Phase::Running) {
      note_started(*container(), state);
      run.settled.set();
      resume_names(core, container()->record);
      if (auto opened = open_links(core, container()->record); !opened)
        log::warn("container {}: {}", container()->record.short_id(), opened.error().message());
      // Anew, as docker does: what was known may have changed while nobody looked.
      start_health_checks(core, container());
      watch_memory(core, container());
      forward_logs(core, container());
      core.save_state(container()->record);
    }
    watch_run(core, container());
    log::info("container {}: still running, pid {}", container()->record.short_id(), state.pid);
  }
  void operator()(const repair::RecordExit& repair) const {
    prepare_run();
    ContainerState& state = container()->record.state;
    bool known = state.status == Status::Running || state.status == Status::Paused;
    if (!known) (void)transition(state, Action::Start);
    state.started = repair.exit.started;
    log::info("container {}: ended with {} while no daemon ran", container()->record.short_id(),
              repair.exit.exit_code);
    container_exited(core, container(), repair.exit);
  }
  void operator()(const repair::RecordLoss&) const {
    prepare_run();
    const ContainerState& state = container()->record.state;
    log::warn("container {}: its end was not recorded", container()->record.short_id());
    // Only a kill -9 keeps a keeper from writing the record, and its container dies with it. Before the last
    // boot there was the power switch as well: docker says 255 then.
    bool was_killed = state.started > booted();
    container_exited(core, container(),
                     {.exit_code = was_killed ? 137 : 255,
                      .signal = was_killed ? SIGKILL : 0,
                      .oom_killed = false,
                      .started = state.started,
                      .finished = now()});
  }
  void operator()(const repair::Restart&) const { starting.push_back(container()); }
  void operator()(const repair::Start&) const { starting.push_back(container()); }
  void operator()(const repair::FinishRemoval&) const {
    prepare_run();
    tear_down(core, container(), container()->run);
    ContainerState& state = container()->record.state;
    if (state.status == Status::Removing) (void)transition(state, Action::RemoveFail);
    forget_container(core, container(), RemoveVolumes::No);
  }
};

io::Task<void> start_by_policy(Core& core, ContainerHandle container) {
  io::Task<void> waiting = await_dependencies(core, container);
  co_await std::move(waiting);
  io::Task<Result<void>> start = start_container(core, container, StartReason::Policy);
  auto started = co_await std::move(start);
  if (!started) {
    log::warn("container {}: not restarted: {}", container->record.short_id(), started.error().message());
  }
}

/// A keeper whose container is in no record: killed, with what it holds.
void end_stray_keeper(const std::string& directory) {
  auto keeper = launch::Keeper::connect(directory + "/keeper.sock");
  if (!keeper) return;
  log::warn("ending the container of {}: no record of it exists", directory);
  if (auto sent = keeper->signal("", SIGKILL); !sent) log::warn("{}", sent.error().message());
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  auto entries = sys::list_dir(directory);
  if (!entries) return names;
  for (const sys::DirEntry& entry : *entries) names.push_back(entry.name);
  return names;
}

void remove_leftover_groups(Core& core, const std::set<std::string>& known) {
  std::set<std::string> groups;
  for (const sys::CgroupHierarchy& hierarchy : core.cgroups->hierarchies()) {
    for (std::string& name : names_in(hierarchy.mount + hierarchy.base + core.options.cgroup_parent)) {
      groups.insert(std::move(name));
    }
  }
  std::vector<std::string> found(groups.begin(), groups.end());
  for (const std::string& id : leftovers(found, known)) {
    auto path = sys::CgroupHost::group_path(core.options.cgroup_parent, id);
    if (!path) continue;
    auto cgroup = sys::Cgroup::open(*core.cgroups, *path);
    if (!cgroup) continue;
    if (auto killed = (*cgroup)->kill_all(); !killed) log::warn("{}", killed.error().message());
    if (auto removed = (*cgroup)->remove(); !removed) log::warn("{}", removed.error().message());
  }
}

void remove_exec_dir(const std::string& directory) {
  if (auto gone = sys::unmount_shared_memory(directory + "/shm"); !gone) {
    log::warn("{}", gone.error().message());
  }
  remove_placed_mounts(directory);
  if (auto gone = sys::unmount_shared_memory(secrets_mount(directory)); !gone) {
    log::warn("{}", gone.error().message());
  }
  if (auto removed = sys::remove_tree(directory); !removed) log::warn("{}", removed.error().message());
}

/// Of a start that went with the daemon before: a restore has its keeper end then, and criu may have made
/// something.
void remove_remains(Core& core, const Found& found) {
  const ContainerRecord& record = found.container->record;
  std::string directory = core.exec_dir(record.id);
  if (found.keeper || is_alive(record.state.status) || ::access(directory.c_str(), F_OK) != 0) return;
  std::shared_ptr<Run> run = run_of(core, record);
  if (run->cgroup) {
    if (auto killed = run->cgroup->kill_all(); !killed) log::warn("{}", killed.error().message());
    if (auto removed = run->cgroup->remove(); !removed) log::warn("{}", removed.error().message());
  }
  remove_exec_dir(directory);
}

void remove_leftovers(Core& core, const std::set<std::string>& known) {
  std::string exec_root = core.options.exec_root + "/containers";
  for (const std::string& id : leftovers(names_in(exec_root), known)) {
    end_stray_keeper(exec_root + "/" + id);
    remove_exec_dir(exec_root + "/" + id);
  }
  for (const std::string& id : leftovers(names_in(core.options.data_root + "/containers"), known)) {
    if (auto removed = core.snapshotter->remove(id); !removed) log::warn("{}", removed.error().message());
  }
  remove_leftover_groups(core, known);
}

/// Containers that have outlived an engine without live restore, which was killed: they end now, and those
/// whose policy says so start anew.
io::Task<void> end_survivors(Core& core, std::vector<ContainerHandle>& starting) {
  std::vector<ContainerHandle> survivors;
  for (const ContainerHandle& container : core.containers.all()) {
    if (container->run) survivors.push_back(container);
  }
  io::Task<void> stopping = stop_with_engine(core);
  co_await std::move(stopping);
  for (const ContainerHandle& container : survivors) {
    const ContainerRecord& record = container->record;
    if (!container->removed && restarts_with_daemon(record.host_config.restart_policy,
                                                    record.manually_stopped, true, record.state.exit_code))
      starting.push_back(container);
  }
}

}  // namespace

io::Task<Result<void>> recover(Core& core) {
  CO_TRY(auto loaded, core.records->load_containers());
  for (const Error& damaged : loaded.damaged) log::error("{}", damaged.message());
  CO_TRY(auto volumes, core.records->load_volumes());
  for (VolumeRecord& volume : volumes) core.volumes.emplace(volume.name, volume);
  CO_TRY(auto execs, core.records->load_execs());
  std::set<std::string> known;
  for (const ContainerRecord& record : loaded.containers) known.insert(record.id);
  // Those of sandboxes, which are in no record.
  for (const ExecRecord& exec : execs) {
    if (known.contains(exec.container_id) || !loaded.damaged.empty()) continue;
    if (auto removed = core.records->remove_exec(exec.id); !removed)
      log::warn("{}", removed.error().message());
  }

  auto all = look_around(core, std::move(loaded.containers));
  CO_CHECK(recover_network(core, all));
  // A damaged record names no container, so what is left over cannot be told from what it owns.
  if (loaded.damaged.empty()) remove_leftovers(core, known);
  for (Found& found : all) core.containers.insert(found.container);
  finish_renames(core);
  std::vector<ContainerHandle> starting;
  for (Found& found : all) {
    auto repair = plan_repair(found.container->record, found.sighting);
    if (repair)
      std::visit(Repairer{core, found, execs, starting}, *repair);
    else
      remove_remains(core, found);
  }
  if (!core.options.settings.live_restore) {
    io::Task<void> ending = end_survivors(core, starting);
    co_await std::move(ending);
  }
  // Each sees those before it under way, and waits for what it needs of them.
  for (const ContainerHandle& container : in_start_order(core, starting)) {
    core.tasks.spawn(start_by_policy(core, container));
  }
  co_return Result<void>();
}

}  // namespace berth::engine
