// create, run.
#include "apps/runtime/create.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "apps/runtime/annotations.h"
#include "apps/runtime/bundle.h"
#include "apps/runtime/console.h"
#include "apps/runtime/facts.h"
#include "apps/runtime/flags.h"
#include "apps/runtime/known_capabilities.h"
#include "apps/runtime/net_devices.h"
#include "apps/runtime/own_group.h"
#include "apps/runtime/own_program.h"
#include "apps/runtime/resctrl.h"
#include "base/format.h"
#include "base/rollback.h"
#include "launch/direct_launch.h"
#include "launch/failpoint.h"
#include "launch/hooks.h"
#include "launch/namespaces.h"
#include "launch/plan.h"
#include "launch/stdio_record.h"
#include "sys/file.h"
#include "sys/packet_socket.h"

namespace berth::runtime {
namespace {

constexpr Flag kCreateFlags[] = {{"bundle", FlagKind::Value, 'b'},
                                 {"config", FlagKind::Value, 'f'},
                                 {"pid-file"},
                                 {"console-socket"},
                                 {"pidfd-socket"},
                                 {"preserve-fds"},
                                 {"no-pivot", FlagKind::Switch},
                                 {"no-new-keyring", FlagKind::Switch}};
constexpr Flag kRunFlags[] = {{"detach", FlagKind::Switch, 'd'},
                              {"keep", FlagKind::Switch},
                              // berth-runtime never is a subreaper: orphans are the system's.
                              {"no-subreaper", FlagKind::Switch}};

std::vector<Flag> flags_of_run() {
  std::vector<Flag> flags(std::begin(kCreateFlags), std::end(kCreateFlags));
  flags.insert(flags.end(), std::begin(kRunFlags), std::end(kRunFlags));
  return flags;
}

bool any_hooks(const spec::Hooks& hooks) {
  return !hooks.prestart.empty() || !hooks.create_runtime.empty() || !hooks.create_container.empty();
}

Result<launch::LaunchPlan> plan(const Settings& settings, const Container& container,
                                const CreateOptions& options, spec::RuntimeSpec spec,
                                const sys::Cgroup& group) {
  TRY(auto host, facts_for(spec.namespaces));
  if (!spec.mount_label.empty() && !host.selinux)
    settings.complaints.warn("mountLabel has no effect: SELinux is not enabled on this host");
  if (launch::find_namespace(spec.namespaces, spec::NamespaceType::Mount) == nullptr)
    settings.complaints.warn(
        "no mount namespace: mounts, devices, masked and read-only paths and a read-only root have no "
        "effect, as "
        "they would be this host's");
  launch::LaunchRequest request;
  request.id = container.record().id.substr(0, 128);
  request.root =
      launch::DirectoryRoot{.path = container.record().rootfs, .seen_at_path = any_hooks(spec.hooks)};
  // An ordinary user can do nothing that the user namespace's root cannot.
  request.creator_prepares = ::geteuid() == 0;
  request.stdin_mode = launch::StdinMode::Open;
  request.inherits_stdio = true;
  request.moves_root = options.moves_root;
  request.keeps_keyring = options.keeps_keyring;
  request.keeps_groups = keeps_groups(spec);
  request.may_share_mounts = true;
  request.start = launch::StartMode::WhenReleased;
  request.awaits_hooks = any_hooks(spec.hooks) || !spec.net_devices.empty();
  for (const auto& [directory, controllers] : group.directories()) request.cgroups.push_back({directory});
  spec.intel_rdt = false;  // done when there is a process (make_class_of_service())
  request.spec = std::move(spec);
  TRY(auto plan, launch::plan_launch(request, host));
  plan.setup.fail_at = launch::failing_step();
  return plan;
}

/// The specification: what the kernel does not know is warned of, and no reason to fail.
void settle_capabilities(const Settings& settings, spec::Process& process) {
  auto unknown = drop_unknown_capabilities(process);
  const auto& sets = *process.capabilities;
  for (const auto& name : sets.ambient) {
    auto held = [&](const std::vector<std::string>& set) {
      return std::ranges::find(set, name) != set.end();
    };
    if (!held(sets.permitted) || !held(sets.inheritable))
      settings.complaints.warn(
          fmt::format("can't raise ambient capability {}: it is not both permitted and inheritable", name));
  }
  for (const auto& name : unknown)
    settings.complaints.warn(fmt::format("unknown capability \"{}\" is ignored", name));
}

/// At the point between the sandbox and its root. As runc has it, hooks begin in the bundle, those of the
/// container in its root.
Result<void> run_create_hooks(const Container& container, const spec::RuntimeSpec& spec, pid_t pid) {
  CHECK(move_net_devices(spec.net_devices, pid));
  std::string state = container.state_json(Status::Creating, spec.annotations);
  const std::string& bundle = container.record().bundle;
  CHECK(launch::run_hooks(spec.hooks.prestart, {.what = "prestart", .directory = bundle}, state));
  CHECK(launch::run_hooks(spec.hooks.create_runtime, {.what = "createRuntime", .directory = bundle}, state));
  return launch::run_hooks(
      spec.hooks.create_container,
      {.what = "createContainer", .directory = container.record().rootfs, .container = pid}, state);
}

Result<void> check_terminal(const spec::RuntimeSpec& spec, const CreateOptions& options) {
  bool taken = !options.console_socket.empty() || options.console;
  if (spec.process.terminal && !taken)
    return Error(Kind::InvalidArgument, "cannot allocate tty without --console-socket when detached");
  if (!spec.process.terminal && !options.console_socket.empty())
    return Error(Kind::InvalidArgument, "--console-socket is given, but process.terminal is false");
  return {};
}

Result<CreateOptions> options_of(const CommandLine& line) {
  CreateOptions options{.bundle = line.text("bundle"),
                        .pid_file = line.text("pid-file"),
                        .console_socket = line.text("console-socket"),
                        .pidfd_socket = line.text("pidfd-socket"),
                        .moves_root = line.on("no-pivot"),
                        .keeps_keyring = line.on("no-new-keyring")};
  if (line.has("config")) options.config = line.text("config");
  TRY(options.preserve_fds, preserved_descriptors(line));
  return options;
}

}  // namespace

Result<unsigned> preserved_descriptors(const CommandLine& line) {
  TRY(int64_t preserved, line.number("preserve-fds", 0));
  if (preserved < 0 || preserved > 1000)
    return failure(Kind::InvalidArgument, "--preserve-fds {}: it is a number from 0 to 1000", preserved);
  return static_cast<unsigned>(preserved);
}

unsigned inherited_descriptors(unsigned preserve_fds) {
  const char* listen = std::getenv("LISTEN_FDS");
  int passed = listen != nullptr ? std::atoi(listen) : 0;
  return preserve_fds + static_cast<unsigned>(std::clamp(passed, 0, 1000));
}

void close_foreign_descriptors(unsigned inherited) {
  ::close_range(3 + inherited, ~0U, CLOSE_RANGE_CLOEXEC);
}

Result<void> write_pid_file(const std::string& path, pid_t pid) {
  if (path.empty()) return {};
  return sys::write_file_atomic(path, std::to_string(pid), 0644);
}

Result<int> exit_code_of(int pidfd) {
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED) != 0)
    if (errno != EINTR) return Error::from_errno("wait for the container", {}, errno);
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

