// Listening to keepers: what they say of a container's process becomes its state.
#include <algorithm>
#include <utility>

#include "base/format.h"
#include "base/log.h"
#include "engine/container_network.h"
#include "engine/lifecycle.h"
#include "engine/log_forwarding.h"
#include "engine/sandbox_table.h"
#include "engine/start_hooks.h"
#include "engine/transitions.h"

namespace berth::engine {
namespace {

/// Clients that came while the container was being started, when those before had been given to the keeper.
void attach_late(Container& container) {
  Run& run = *container.run;
  for (launch::Attachment& attachment : std::exchange(container.pending, {})) {
    const uint64_t id = attachment.request.id;
    if (run.keeper->attach(attachment.request, std::move(attachment.client))) run.attachments[id] = "";
  }
}

void run_started(Core& core, const ContainerHandle& container, const launch::event::Started& event) {
  Run& run = *container->run;
  ContainerState& state = container->record.state;
  run.pid = event.pid;
  if (auto moved = transition(state, Action::Start); !moved) {
    log::error("container {}: {}", container->record.short_id(), moved.error().message());
  }
  state.pid = event.pid;
  state.exit_code = 0;
  state.oom_killed = false;
  state.error.clear();
  state.started = event.time;
  if (network_place(container->record.host_config) == NetworkPlace::Container) {
    core.save_definition(container->record);  // whose files of /etc it shares was decided at this start
  } else {
    core.save_state(container->record);
  }
  core.publish(container->record, "start");
  start_health_checks(core, container);
  watch_memory(core, container);
  attach_late(*container);
  run.settled.set();
  note_sandbox_ready(core, container->record.id);
  forward_logs(core, container);
  run_poststart_hooks(core, container);
}

void attach_ended(Core& core, const ContainerHandle& container, const launch::event::AttachEnded& event) {
  auto attachment = container->run->attachments.find(event.id);
  if (attachment == container->run->attachments.end()) return;
  std::string exec = attachment->second;
  container->run->attachments.erase(attachment);
  if (event.reason != launch::event::AttachEnded::Reason::Detached) return;
  if (exec.empty()) {
    core.publish(container->record, "detach");
  } else {
    core.publish(container->record, "exec_detach", {{"execID", exec}});
  }
}

void call_denied(Core& core, const ContainerHandle& container, const launch::event::Denied& event) {
  auto& known = container->record.state.denied_calls;
  constexpr size_t kMost = 64;
  if (known.size() == kMost || std::ranges::find(known, event.call) != known.end()) return;
  known.push_back(event.call);
  core.save_state(container->record);
  core.publish(container->record, "denied", {{"call", event.call}});
}

struct EventHandler {
  Core& core;
  const ContainerHandle& container;

  void operator()(const launch::event::Created&) const {}
  void operator()(const launch::event::Hooks& event) const { run_create_hooks(core, container, event.pid); }
  void operator()(const launch::event::Ready& event) const {
    container->run->criu = event.pid;
    container->run->criu_ready.set();
    note_sandbox_ready(core, container->record.id);
  }
  void operator()(const launch::event::Streams& event) const {
    container->run->streams = event.inodes;
    container->run->streams_told.set();
  }
  void operator()(const launch::event::Started& event) const { run_started(core, container, event); }
  void operator()(const launch::event::Failed& event) const { run_failed(core, container, event.failure); }
  void operator()(const launch::event::Exited& event) const {
    container_exited(core, container, event.record);
  }
  void operator()(const launch::event::ExecStarted& event) const { exec_started(core, container, event); }
  void operator()(const launch::event::ExecFailed& event) const { exec_failed(core, container, event); }
  void operator()(const launch::event::ExecExited& event) const { exec_exited(core, container, event); }
  void operator()(const launch::event::AttachEnded& event) const { attach_ended(core, container, event); }
  void operator()(const launch::event::Denied& event) const { call_denied(core, container, event); }
  void operator()(const launch::event::CommandFailed& event) const {
    log::debug("container {}: {} {}: errno {}", container->record.short_id(), event.command, event.token,
               event.errno_value);
  }
};

/// The keeper was killed, and its container with it. An exit record may still tell how it ended.
void keeper_lost(Core& core, const ContainerHandle& container, Run& run) {
  if (!run.settled.is_set()) {
    run_failed(core, container,
               {.exit_code = 128, .message = "berth-keeper ended before the container had started"});
    return;
  }
  auto record = launch::read_exit_record(core.container_dir(container->record.id) + "/exit");
  if (!record) {
    log::error("container {}: its berth-keeper was killed", container->record.short_id());
    record = launch::ExitRecord{
        .exit_code = 137, .signal = 9, .started = container->record.state.started, .finished = now()};
  }
  container_exited(core, container, *record);
}

io::Task<void> watch(Core& core, ContainerHandle container, std::shared_ptr<Run> run) {
  while (true) {
    auto readable = co_await core.loop.readable(run->keeper->fd());
    while (true) {
      auto event = run->keeper->next_event();
      if (!event) {
        if (!run->exited.is_set()) keeper_lost(core, container, *run);
        co_return;
      }
      if (!*event) break;
      if (container->run == run) std::visit(EventHandler{core, container}, **event);
    }
    if (!readable) co_return;
  }
}

}  // namespace

void watch_run(Core& core, ContainerHandle container) {
  auto run = container->run;
  core.tasks.spawn(watch(core, std::move(container), std::move(run)));
}

void run_failed(Core& core, const ContainerHandle& container, launch::LaunchFailure failure) {
  ContainerRecord& record = container->record;
  std::shared_ptr<Run> run = container->run;
  if (!run->start_problem.empty()) failure.message = run->start_problem;
  if (auto moved = transition(record.state, Action::StartFail); !moved) {
    log::error("container {}: {}", record.short_id(), moved.error().message());
  }
  bool program = failure.exit_code == 126 || failure.exit_code == 127;
  record.state.pid = 0;
  record.state.exit_code = program ? failure.exit_code : 128;
  record.state.error = failure.message;
  run->failure = std::move(failure);
  container->pending.clear();
  run->exited.set();
  tear_down(core, container, run);
  core.save_state(record);
  if (record.host_config.auto_remove) forget_container(core, container, RemoveVolumes::Yes);
  run->settled.set();
  run->criu_ready.set();
  note_sandbox_ready(core, record.id);
}

}  // namespace berth::engine
