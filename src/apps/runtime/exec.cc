// exec.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>

#include "apps/runtime/console.h"
#include "apps/runtime/create.h"
#include "apps/runtime/flags.h"
#include "apps/runtime/inside.h"
#include "apps/runtime/scope.h"
#include "base/format.h"
#include "base/json.h"
#include "launch/direct_launch.h"
#include "launch/failpoint.h"
#include "spec/runtime_json.h"
#include "sys/file.h"

namespace berth::runtime {
namespace {

constexpr size_t kMaxProcess = 4u << 20;
constexpr int kCannotExec = 255;

constexpr Flag kExecFlags[] = {{"process", FlagKind::Value, 'p'},
                               {"console-socket"},
                               {"pidfd-socket"},
                               {"pid-file"},
                               {"detach", FlagKind::Switch, 'd'},
                               {"tty", FlagKind::Switch, 't'},
                               {"cwd"},
                               {"env", FlagKind::List, 'e'},
                               {"user", FlagKind::Value, 'u'},
                               {"additional-gids", FlagKind::List, 'g'},
                               {"apparmor"},
                               {"process-label"},
                               {"no-new-privs", FlagKind::Switch},
                               {"cap", FlagKind::List, 'c'},
                               {"preserve-fds"},
                               {"cgroup", FlagKind::List},
                               {"ignore-paused", FlagKind::Switch},
                               {"no-subreaper", FlagKind::Switch}};

/// Digits alone: "+1", " 1" and "-18446744073709551615" are no ids, though library functions take them.
Result<uint32_t> parse_id(const std::string& text, std::string_view what) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value == UINT32_MAX)
    return failure(Kind::InvalidArgument, "{} \"{}\" is not a number", what, text);
  return value;
}

Result<void> set_user(spec::User& user, const std::string& text) {
  size_t colon = text.find(':');
  TRY(user.uid, parse_id(text.substr(0, colon), "--user"));
  user.gid = 0;
  if (colon != std::string::npos) {
    TRY(user.gid, parse_id(text.substr(colon + 1), "--user"));
  }
  return {};
}

/// The container's own process, changed by flags.
Result<spec::Process> process_of_flags(const CommandLine& line, spec::Process process) {
  const auto& words = line.arguments();
  process.args.assign(words.begin() + 1, words.end());
  process.terminal = line.on("tty");
  if (line.has("cwd")) process.cwd = line.text("cwd");
  for (const auto& variable : line.list("env")) process.env.push_back(variable);
  if (line.has("user")) CHECK(set_user(process.user, line.text("user")));
  for (const auto& group : line.list("additional-gids")) {
    TRY(uint32_t gid, parse_id(group, "--additional-gids"));
    process.user.additional_gids.push_back(gid);
  }
  if (line.has("apparmor")) process.apparmor_profile = line.text("apparmor");
  if (line.has("process-label")) process.selinux_label = line.text("process-label");
  if (line.has("no-new-privs")) process.no_new_privileges = line.on("no-new-privs");
  for (const auto& name : line.list("cap")) {
    auto& sets = *process.capabilities;
    for (auto* set : {&sets.bounding, &sets.effective, &sets.permitted}) set->push_back(name);
    bool inheritable = std::ranges::find(sets.inheritable, name) != sets.inheritable.end();
    if (inheritable) sets.ambient.push_back(name);
  }
  process.console_size.reset();
  return process;
}

Result<spec::Process> process_of(const CommandLine& line, const spec::RuntimeSpec& spec) {
  std::string file = line.text("process");
  if (file.empty()) return process_of_flags(line, spec.process);
  TRY(std::string text, read_given_file(file, kMaxProcess));
  TRY(Json json, parse_json(text, {.max_bytes = kMaxProcess, .max_depth = 32}));
  TRY(auto process, spec::parse_runtime_process(json));
  // What an exec does not say of its cpus is as the container has it.
  if (process.exec_cpu_affinity.initial.empty() && process.exec_cpu_affinity.final_cpus.empty())
    process.exec_cpu_affinity = spec.process.exec_cpu_affinity;
  if (!process.scheduler) process.scheduler = spec.process.scheduler;
  if (!process.io_priority) process.io_priority = spec.process.io_priority;
  return process;
}

/// What the caller asked to be told of the process.
Result<void> tell_caller(const CommandLine& line, const launch::DirectProcess& child) {
  CHECK(launch::failpoint("exec.running"));
  CHECK(write_pid_file(line.text("pid-file"), child.pid));
  if (!line.has("pidfd-socket")) return {};
  return send_with_descriptor(line.text("pidfd-socket"), "pidfd", child.pidfd.get());
}

}  // namespace

namespace {

Result<int> exec_process(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, kExecFlags, CommandLine::Order::FlagsFirst));
  TRY(std::string id, line.argument(0, "the container's id"));
  TRY(unsigned preserved, preserved_descriptors(line));
  close_foreign_descriptors(inherited_descriptors(preserved));
  TRY(auto container, Container::look(settings.root, id));
  Status status = container.status();
  if (status == Status::Stopped || status == Status::Creating)
    return Error(Kind::WrongState, "cannot exec in a stopped container");
  if (status == Status::Paused && !line.on("ignore-paused"))
    return Error(Kind::WrongState, "cannot exec in a paused container (use --ignore-paused to override)");
  TRY(auto config, container.config());
  const spec::RuntimeSpec& spec = *config;
  TRY(auto process, process_of(line, spec));
  bool terminal = process.terminal;
  std::string console_socket = line.text("console-socket");
  bool detached = line.on("detach");
  if (terminal && detached && console_socket.empty())
    return Error(Kind::InvalidArgument, "cannot allocate tty without --console-socket when detached");

  CHECK(come_near_scope(container.record()));
  TRY(auto init, container.init());
  TRY(auto exec_plan, plan_inside(container, spec, std::move(process), init.get(), line.list("cgroup")));
  launch::DirectRequest request{.inherited = inherited_descriptors(preserved), .container_init = init.get()};
  TRY(auto child, launch::clone_process(exec_plan, std::move(request)));
  sys::UniqueFd master;
  launch::DirectCallbacks callbacks;
  callbacks.console = [&](sys::UniqueFd fd) -> Result<void> {
    if (!console_socket.empty()) return send_console(console_socket, fd.get());
    prepare_relay(fd.get());
    master = std::move(fd);
    return {};
  };
  callbacks.seccomp = [&](sys::UniqueFd listener) {
    return send_listener(container, status, spec, child.pid, listener.get());
  };
  launch::LaunchFailure failed;
  if (auto running = launch::follow(child, callbacks, &failed); !running) {
    settings.complaints.error(fmt::format("exec failed: {}", running.error().message()));
    return kCannotExec;
  }
  if (auto told = tell_caller(line, child); !told) {
    launch::end_process(child);
    return std::move(told).error();
  }
  if (detached) return 0;
  Result<void> relayed =
      master ? relay_terminal(master.get(), child.pidfd.get()) : relay_signals(child.pidfd.get());
  if (!relayed) return std::move(relayed).error();
  return exit_code_of(child.pidfd.get());
}

}  // namespace

Result<int> exec(const Settings& settings, const std::vector<std::string>& words) {
  auto code = exec_process(settings, words);
  if (code) return code;
  // Tells our failures from the program's own, as runc does.
  settings.complaints.error(code.error().message());
  return kCannotExec;
}

}  // namespace berth::runtime
