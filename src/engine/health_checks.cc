// Running health probes: one sleeping task per container that has a health check, one exec per probe.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/format.h"
#include "base/log.h"
#include "engine/health.h"
#include "engine/lifecycle.h"
#include "engine/signals.h"
#include "io/cancel.h"

namespace berth::engine {
namespace {

constexpr size_t kMostOutput = 4096;

io::Task<Result<bool>> is_set(std::shared_ptr<io::Event> event) {
  co_await event->wait();
  co_return true;
}

/// Sleeps; false when the container's run ends meanwhile.
io::Task<bool> sleep_unless_stopped(std::shared_ptr<io::Event> stop, std::chrono::nanoseconds duration) {
  io::Task<Result<bool>> stopped = is_set(stop);
  auto ended = co_await io::with_deadline(std::move(stopped), std::chrono::steady_clock::now() + duration);
  co_return !ended.has_value();
}

/// What a probe writes, up to a limit; the rest is read and dropped so that it does not block.
io::Task<void> read_output(Core& core, int pipe, std::string& output) {
  char buffer[4096];
  while (true) {
    ssize_t count = ::read(pipe, buffer, sizeof buffer);
    if (count > 0) {
      size_t room = kMostOutput - output.size();
      output.append(buffer, std::min(room, static_cast<size_t>(count)));
    } else if (count < 0 && errno == EAGAIN) {
      auto readable = co_await core.loop.readable(pipe);
      if (!readable) co_return;
    } else if (count == 0 || errno != EINTR) {
      co_return;
    }
  }
}

io::Task<Result<int>> run_probe(Core& core, ContainerHandle container, std::shared_ptr<Exec> exec,
                                std::string& output) {
  CO_TRY(auto pipe, sys::make_pipe(O_NONBLOCK));
  launch::AttachRequest request;
  request.id = core.next_attachment++;
  request.exec_token = exec->record.id;
  request.streams = {.input = false, .output = true, .error = true};
  std::vector<launch::Attachment> clients;
  clients.push_back({std::move(request), std::move(pipe.write)});
  io::Task<Result<void>> run = run_exec(core, container, exec, std::move(clients));
  CO_CHECK(co_await std::move(run));
  io::Task<void> reading = read_output(core, pipe.read.get(), output);
  co_await std::move(reading);
  co_await exec->exited.wait();
  co_return exec->record.exit_code.value_or(-1);
}

/// One probe, from exec to outcome. A probe that takes too long is killed and counts as failed.
io::Task<HealthProbe> probe(Core& core, ContainerHandle container, const HealthPlan& plan) {
  HealthProbe result{.start = now()};
  spec::ExecConfig config{.user = {}, .attach_stdout = true, .attach_stderr = true, .cmd = plan.command};
  auto exec = make_exec(container, std::move(config));
  if (!exec) {
    result.exit_code = -1;
    result.output = exec.error().message();
    result.end = now();
    co_return result;
  }
  (*exec)->internal = true;
  publish_exec_create(core, container->record, **exec);
  std::string output;
  io::Task<Result<int>> run = run_probe(core, container, *exec, output);
  auto deadline = std::chrono::steady_clock::now() + plan.timeout;
  auto code = co_await io::with_deadline(std::move(run), deadline);
  result.end = now();
  result.output = std::move(output);
  if (code) {
    result.exit_code = *code;
  } else if (code.error().kind() == Kind::DeadlineExceeded) {
    result.exit_code = -1;
    result.output = timeout_text(plan.timeout, result.output);
    if (container->run && container->run->keeper) {
      if (auto killed = container->run->keeper->signal((*exec)->record.id, SIGKILL); !killed) {
        log::debug("{}", killed.error().message());
      }
    }
  } else {
    result.exit_code = -1;
    result.output = code.error().message();
  }
  co_return result;
}

bool wants_end(const ContainerRecord& record) {
  return record.state.health.status == HealthStatus::Unhealthy &&
         record.host_config.restart_policy.name == "on-unhealthy";
}

/// --restart on-unhealthy: ended as `stop` does it, and then the policy starts it again.
io::Task<void> end_unhealthy(Core& core, ContainerHandle container) {
  std::shared_ptr<Run> run = container->run;
  if (!run || run->exited.is_set()) co_return;
  container->unhealthy = true;
  log::info("container {}: unhealthy, ended for a restart", container->record.short_id());
  int signal = SIGTERM;
  if (auto own = parse_signal(container->record.config.stop_signal)) signal = *own;
  if (auto sent = signal_container(core, container, signal); !sent) co_return;
  core.publish(container->record, "kill", {{"signal", std::to_string(signal)}});
  auto grace = std::chrono::seconds(container->record.config.stop_timeout.value_or(10));
  io::Task<bool> waiting = await_exit(core, run, grace);
  bool ended = co_await std::move(waiting);
  if (ended || run->exited.is_set()) co_return;
  if (auto sent = signal_container(core, container, SIGKILL); !sent) log::warn("{}", sent.error().message());
  core.publish(container->record, "kill", {{"signal", std::to_string(SIGKILL)}});
}

io::Task<void> check_health(Core& core, ContainerHandle container, HealthPlan plan,
                            std::shared_ptr<io::Event> stop) {
  ContainerRecord& record = container->record;
  while (true) {
    auto delay = probe_delay(plan, record.state.health.status, now() - record.state.started);
    io::Task<bool> sleep = sleep_unless_stopped(stop, delay);
    bool awake = co_await std::move(sleep);
    if (!awake || stop->is_set()) co_return;
    if (record.state.status == Status::Paused) continue;
    io::Task<HealthProbe> probing = probe(core, container, plan);
    HealthProbe result = co_await std::move(probing);
    if (stop->is_set()) co_return;
    ++core.health_checks;
    if (result.exit_code != 0) ++core.failed_health_checks;
    if (apply_probe(plan, record.state.started, std::move(result), record.state.health)) {
      core.save_state(record);
      core.publish(record, "health_status: " + std::string(to_string(record.state.health.status)));
      if (wants_end(record)) core.tasks.spawn(end_unhealthy(core, container));
    }
  }
}

}  // namespace

void start_health_checks(Core& core, const ContainerHandle& container) {
  HealthPlan plan = health_plan(container->record.config);
  Health& health = container->record.state.health;
  if (plan.command.empty()) {
    health = {};
    return;
  }
  health = {.status = HealthStatus::Starting};
  auto stop = std::make_shared<io::Event>();
  container->health_stop = stop;
  core.tasks.spawn(check_health(core, container, std::move(plan), std::move(stop)));
}

void stop_health_checks(Container& container) {
  if (container.health_stop) container.health_stop->set();
  container.health_stop.reset();
  Health& health = container.record.state.health;
  // As docker has it: what is not watched any more is not healthy.
  if (health.status != HealthStatus::None) health.status = HealthStatus::Unhealthy;
}

}  // namespace berth::engine
