// Further processes in running containers: create, start, and what the keeper says of them.
#include "base/format.h"
#include "base/id.h"
#include "base/log.h"
#include "engine/container_network.h"
#include "engine/container_users.h"
#include "engine/lifecycle.h"
#include "engine/links.h"
#include "engine/plan_container.h"
#include "engine/transitions.h"
#include "io/cancel.h"
#include "launch/failpoint.h"
#include "launch/plan.h"
#include "sys/root_dir.h"

namespace berth::engine {
namespace {

/// Ended execs that a container keeps for inspection; the oldest goes first.
constexpr size_t kMostExecs = 4096;
constexpr size_t kMostEnded = 64;
/// How long a resize waits for an exec that has been created and not begun yet, as docker has it.
constexpr std::chrono::seconds kStartWait{10};

std::string command_text(const spec::ExecConfig& config) {
  std::string text;
  for (const std::string& word : config.cmd) text += (text.empty() ? "" : " ") + word;
  return text;
}

Result<std::shared_ptr<Exec>> exec_of(const Core& core, std::string_view id) {
  auto found = core.execs.find(id);
  if (found == core.execs.end()) return failure(Kind::NotFound, "No such exec instance: {}", id);
  return found->second;
}

ExecPtr share(const std::shared_ptr<Exec>& exec) {
  return ExecPtr(exec, &exec->record);
}

void drop_oldest_ended(Core& core, Container& container) {
  size_t ended = 0;
  for (const auto& exec : container.execs) ended += exec->record.exit_code.has_value() ? 1 : 0;
  if (ended < kMostEnded) return;
  auto oldest = std::find_if(container.execs.begin(), container.execs.end(),
                             [](const auto& exec) { return exec->record.exit_code.has_value(); });
  core.execs.erase((*oldest)->record.id);
  std::erase(container.record.exec_ids, (*oldest)->record.id);
  container.execs.erase(oldest);
}

Result<launch::ExecPlan> plan(Core& core, const Container& container, const Exec& exec) {
  TRY(auto own, plan_of(core, container.record));
  launch::ExecRequest request;
  request.token = exec.record.id;
  ContainerRecord planned = container.record;
  // As the container has it from its start; of links that lead nowhere now nothing can be said.
  if (auto links = link_environment(core, planned); links)
    planned.config.env.insert(planned.config.env.begin(), links->begin(), links->end());
  TRY(request.process, plan_exec(planned, exec.record.config, own.spec.process, core.host));
  if (!exec.record.config.privileged) request.seccomp = std::move(own.spec.seccomp);
  request.stdin_mode = exec.record.config.attach_stdin ? launch::StdinMode::Open : launch::StdinMode::Closed;
  if (container.run->cgroup) request.cgroups = group_directories(*container.run->cgroup);
  request.namespaces = std::move(own.spec.namespaces);
  request.container_id = container.record.id;
  request.explains_denials = own.explains_denials;
  request.network_from_fd = network_place(container.record.host_config) == NetworkPlace::Own;
  TRY(auto exec_plan, launch::plan_exec(request, core.host));
  exec_plan.setup.fail_at = launch::failing_step();
  return exec_plan;
}

Result<std::vector<launch::Attachment>> attachments(Core& core, const Exec& exec,
                                                    Containers::ExecStart& options) {
  std::vector<launch::Attachment> list;
  if (options.detach || !options.socket) return list;
  const spec::ExecConfig& config = exec.record.config;
  launch::AttachRequest request;
  request.id = core.next_attachment++;
  request.exec_token = exec.record.id;
  request.streams = {
      .input = config.attach_stdin, .output = config.attach_stdout, .error = config.attach_stderr};
  request.framing = options.framing;
  request.input_end = config.tty ? launch::InputEnd::EndAttach : launch::InputEnd::CloseStdin;
  if (config.tty && options.hang_up) request.input_end = launch::InputEnd::HangUp;
  if (config.tty && config.attach_stdin) {
    TRY(request.detach_keys,
        parse_detach_keys(config.detach_keys.empty() ? "ctrl-p,ctrl-q" : config.detach_keys));
  }
  request.already_read = std::move(options.received);
  list.push_back({std::move(request), std::move(options.socket)});
  return list;
}

io::Task<Result<bool>> settled(std::shared_ptr<Exec> exec) {
  co_await exec->settled.wait();
  co_return true;
}

/// Docker's words and kind for a command that could not be started.
Error start_error(const launch::LaunchFailure& failure) {
  Kind kind = failure.exit_code == 126 || failure.exit_code == 127 ? Kind::InvalidArgument : Kind::Internal;
  return Error(kind,
               "OCI runtime exec failed: exec failed: unable to start container process: " + failure.message);
}

/// Names of users and groups must be known when an exec is created, as docker has it: whoever starts it may
/// have nothing left to tell it by.
io::Task<Result<void>> check_user(Core& core, const ContainerRecord& record, std::string user) {
  if (!has_names(user)) co_return Result<void>();
  std::string path = fmt::format("/proc/{}/root", record.state.pid);
  auto work = [path, user]() -> Result<void> {
    TRY(auto root, sys::RootDir::open(path));
    CHECK(owner_of_user(root, user));
    return {};
  };
  co_return co_await core.loop.on_worker(work);
}

}  // namespace

Result<std::shared_ptr<Exec>> make_exec(const ContainerHandle& container, spec::ExecConfig config) {
  CHECK(may_exec(container->record));
  if (!config.detach_keys.empty()) CHECK(parse_detach_keys(config.detach_keys));
  if (container->execs.size() >= kMostExecs) {
    return failure(Kind::Exhausted, "container {} has {} exec instances already", container->record.id,
                   kMostExecs);
  }
  auto exec = std::make_shared<Exec>();
  exec->record.id = random_id();
  exec->record.container_id = container->record.id;
  exec->record.config = std::move(config);
  return exec;
}

void publish_exec_create(Core& core, const ContainerRecord& record, const Exec& exec) {
  core.publish(record, "exec_create: " + command_text(exec.record.config), {{"execID", exec.record.id}});
}

io::Task<Result<void>> run_exec(Core& core, ContainerHandle container, std::shared_ptr<Exec> exec,
                                std::vector<launch::Attachment> clients) {
  CO_CHECK(may_exec(container->record));
  std::shared_ptr<Run> run = container->run;
  CO_TRY(auto exec_plan, plan(core, *container, *exec));
  exec->record.started = true;
  for (const launch::Attachment& client : clients) {
    run->attachments[client.request.id] = exec->internal ? std::string() : exec->record.id;
  }
  run->execs[exec->record.id] = exec;
  if (auto sent = run->keeper->exec(exec->record.id, exec_plan, std::move(clients)); !sent) {
    run->execs.erase(exec->record.id);
    exec->record.exit_code = 126;
    exec->settled.set();
    exec->exited.set();
    co_return std::move(sent).error();
  }
  co_await exec->settled.wait();
  if (exec->failure) co_return start_error(*exec->failure);
  co_return Result<void>();
}

void exec_started(Core& core, const ContainerHandle& container, const launch::event::ExecStarted& event) {
  auto found = container->run->execs.find(event.token);
  if (found == container->run->execs.end()) return;
  Exec& exec = *found->second;
  exec.record.running = true;
  exec.record.pid = event.pid;
  exec.started_at = now();
  if (!exec.internal) {
    if (auto saved = core.records->save_exec(exec.record); !saved) log::warn("{}", saved.error().message());
  }
  core.publish(container->record, "exec_start: " + command_text(exec.record.config),
               {{"execID", exec.record.id}});
  exec.settled.set();
}

void exec_failed(Core&, const ContainerHandle& container, const launch::event::ExecFailed& event) {
  auto found = container->run->execs.find(event.token);
  if (found == container->run->execs.end()) return;
  std::shared_ptr<Exec> exec = found->second;
  container->run->execs.erase(found);
  exec->failure = event.failure;
  bool program = event.failure.exit_code == 126 || event.failure.exit_code == 127;
  exec->record.exit_code = program ? event.failure.exit_code : 126;
  std::erase(container->record.exec_ids, exec->record.id);
  exec->settled.set();
  exec->exited.set();
}

void exec_exited(Core& core, const ContainerHandle& container, const launch::event::ExecExited& event) {
  auto found = container->run->execs.find(event.token);
  if (found == container->run->execs.end()) return;
  std::shared_ptr<Exec> exec = found->second;
  container->run->execs.erase(found);
  exec->record.running = false;
  exec->record.exit_code = event.exit_code;
  std::erase(container->record.exec_ids, exec->record.id);
  exec->settled.set();
  exec->exited.set();
  if (!exec->internal) {
    if (auto removed = core.records->remove_exec(exec->record.id); !removed)
      log::warn("{}", removed.error().message());
  }
  core.publish(container->record, "exec_die",
               {{"execID", exec->record.id}, {"exitCode", std::to_string(event.exit_code)}});
}

void execs_ended(Core& core, Container& container, Run& run) {
  for (auto& [token, exec] : run.execs) {
    exec->record.running = false;
    if (!exec->record.exit_code) exec->record.exit_code = 137;
    exec->settled.set();
    exec->exited.set();
    if (!exec->internal) {
      if (auto removed = core.records->remove_exec(token); !removed)
        log::warn("{}", removed.error().message());
    }
  }
  run.execs.clear();
  container.record.exec_ids.clear();
  // What has never been started was for this run: it is gone with it.
  for (const auto& exec : container.execs) {
    if (exec->record.started) continue;
    core.execs.erase(exec->record.id);
    exec->settled.set();
  }
  std::erase_if(container.execs, [](const auto& exec) { return !exec->record.started; });
}

io::Task<Result<std::string>> Containers::exec_create(std::string reference, spec::ExecConfig config) {
  CO_TRY(auto container, core_.containers.find(reference));
  if (container->record.state.status == Status::Paused) {
    co_return failure(Kind::WrongState, "Container {} is paused, unpause the container before exec",
                      reference);
  }
  CO_TRY(auto exec, make_exec(container, std::move(config)));
  io::Task<Result<void>> checking = check_user(core_, container->record, exec->record.config.user);
  CO_CHECK(co_await std::move(checking));
  CO_CHECK(may_exec(container->record));
  drop_oldest_ended(core_, *container);
  exec->record.open_stdin = exec->record.config.attach_stdin;
  exec->record.open_stdout = exec->record.config.attach_stdout;
  exec->record.open_stderr = exec->record.config.attach_stderr;
  core_.execs[exec->record.id] = exec;
  container->execs.push_back(exec);
  container->record.exec_ids.push_back(exec->record.id);
  publish_exec_create(core_, container->record, *exec);
  co_return exec->record.id;
}

Result<ExecPtr> Containers::find_exec(std::string_view id) const {
  TRY(auto exec, exec_of(core_, id));
  return share(exec);
}

Result<ExecPtr> Containers::check_exec_start(std::string_view id) const {
  TRY(auto exec, exec_of(core_, id));
  auto container = core_.containers.by_id(exec->record.container_id);
  if (!container) return failure(Kind::NotFound, "No such exec instance: {}", id);
  if (exec->record.exit_code)
    return failure(Kind::WrongState, "exec command {} has already run", exec->record.id);
  if (exec->record.started)
    return failure(Kind::WrongState, "exec command {} is already running", exec->record.id);
  CHECK(may_exec(container->record));
  return share(exec);
}

io::Task<Result<void>> Containers::exec_start(std::string id, ExecStart options) {
  CO_CHECK(check_exec_start(id));
  CO_TRY(auto exec, exec_of(core_, id));
  auto container = core_.containers.by_id(exec->record.container_id);
  if (options.console_size) exec->record.config.console_size = options.console_size;
  CO_TRY(auto clients, attachments(core_, *exec, options));
  io::Task<Result<void>> run = run_exec(core_, std::move(container), std::move(exec), std::move(clients));
  co_return co_await core_.run_to_end(std::move(run));
}

io::Task<Result<void>> Containers::exec_resize(std::string id, uint16_t height, uint16_t width) {
  CO_TRY(auto exec, exec_of(core_, id));
  if (!exec->record.running && !exec->record.exit_code) {
    // Clients size the terminal as soon as the stream is theirs, which is before the command runs.
    io::Task<Result<bool>> starting = settled(exec);
    auto heard =
        co_await io::with_deadline(std::move(starting), std::chrono::steady_clock::now() + kStartWait);
    if (!heard) {
      co_return failure(Kind::WrongState, "exec command {} has not been started within {} seconds", id,
                        kStartWait.count());
    }
  }
  auto container = core_.containers.by_id(exec->record.container_id);
  bool runs = container && container->run && container->run->keeper && exec->record.running;
  if (!runs) co_return failure(Kind::WrongState, "exec command {} is not running", id);
  co_return container->run->keeper->resize(id, height, width);
}

}  // namespace berth::engine
