// restore.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "apps/runtime/annotations.h"
#include "apps/runtime/bundle.h"
#include "apps/runtime/console.h"
#include "apps/runtime/create.h"
#include "apps/runtime/criu_flags.h"
#include "apps/runtime/known_capabilities.h"
#include "apps/runtime/net_devices.h"
#include "apps/runtime/own_group.h"
#include "apps/runtime/resources.h"
#include "base/format.h"
#include "base/rollback.h"
#include "launch/criu.h"
#include "launch/criu_container.h"
#include "launch/failpoint.h"
#include "launch/hooks.h"
#include "launch/restore_root.h"
#include "launch/stdio_record.h"
#include "sys/file.h"
#include "sys/netlink.h"

namespace berth::runtime {
namespace {

constexpr size_t kMaxCgroups = 64 << 10;

struct RestoreOptions {
  std::string console_socket;
  std::string pid_file;
  bool detached = false;
};

/// What is made of a container on the way.
struct Restoration {
  Container& container;
  const spec::RuntimeSpec& spec;  ///< as it is recorded
  const RestoreOptions& options;
  const ResctrlGroup& service;
  sys::UniqueFd master = {};  ///< of its terminal, where we relay it
};

/// A new network namespace is empty: its loopback is no affair of hooks.
void set_loopback_up(const spec::RuntimeSpec& spec, pid_t pid) {
  for (const auto& each : spec.namespaces) {
    if (each.type != spec::NamespaceType::Network || !each.path.empty()) continue;
    auto netns = sys::open_file(fmt::format("/proc/{}/ns/net", pid).c_str(), O_RDONLY);
    if (!netns) return;
    auto routes = sys::RouteSocket::open_in(netns->get());
    sys::RouteBatch batch;
    batch.change_link({.index = 1, .up = true});
    if (routes) (void)routes->run(batch);
  }
}

Result<void> run_restore_hooks(const Restoration& restored, pid_t pid) {
  set_loopback_up(restored.spec, pid);
  CHECK(move_net_devices(restored.spec.net_devices, pid));
  std::string state = restored.container.state_json(Status::Creating, restored.spec.annotations);
  const std::string& bundle = restored.container.record().bundle;
  const auto& hooks = restored.spec.hooks;
  CHECK(launch::run_hooks(hooks.prestart, {.what = "prestart", .directory = bundle}, state));
  return launch::run_hooks(hooks.create_runtime, {.what = "createRuntime", .directory = bundle}, state);
}

Result<void> take_terminal(Restoration& restored, sys::UniqueFd master) {
  if (!restored.options.console_socket.empty())
    return send_console(restored.options.console_socket, master.get());
  if (restored.options.detached)
    return Error(Kind::InvalidArgument, "the container has a terminal: restore it with --console-socket");
  prepare_relay(master.get());
  restored.master = std::move(master);
  return {};
}

/// What criu tells on its way.
Result<void> follow(Restoration& restored, const launch::CriuAnswer& told, sys::UniqueFd descriptor) {
  CHECK(launch::failpoint("restore." + told.script));
  if (told.script == "orphan-pts-master" && descriptor) return take_terminal(restored, std::move(descriptor));
  if (told.script == "setup-namespaces") {
    restored.container.set_init(told.pid);
    return run_restore_hooks(restored, told.pid);
  }
  if (told.script != "post-restore") return {};
  restored.container.set_init(told.pid);
  if (!restored.service.directory.empty())
    CHECK(fill_resctrl(restored.service, restored.container.record().resctrl_made, told.pid));
  return {};
}

Result<void> enter_group(const sys::Cgroup& group, const Record& record, pid_t criu,
                         launch::CriuOptions& options) {
  if (record.cgroup.empty()) {
    options.cgroups = launch::CriuCgroups::Ignore;
    return {};
  }
  CHECK(group.attach(criu));
  TRY(std::string groups, sys::read_file(fmt::format("/proc/{}/cgroup", criu), kMaxCgroups));
  options.cgroup_roots = launch::cgroup_roots(groups);
  return {};
}

/// In a mount namespace of our own until criu has begun in it. criu mounts in its directories: they must be
/// that namespace's too.
Result<void> restore_processes(const launch::Criu& criu, CriuFlags& flags, const sys::Cgroup& group,
                               const spec::RuntimeSpec& absolute, Restoration& restored) {
  launch::CriuRequest request{
      .action = launch::CriuAction::Restore, .options = flags.options, .stdio = {0, 1, 2}};
  request.options.log_file = "restore.log";
  request.options.config_file = launch::criu_config_file();
  Container& container = restored.container;
  TRY(const auto* groups_of_host, group_host());
  launch::CriuSubject subject{.spec = absolute,
                              .root = container.record().rootfs,
                              .stdio = container.record().stdio,
                              .group = &group,
                              .hierarchies = groups_of_host->hierarchies()};
  TRY(auto namespaces, launch::describe_restore(subject, {}, request.options));
  for (const auto& each : namespaces) request.passed.push_back(each.get());
  std::string root = container.restore_root();
  if (::mkdir(root.c_str(), 0700) != 0) return Error::from_errno("make directory", root, errno);
  TRY(auto mounts, launch::PrivateMounts::enter());
  CHECK(launch::mount_restore_root(container.record().rootfs, root, absolute));
  TRY(auto place, open_place(flags, PlaceOf::Restore));
  request.options.images = place.images.get();
  request.options.work = place.work.get();
  request.options.root = root;
  request.started = [&](pid_t worker, launch::CriuOptions& options) -> Result<void> {
    CHECK(mounts.leave());
    CHECK(launch::failpoint("restore.criu"));
    return enter_group(group, container.record(), worker, options);
  };
  request.notified = [&](const launch::CriuAnswer& told, sys::UniqueFd descriptor) {
    return follow(restored, told, std::move(descriptor));
  };
  TRY(pid_t pid, criu.run(request));
  ::rmdir(root.c_str());
  if (container.record().pid == pid) return {};
  return failure(Kind::Internal, "criu says that it has restored process {}, which it had not announced",
                 pid);
}

/// Running, and recorded. On failure nothing stays.
Result<Container> restore_container(const Settings& settings, const std::string& id, Bundle bundle,
                                    CriuFlags& flags, const RestoreOptions& options, sys::UniqueFd& master) {
  CHECK(launch::check_for_criu(bundle.spec));
  warn_of_criu_annotation(settings.complaints, bundle.spec);
  TRY(auto criu, launch::Criu::find(settings.criu));
  TRY(auto place, open_place(flags, PlaceOf::Restore));
  TRY(auto stdio, launch::read_descriptors(place.images.get()));
  TRY(auto container, Container::create(settings.root, id));
  std::unique_ptr<sys::Cgroup> group;
  StandIn stand_in;
  Rollback rollback;
  rollback.add([&container] { (void)container.remove(); });
  drop_unknown_capabilities(bundle.spec.process);
  auto config = std::make_shared<const spec::RuntimeSpec>(bundle.spec);
  container.set_config(config);
  Record& record = container.record();
  record.bundle = bundle.path;
  record.rootfs = bundle.rootfs;
  record.config = bundle.config;
  record.stdio = std::move(stdio);
  rollback.add([&] { remove_groups(record, group.get()); });
  TRY(group, make_group(settings, container, *config, stand_in));
  TRY(auto service, make_class_of_service(container, *config));
  make_sources_absolute(bundle.spec, bundle.path);
  Restoration restored{.container = container, .spec = *config, .options = options, .service = service};
  CHECK(restore_processes(criu, flags, *group, bundle.spec, restored));
  // The next checkpoint is of descriptors that are ours now.
  if (!config->process.terminal) record.stdio = launch::describe_stdio();
  CHECK(container.save());
  // Not before criu is through with it: nobody may signal it until then.
  CHECK(container.save_init());
  CHECK(write_pid_file(options.pid_file, record.pid));
  auto hooked = launch::run_hooks(config->hooks.poststart, {.what = "poststart", .directory = record.bundle},
                                  container.state_json(Status::Running, config->annotations));
  if (!hooked) return std::move(hooked).error();
  CHECK(launch::failpoint("restore.running"));
  rollback.keep();
  master = std::move(restored.master);
  return container;
}

}  // namespace

Result<int> restore(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, flags_of_restore()));
  TRY(std::string id, line.argument(0, "the container's id"));
  TRY(auto flags, criu_flags(line));
  RestoreOptions options{.console_socket = line.text("console-socket"),
                         .pid_file = line.text("pid-file"),
                         .detached = line.on("detach")};
  close_foreign_descriptors(0);
  TRY(auto bundle,
      read_bundle(line.text("bundle"), line.has("config") ? line.text("config") : "config.json"));
  sys::UniqueFd master;
  TRY(auto container, restore_container(settings, id, std::move(bundle), flags, options, master));
  if (options.detached) return 0;
  TRY(auto init, container.init());
  Result<void> relayed = master ? relay_terminal(master.get(), init.get()) : relay_signals(init.get());
  if (!relayed) return std::move(relayed).error();
  TRY(int code, exit_code_of(init.get()));
  CHECK(destroy_container(settings, container));
  return code;
}

}  // namespace berth::runtime
