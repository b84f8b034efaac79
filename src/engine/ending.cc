// The end of a container's process: its state, who is told, what is given back, and whether it starts again.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/format.h"
#include "base/log.h"
#include "engine/container_network.h"
#include "engine/lifecycle.h"
#include "engine/log_quota.h"
#include "engine/memory_volumes.h"
#include "engine/run_usage.h"
#include "engine/sandbox_table.h"
#include "engine/secrets.h"
#include "engine/start_hooks.h"
#include "engine/start_order.h"
#include "engine/transitions.h"
#include "engine/user_namespace.h"
#include "sys/file.h"
#include "sys/shared_memory.h"

namespace berth::engine {
namespace {

/// Links whose namespace is gone vanish by themselves; waiting a moment spares deleting them one by one,
/// which takes the kernel 30 ms each.
constexpr std::chrono::milliseconds kLinkGrace{300};

io::Task<void> remove_links(Core& core, network::LinkRemoval removal) {
  if (removal.host_links.empty()) co_return;
  if (!core.closing) co_await core.loop.sleep_for(kLinkGrace);
  auto removed = co_await core.loop.on_worker([&removal] { return removal.run(); });
  if (!removed) log::warn("{}", removed.error().message());
}

/// What is known before the control group is read; a restarted container's record is already that of the next
/// run. None: nobody wants to know.
std::optional<RunUsage> usage_of(const ContainerRecord& record) {
  bool wanted = run_observer() && record.state.started != Timestamp{};
  if (!wanted || record.config.labels.contains("berth.function")) return std::nullopt;
  auto memory = static_cast<uint64_t>(std::max<int64_t>(record.host_config.resources.memory, 0));
  return RunUsage{.id = record.id,
                  .name = record.name,
                  .image = record.config.image,
                  .started = record.state.started,
                  .finished = record.state.finished,
                  .exit_code = record.state.exit_code,
                  .memory_limit_bytes = memory};
}

io::Task<void> finish_teardown(Core& core, ContainerHandle container, std::shared_ptr<sys::Cgroup> cgroup,
                               std::string exec_dir, std::optional<RunUsage> usage) {
  bool measured = false;
  const std::vector<std::string> runner = core.options.hook_runner;
  const std::string id = container->record.id;
  auto removed = co_await core.loop.on_worker([&]() -> Result<void> {
    run_poststop_hooks(runner, id, exec_dir);
    if (auto gone = sys::unmount_shared_memory(exec_dir + "/shm"); !gone)
      log::warn("{}", gone.error().message());
    remove_placed_mounts(exec_dir);
    if (auto gone = sys::unmount_shared_memory(secrets_mount(exec_dir)); !gone)
      log::warn("{}", gone.error().message());
    if (auto gone = sys::remove_tree(exec_dir); !gone) log::warn("{}", gone.error().message());
    if (auto gone = release_memory_volumes(id); !gone) log::warn("{}", gone.error().message());
    if (!cgroup) return {};
    // With a shared pid namespace processes may have outlived the init.
    CHECK(cgroup->kill_all());
    if (auto stats = usage ? cgroup->stats() : Result<sys::CgroupStats>(Error(Kind::Unavailable, ""));
        stats) {
      usage->cpu_us = stats->cpu.total_ns / 1000;
      usage->memory_peak_bytes = stats->memory.max_usage;
      measured = true;
    }
    return cgroup->remove();
  });
  if (measured && run_observer()) run_observer()(*usage);
  if (!removed) log::warn("container {}: {}", container->record.short_id(), removed.error().message());
  container->torn_down.set();
}

io::Task<void> restart_later(Core& core, ContainerHandle container, std::chrono::milliseconds delay,
                             uint64_t generation) {
  co_await core.loop.sleep_for(delay);
  bool wanted = !container->removed && container->generation == generation && !core.closing &&
                container->record.state.status == Status::Restarting;
  if (!wanted) co_return;
  io::Task<void> waiting = await_dependencies(core, container);
  co_await std::move(waiting);
  // A user may have started, stopped or removed it meanwhile.
  if (container->removed || container->generation != generation || core.closing) co_return;
  io::Task<Result<void>> start = start_container(core, container, StartReason::Policy);
  auto started = co_await std::move(start);
  if (!started && !container->removed) {
    log::warn("container {}: restart failed: {}", container->record.short_id(), started.error().message());
  }
}

std::chrono::seconds whole_seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration);
}

}  // namespace

void settle_waits(Container& container, WaitCondition reached, const WaitOutcome& outcome) {
  std::erase_if(container.waits, [&](const std::shared_ptr<WaitState>& wait) {
    if (wait->condition == WaitCondition::Removed && reached != WaitCondition::Removed) return false;
    wait->outcome = outcome;
    wait->done.set();
    return true;
  });
}

void tear_down(Core& core, ContainerHandle container, std::shared_ptr<Run> run) {
  ContainerRecord& record = container->record;
  container->run.reset();
  execs_ended(core, *container, *run);
  stop_health_checks(*container);
  core.in_background(remove_links(core, detach_networks(core, record, run->endpoints)));
  if (run->keeper) publish_volumes(core, record, "unmount");
  std::shared_ptr<sys::Cgroup> cgroup(std::move(run->cgroup));
  core.in_background(
      finish_teardown(core, container, std::move(cgroup), core.exec_dir(record.id), usage_of(record)));
}

void container_exited(Core& core, ContainerHandle container, const launch::ExitRecord& ended) {
  ContainerRecord& record = container->record;
  ContainerState& state = record.state;
  std::shared_ptr<Run> run = container->run;
  auto ran_for = ended.finished - state.started;
  if (!run->settled.is_set()) run->settled.set();
  note_sandbox_exit(core, record, *run, ended);
  run->exited.set();
  run->streams_told.set();

  Ending ending{.exit_code = ended.exit_code,
                .ran_for = ran_for,
                .stopped_by_user =
                    container->stop_requested || record.manually_stopped || run->checkpointed || core.closing,
                .was_unhealthy = std::exchange(container->unhealthy, false)};
  auto delay = next_restart(record.host_config.restart_policy, ending, container->restarts);
  if (auto moved = transition(state, delay ? Action::AwaitRestart : Action::Exit); !moved) {
    log::error("container {}: {}", record.short_id(), moved.error().message());
  }
  state.pid = 0;
  state.exit_code = ended.exit_code;
  bool oom_known = state.oom_killed;
  state.oom_killed = state.oom_killed || ended.oom_killed;
  state.finished = ended.finished;
  if (delay) ++record.restart_count;
  if (run->checkpointed) record.manually_stopped = true;

  if (state.oom_killed && !oom_known) core.publish(record, "oom");
  core.publish(record, "die",
               {{"exitCode", std::to_string(ended.exit_code)},
                {"execDuration", std::to_string(std::max<int64_t>(0, whole_seconds(ran_for).count()))}});
  tear_down(core, container, run);
  check_log_quota(core);
  bool forget = record.host_config.auto_remove && !delay;
  // Of one that ends with its engine the next one finds the exit, and does what its restart policy says.
  bool with_engine = core.closing && !core.options.settings.live_restore;
  if (!forget && !with_engine) core.save_state(record);
  settle_waits(*container, WaitCondition::NextExit, {.status_code = ended.exit_code});
  if (forget) {
    core.recent_outcomes.add(record.id, {.status_code = ended.exit_code}, std::chrono::steady_clock::now());
    forget_container(core, container, RemoveVolumes::Yes);
  }
  if (delay) core.tasks.spawn(restart_later(core, container, *delay, container->generation));
}

}  // namespace berth::engine