Result<Container> create_container(const Settings& settings, const std::string& id,
                                   const CreateOptions& options) {
  close_foreign_descriptors(inherited_descriptors(options.preserve_fds));
  TRY(auto bundle, read_bundle(options.bundle, options.config));
  spec::RuntimeSpec& spec = bundle.spec;
  CHECK(check_terminal(spec, options));
  CHECK(check_known_calls(spec));
  settle_capabilities(settings, spec.process);

  TRY(auto container, Container::create(settings.root, id));
  std::unique_ptr<sys::Cgroup> group;
  StandIn stand_in;
  launch::DirectProcess process;
  Rollback rollback;
  rollback.add([&container] { (void)container.remove(); });
  auto original = std::make_shared<const spec::RuntimeSpec>(spec);
  container.set_config(original);
  container.record().bundle = bundle.path;
  container.record().rootfs = bundle.rootfs;
  container.record().config = bundle.config;
  if (!spec.process.terminal) container.record().stdio = launch::describe_stdio();
  rollback.add([&group, &container] { remove_groups(container.record(), group.get()); });
  CHECK(launch::failpoint("create.record"));
  TRY(group, make_group(settings, container, spec, stand_in));
  CHECK(launch::failpoint("create.group"));
  TRY(auto service, make_class_of_service(container, spec));
  make_sources_absolute(spec, bundle.path);
  const unsigned listen_fds = inherited_descriptors(0);
  if (listen_fds > 0) {
    spec.process.env.push_back(fmt::format("LISTEN_FDS={}", listen_fds));
    spec.process.env.push_back("LISTEN_PID=1");
  }
  TRY(auto launch_plan, plan(settings, container, options, std::move(spec), *group));
  launch::DirectRequest request{.inherited = inherited_descriptors(options.preserve_fds)};
  TRY(request.start_listener, container.listen());
  CHECK(launch::failpoint("create.listener"));
  TRY(process, launch::clone_process(launch_plan, std::move(request)));
  rollback.add([&process] { launch::end_process(process); });
  container.set_init(process.pid);
  CHECK(launch::failpoint("create.process"));
  if (!service.directory.empty()) CHECK(fill_resctrl(service, container.record().resctrl_made, process.pid));

  launch::DirectCallbacks callbacks;
  callbacks.hooks = [&](pid_t pid) { return run_create_hooks(container, *original, pid); };
  callbacks.console = [&](sys::UniqueFd master) -> Result<void> {
    if (!options.console_socket.empty()) return send_console(options.console_socket, master.get());
    return options.console(std::move(master));
  };
  CHECK(launch::follow(process, callbacks));
  CHECK(launch::failpoint("create.ready"));
  if (!options.pidfd_socket.empty())
    CHECK(send_with_descriptor(options.pidfd_socket, "pidfd", process.pidfd.get()));
  CHECK(container.save_init());
  CHECK(write_pid_file(options.pid_file, process.pid));
  if (!options.pid_file.empty()) rollback.add([&options] { ::unlink(options.pid_file.c_str()); });
  CHECK(launch::failpoint("create.pid-file"));
  rollback.keep();
  return container;
}

