// Ending and holding a container's process: stop, kill, restart, pause and unpause, and waiting for the end.
#include <cerrno>
#include <csignal>

#include "base/format.h"
#include "base/log.h"
#include "engine/lifecycle.h"
#include "engine/restore.h"
#include "engine/sandbox_table.h"
#include "engine/signals.h"
#include "engine/transitions.h"
#include "io/cancel.h"

namespace berth::engine {
namespace {

constexpr std::chrono::seconds kDefaultStopTimeout{10};
/// After SIGKILL the kernel needs a moment; longer means that something holds the process (a dead NFS
/// server).
constexpr std::chrono::seconds kKillGrace{10};

/// A restart that was already scheduled does not happen, and the end that is to come is for good.
void forbid_restart(Core& core, Container& container, StopReason reason = StopReason::User) {
  container.stop_requested = true;
  if (reason == StopReason::Engine) return;
  container.record.manually_stopped = true;
  core.save_state(container.record);
}

io::Task<Result<bool>> exit_of(std::shared_ptr<Run> run) {
  co_await run->exited.wait();
  co_return true;
}

/// SIGTERM to a frozen process arrives when it is thawed.
Result<void> thaw_for_signal(Core& core, const ContainerHandle& container) {
  ContainerRecord& record = container->record;
  if (record.state.status != Status::Paused || !container->run->cgroup) return {};
  CHECK(container->run->cgroup->thaw());
  CHECK(transition(record.state, Action::Unpause));
  core.save_state(record);
  core.publish(record, "unpause");
  return {};
}

std::chrono::nanoseconds stop_timeout(const ContainerRecord& record, const StopOptions& options) {
  int seconds = options.timeout.value_or(record.config.stop_timeout.value_or(kDefaultStopTimeout.count()));
  return seconds < 0 ? std::chrono::nanoseconds(-1) : std::chrono::nanoseconds(std::chrono::seconds(seconds));
}

Result<int> stop_signal(const ContainerRecord& record, const StopOptions& options) {
  if (!options.signal.empty()) return parse_signal(options.signal);
  if (!record.config.stop_signal.empty()) return parse_signal(record.config.stop_signal);
  return SIGTERM;
}

/// docker: any signal ends the restart policy, unless the container names its stop signal: then that one.
bool ends_restarts(const ContainerRecord& record, int signal) {
  if (record.config.stop_signal.empty() || signal == SIGKILL) return true;
  auto own = parse_signal(record.config.stop_signal);
  return own && *own == signal;
}

io::Task<Result<void>> kill_with(Core& core, ContainerHandle container, int signal) {
  ContainerRecord& record = container->record;
  std::shared_ptr<Run> run = container->run;
  bool final = ends_restarts(record, signal);
  if (final) forbid_restart(core, *container);
  CO_CHECK(signal_container(core, container, signal));
  if (final) CO_CHECK(thaw_for_signal(core, container));
  core.publish(record, "kill", {{"signal", std::to_string(signal)}});
  if (signal == SIGKILL) {
    bool ended = co_await await_exit(core, run, kKillGrace);
    if (!ended) {
      co_return failure(Kind::DeadlineExceeded,
                        "container {}: tried to kill container, but did not receive an exit event",
                        record.id);
    }
  }
  co_return Result<void>();
}

io::Task<Result<void>> restart_container(Core& core, ContainerHandle container, StopOptions options) {
  bool& removes_itself = container->record.host_config.auto_remove;
  const bool removes = removes_itself;
  {
    // --rm removes it when it ends for good, not between the halves of a restart.
    struct Restore {
      bool& field;
      bool value;
      ~Restore() { field = value; }
    };
    Restore restore{removes_itself, std::exchange(removes_itself, false)};
    io::Task<Result<void>> stop = stop_container(core, container, options);
    auto stopped = co_await std::move(stop);
    if (!stopped && stopped.error().kind() != Kind::NotModified) co_return std::move(stopped).error();
  }
  io::Task<Result<void>> start = start_container(core, container, StartReason::User);
  auto started = co_await std::move(start);
  if (!started && started.error().kind() != Kind::NotModified) {
    if (removes && container->run == nullptr) forget_container(core, container, RemoveVolumes::Yes);
    co_return std::move(started).error().in("Cannot restart container", container->record.name);
  }
  core.publish(container->record, "restart");
  co_return Result<void>();
}

io::Task<Result<void>> pause_container(Core& core, ContainerHandle container) {
  auto guard = co_await container->operation.lock();
  ContainerRecord& record = container->record;
  CO_CHECK(may_pause(record));
  std::shared_ptr<Run> run = container->run;
  auto frozen = co_await core.loop.on_worker([&run] { return run->cgroup->freeze(); });
  if (!frozen) co_return std::move(frozen).error().in("cannot pause container", record.id);
  if (container->run != run) {
    co_return failure(Kind::WrongState, "container {} is not running", record.id);
  }
  CO_CHECK(transition(record.state, Action::Pause));
  core.save_state(record);
  core.publish(record, "pause");
  co_return Result<void>();
}

io::Task<Result<void>> unpause_container(Core& core, ContainerHandle container) {
  auto guard = co_await container->operation.lock();
  ContainerRecord& record = container->record;
  CO_CHECK(may_unpause(record));
  CO_CHECK(container->run->cgroup->thaw());
  CO_CHECK(transition(record.state, Action::Unpause));
  core.save_state(record);
  core.publish(record, "unpause");
  co_return Result<void>();
}

class Waiter final : public ExitWaiter {
 public:
  explicit Waiter(std::shared_ptr<WaitState> state) : state_(std::move(state)) {}
  io::Task<WaitOutcome> result() override { return await(state_); }

