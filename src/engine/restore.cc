// Restoring.
#include "engine/restore.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "base/format.h"
#include "base/log.h"
#include "engine/checkpoint_record.h"
#include "engine/container_network.h"
#include "engine/mount_id_map.h"
#include "engine/rootless.h"
#include "engine/sandbox_table.h"
#include "engine/user_namespace.h"
#include "launch/criu_container.h"
#include "launch/failpoint.h"
#include "launch/restore_plan.h"
#include "launch/restore_root.h"
#include "launch/stdio_record.h"
#include "sys/file.h"
#include "sys/packet_socket.h"
#include "sys/placed_mounts.h"

namespace berth::engine {
namespace {

constexpr size_t kMaxCgroups = 64 << 10;

Result<sys::UniqueFd> open_directory(const std::string& path) {
  sys::UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return Error::from_errno("open", path, errno);
  return directory;
}

std::vector<std::string> own_environment() {
  std::vector<std::string> list;
  for (char** each = environ; *each != nullptr; ++each) list.emplace_back(*each);
  return list;
}

Error not_possible(const ContainerRecord& record, std::string_view why) {
  return failure(Kind::Unsupported, "container {} cannot be checkpointed: {}", record.name, why);
}

}  // namespace

Result<void> may_checkpoint(const Core& core, const ContainerRecord& record) {
  if (rootless_facts().rootless)
    return not_possible(record, "criu needs root, and this engine is an ordinary user's");
  const spec::HostConfig& host = record.host_config;
  TRY(auto maps, user_maps(host));
  if (maps || has_id_maps(record.mounts))
    return not_possible(record,
                        "it has a user namespace of its own or mounts with mapped owners (--userns, idmap)");
  if (!host.pid_mode.empty() && host.pid_mode != "private")
    return not_possible(record, fmt::format("its pid namespace is not its own (--pid {})", host.pid_mode));
  if (host.init.value_or(false))
    return not_possible(record, "its init (--init) is a program in memory, which criu cannot restore");
  if (SandboxTable::of(core).find(record.id) != nullptr)
    return not_possible(record, "it is a function's sandbox");
  for (const MountPoint& mount : record.mounts) {
    auto volume = core.volumes.find(mount.name);
    bool plain = mount.type != spec::MountType::Volume || volume == core.volumes.end() ||
                 volume->second.options.empty();
    if (mount.type == spec::MountType::Image || !plain)
      return not_possible(record,
                          fmt::format("the mount at {} is an image or a volume with options of its own, "
                                      "which criu does not know",
                                      mount.destination));
  }
  return {};
}

void name_network(const std::string& path, spec::RuntimeSpec& spec) {
  for (auto& each : spec.namespaces)
    if (each.type == spec::NamespaceType::Network && each.path.empty()) each.path = path;
}

std::string criu_work_dir(const Core& core, const ContainerRecord& record) {
  return core.container_dir(record.id) + "/criu";
}

void give_up_restore(const Container& container) {
  const std::shared_ptr<Run>& run = container.run;
  if (!run || !run->keeper || run->criu == 0 || run->settled.is_set()) return;
  if (auto told = run->keeper->signal("", SIGKILL); !told) log::debug("{}", told.error().message());
}

Restore::Restore(Core& core, ContainerHandle container, PreparedRun prepared, std::string images)
    : core_(core),
      container_(std::move(container)),
      run_(container_->run),
      prepared_(std::move(prepared)),
      images_path_(std::move(images)),
      work_path_(criu_work_dir(core, container_->record)),
      root_path_(core.exec_dir(container_->record.id) + "/root") {}

/// In a thread of its own, which ends: its mount namespace is nobody else's. criu mounts in its directories,
/// so they must be that namespace's too.
Result<void> Restore::mount_root() {
  TRY(auto mounts, launch::PrivateMounts::enter());
  const auto* overlay = std::get_if<launch::OverlayRoot>(&prepared_.request.root);
  if (overlay == nullptr) return Error(Kind::Internal, "the container has no layers");
  sys::OverlayLayers layers{
      .lower = overlay->lowers, .upper = overlay->upper, .work = overlay->work, .options = overlay->options};
  CHECK(sys::place_overlay(layers, root_path_));
  const spec::RuntimeSpec& spec = prepared_.request.spec;
  CHECK(launch::make_mount_places(root_path_, spec));
  TRY(images_, open_directory(images_path_));
  TRY(work_, open_directory(work_path_));
  launch::CriuSubject subject{.spec = spec,
                              .root = root_path_,
                              .stdio = stdio_,
                              .group = run_->cgroup.get(),
                              .hierarchies = core_.cgroups->hierarchies()};
  launch::CriuPlaces places{.streams = launch::kCriuStreams, .namespaces = launch::kCriuNetwork};
  TRY(auto namespaces, launch::describe_restore(subject, places, request_.options));
  if (namespaces.size() > 1) return Error(Kind::Unsupported, "criu joins the network namespace alone");
  if (!namespaces.empty()) network_ = std::move(namespaces.front());
  TRY(mounts_, mounts.open_namespace());
  return mounts.leave();
}

Result<void> Restore::prepare() {
  TRY(criu_, launch::Criu::find());
  CHECK(sys::make_dirs(work_path_, 0700));
  spec::RuntimeSpec& spec = prepared_.request.spec;
  if (prepared_.netns) name_network(fmt::format("/proc/self/fd/{}", prepared_.netns.fd()), spec);
  CHECK(launch::check_for_criu(spec));
  TRY(auto images, open_directory(images_path_));
  TRY(stdio_, launch::read_descriptors(images.get()));
  if (spec.process.terminal) stdio_.clear();
  launch::CriuOptions& options = request_.options;
  options.log_file = "restore.log";
  options.config_file = launch::criu_config_file();
  options.root = root_path_;
  options.file_locks = true;
  options.empty_network = true;
  Result<void> mounted;
  std::thread([&] { mounted = mount_root(); }).join();
  CHECK(std::move(mounted));
  options.images = images_.get();
  options.work = work_.get();
  return launch::failpoint("restore.mounts");
}

Result<void> Restore::spawn(std::vector<launch::Attachment> attachments) {
  launch::RestoreProgram program{.criu = criu_->program(),
                                 .environment = own_environment(),
                                 .mount_namespace = fmt::format("/proc/{}/fd/{}", ::getpid(), mounts_.get())};
  TRY(auto plan, launch::plan_restore(prepared_.request, program, core_.host));
  CHECK(launch::failpoint("start.plan"));
  plan.setup.fail_at = launch::failing_step();
  TRY(auto pair, sys::make_packet_pair());
  socket_ = std::move(pair.first);
  launch::LaunchFds fds;
  fds.network_namespace = std::move(network_);
  fds.criu_socket = std::move(pair.second);
  fds.attachments = std::move(attachments);
  TRY(auto keeper, launch::Keeper::spawn(*core_.keeper_program, plan, std::move(fds)));
  run_->keeper.emplace(std::move(keeper));
  return {};
}

/// What criu tells on its way. After "post-restore" all processes are there, and none runs yet.
Result<void> Restore::follow(const launch::CriuAnswer& told, sys::UniqueFd descriptor) {
  CHECK(launch::failpoint("restore." + told.script));
  if (told.script == "orphan-pts-master" && descriptor) {
    if (!prepared_.request.spec.process.terminal)
      return Error(Kind::InvalidArgument,
                   "the checkpoint is of a container with a terminal, and this has none");
    master_ = std::move(descriptor);
  }
  if (told.script != "post-restore") return {};
  if (prepared_.request.spec.process.terminal && !master_)
    return Error(Kind::InvalidArgument,
                 "the checkpoint is of a container without a terminal, and this has one");
  return run_->keeper->adopt(told.pid, master_.get());
}

/// On a worker thread.
Result<void> Restore::talk() {
  launch::StartedCriu criu{.socket = std::move(socket_), .pidfd = {}, .pid = run_->criu};
  criu.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, run_->criu, 0)));
  if (!criu.pidfd) return Error::from_errno("watch over", "criu", errno);
  request_.started = [](pid_t pid, launch::CriuOptions& options) -> Result<void> {
    CHECK(launch::failpoint("restore.criu"));
    TRY(std::string groups, sys::read_file(fmt::format("/proc/{}/cgroup", pid), kMaxCgroups));
    options.cgroup_roots = launch::cgroup_roots(groups);
    return {};
  };
  request_.notified = [this](const launch::CriuAnswer& told, sys::UniqueFd descriptor) {
    return follow(told, std::move(descriptor));
  };
  CHECK(criu_->run(request_, std::move(criu)));
  return launch::failpoint("restore.running");
}

io::Task<void> Restore::drive() {
  co_await run_->criu_ready.wait();
  if (!run_->failure && !run_->exited.is_set()) {
    auto work = [this] { return talk(); };
    auto done = co_await core_.loop.on_worker(work);
    Result<void> told = done ? run_->keeper->release() : Result<void>();
    if (!done) {
      run_->start_problem =
          fmt::format("cannot restore container {} from {}: {} (criu's log is in {})",
                      container_->record.name, images_path_, done.error().message(), work_path_);
      told = run_->keeper->signal("", SIGKILL);
    }
    // One that has gone is noticed by whoever watches it.
    if (!told) log::debug("{}", told.error().message());
  }
  mounts_.reset();
  ::rmdir(root_path_.c_str());
}

}  // namespace berth::engine