Result<int> create(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, kCreateFlags));
  TRY(std::string id, line.argument(0, "the container's id"));
  TRY(auto options, options_of(line));
  CHECK(create_container(settings, id, options));
  return 0;
}

Result<int> run(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, flags_of_run()));
  TRY(std::string id, line.argument(0, "the container's id"));
  TRY(auto options, options_of(line));
  bool detached = line.on("detach");
  sys::UniqueFd master;
  if (!detached && options.console_socket.empty()) {
    options.console = [&master](sys::UniqueFd fd) -> Result<void> {
      prepare_relay(fd.get());
      master = std::move(fd);
      return {};
    };
  }
  TRY(auto container, create_container(settings, id, options));
  TRY(auto init, container.init());
  TRY(auto config, container.config());
  const spec::RuntimeSpec& spec = *config;
  if (auto started = start_container(settings, container, spec); !started) {
    (void)destroy_container(settings, container);
    return std::move(started).error();
  }
  if (detached) return 0;
  Result<void> relayed = master ? relay_terminal(master.get(), init.get()) : relay_signals(init.get());
  if (!relayed) return std::move(relayed).error();
  TRY(int code, exit_code_of(init.get()));
  if (!line.on("keep")) CHECK(destroy_container(settings, container));
  return code;
}

}  // namespace berth::runtime