 private:
  static io::Task<WaitOutcome> await(std::shared_ptr<WaitState> state) {
    co_await state->done.wait();
    co_return *state->outcome;
  }
  std::shared_ptr<WaitState> state_;
};

}  // namespace

Result<void> signal_container(Core&, const ContainerHandle& container, int signal) {
  if (!container->run || !container->run->keeper) {
    return failure(Kind::WrongState, "container {} is not running", container->record.id);
  }
  auto sent = container->run->keeper->signal("", signal);
  // A keeper that has gone has seen its container's end; the news of it are on their way.
  bool has_gone = !sent && (sent.error().errno_value() == EPIPE || sent.error().errno_value() == ECONNRESET);
  return has_gone ? Result<void>() : sent;
}

io::Task<bool> await_exit(Core&, std::shared_ptr<Run> run, std::chrono::nanoseconds timeout) {
  if (timeout.count() < 0) {
    co_await run->exited.wait();
    co_return true;
  }
  io::Task<Result<bool>> exit = exit_of(run);
  auto ended = co_await io::with_deadline(std::move(exit), std::chrono::steady_clock::now() + timeout);
  co_return ended.has_value();
}

void cancel_restart(Core& core, Container& container) {
  if (container.record.state.status != Status::Restarting) return;
  ++container.generation;
  if (auto moved = transition(container.record.state, Action::GiveUp); !moved) return;
  core.save_state(container.record);
}

io::Task<Result<void>> kill_container(Core& core, ContainerHandle container, StopReason reason) {
  forbid_restart(core, *container, reason);
  std::shared_ptr<Run> run = container->run;
  if (!run) co_return Result<void>();
  // One that is just being started is killed as soon as there is something to kill.
  // A sandbox that waits for its release can be killed before that.
  SandboxLife* sandbox = SandboxTable::of(core).find(container->record.id);
  io::Event& settled = sandbox != nullptr ? sandbox->ready : run->settled;
  // criu may be at it for ever: a restore under way is given up.
  give_up_restore(*container);
  co_await settled.wait();
  if (run->exited.is_set()) co_return Result<void>();
  if (auto sent = signal_container(core, container, SIGKILL); !sent && !run->exited.is_set()) {
    co_return std::move(sent).error();
  }
  // A frozen process dies when it is thawed.
  if (auto thawed = thaw_for_signal(core, container); !thawed) log::warn("{}", thawed.error().message());
  bool ended = co_await await_exit(core, run, kKillGrace);
  if (ended) co_return Result<void>();
  if (run->cgroup) CO_CHECK(run->cgroup->kill_all());
  ended = co_await await_exit(core, run, kKillGrace);
  if (ended) co_return Result<void>();
  co_return failure(Kind::DeadlineExceeded,
                    "container {}: tried to kill container, but did not receive an exit event",
                    container->record.id);
}

io::Task<Result<void>> stop_container(Core& core, ContainerHandle container, StopOptions options,
                                      StopReason reason) {
  ContainerRecord& record = container->record;
  CO_CHECK(may_stop(record));
  CO_TRY(int signal, stop_signal(record, options));
  forbid_restart(core, *container, reason);
  if (record.state.status == Status::Restarting) {
    cancel_restart(core, *container);
    core.publish(record, "stop");
    co_return Result<void>();
  }
  std::shared_ptr<Run> run = container->run;
  CO_CHECK(signal_container(core, container, signal));
  CO_CHECK(thaw_for_signal(core, container));
  core.publish(record, "kill", {{"signal", std::to_string(signal)}});
  bool ended = co_await await_exit(core, run, stop_timeout(record, options));
  if (!ended) {
    core.publish(record, "kill", {{"signal", std::to_string(SIGKILL)}});
    io::Task<Result<void>> kill = kill_container(core, container, reason);
    CO_CHECK(co_await std::move(kill));
  }
  core.publish(record, "stop");
  co_return Result<void>();
}

io::Task<Result<void>> Containers::stop(std::string reference, StopOptions options) {
  CO_TRY(auto container, core_.containers.find(reference));
  io::Task<Result<void>> stop = stop_container(core_, container, std::move(options));
  co_return co_await core_.run_to_end(std::move(stop));
}

io::Task<Result<void>> Containers::restart(std::string reference, StopOptions options) {
  CO_TRY(auto container, core_.containers.find(reference));
  io::Task<Result<void>> restart = restart_container(core_, container, std::move(options));
  co_return co_await core_.run_to_end(std::move(restart));
}

io::Task<Result<void>> Containers::kill(std::string reference, std::string signal) {
  CO_TRY(auto container, core_.containers.find(reference));
  int number = SIGKILL;
  if (!signal.empty()) {
    CO_TRY(number, parse_signal(signal));
  }
  if (container->record.state.status == Status::Restarting) {
    // Nothing is there to be signalled: it is not started again.
    if (ends_restarts(container->record, number)) {
      forbid_restart(core_, *container);
      cancel_restart(core_, *container);
    }
    co_return Result<void>();
  }
  CO_CHECK(may_kill(container->record, reference));
  io::Task<Result<void>> kill = kill_with(core_, container, number);
  co_return co_await core_.run_to_end(std::move(kill));
}

io::Task<Result<void>> Containers::pause(std::string reference) {
  CO_TRY(auto container, core_.containers.find(reference));
  io::Task<Result<void>> pause = pause_container(core_, container);
  co_return co_await core_.run_to_end(std::move(pause));
}

io::Task<Result<void>> Containers::unpause(std::string reference) {
  CO_TRY(auto container, core_.containers.find(reference));
  io::Task<Result<void>> unpause = unpause_container(core_, container);
  co_return co_await core_.run_to_end(std::move(unpause));
}

Result<std::unique_ptr<ExitWaiter>> Containers::wait(std::string_view reference, WaitCondition condition) {
  auto state = std::make_shared<WaitState>();
  state->condition = condition;
  if (auto recent = core_.recent_outcomes.find(reference, std::chrono::steady_clock::now())) {
    state->outcome = *recent;
    state->done.set();
    return std::unique_ptr<ExitWaiter>(std::make_unique<Waiter>(std::move(state)));
  }
  TRY(auto container, core_.containers.find(reference));
  bool over = condition == WaitCondition::NotRunning && !is_alive(container->record.state.status);
  if (over) {
    state->outcome = WaitOutcome{.status_code = container->record.state.exit_code};
    state->done.set();
  } else {
    // Waits of clients that have gone are held by this list alone.
    std::erase_if(container->waits, [](const auto& wait) { return wait.use_count() == 1; });
    container->waits.push_back(state);
  }
  return std::unique_ptr<ExitWaiter>(std::make_unique<Waiter>(std::move(state)));
}

}  // namespace berth::engine
