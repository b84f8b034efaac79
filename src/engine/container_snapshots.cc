// Saved states of what a container has written, and containers made from one that exists. A snapshot is a
// copy of the writable layer (reflinked where the filesystem can), kept in the container's directory and
// removed with it.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "base/format.h"
#include "base/log.h"
#include "engine/core.h"
#include "engine/lifecycle.h"
#include "storage/copy_archive.h"
#include "sys/file.h"
#include "sys/root_dir.h"

namespace berth::engine {
namespace {

Result<void> check_snapshot_name(const std::string& name) {
  auto legal = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.'; };
  bool fits = !name.empty() && name.size() <= 128 && name.front() != '.' &&
              std::all_of(name.begin(), name.end(), legal);
  if (fits) return {};
  return failure(Kind::InvalidArgument, "invalid snapshot name \"{}\": letters, digits, '_', '-' and '.'",
                 name.substr(0, 128));
}

/// The writable layer, and where its snapshots are.
struct Layers {
  std::string upper;
  std::string snapshots;
};

Result<Layers> layers_of(Core& core, const ContainerRecord& record) {
  auto durability =
      record.host_config.auto_remove ? storage::UpperDurability::Disposable : storage::UpperDurability::Kept;
  TRY(auto overlay, core.snapshotter->mount_spec(record.id, record.chain_id, durability));
  return Layers{overlay.upper, core.container_dir(record.id) + "/snapshots"};
}

/// A directory's content and its own mode and owner, into a new directory.
Result<void> copy_layer(const std::string& from, const std::string& to, std::stop_token stop) {
  CHECK(sys::make_dirs(to, 0755));
  TRY(auto source, sys::RootDir::open(from));
  TRY(auto target, sys::RootDir::open(to));
  storage::CopyTreeOptions options;
  options.overlay_marks = storage::OverlayMarks::Keep;
  options.stop = stop;
  CHECK(storage::copy_tree(source, target, options));
  TRY(struct stat status, source.stat("/"));
  CHECK(target.chown("/", status.st_uid, status.st_gid));
  return target.chmod("/", status.st_mode & 07777);
}

/// Copies beside the target and renames, so that what has a name is whole.
Result<void> make_snapshot(const Layers& layers, const std::string& name, std::stop_token stop) {
  std::string target = layers.snapshots + "/" + name;
  std::string staging = layers.snapshots + "/.new-" + name;
  CHECK(sys::make_dirs(layers.snapshots, 0700));
  CHECK(sys::remove_tree(staging));
  CHECK(copy_layer(layers.upper, staging, stop));
  if (::rename(staging.c_str(), target.c_str()) != 0) return Error::from_errno("rename", staging, errno);
  return {};
}

/// The copy takes the layer's place in one step; a kill leaves the one or the other.
Result<void> restore_snapshot(const Layers& layers, const std::string& name, std::stop_token stop) {
  std::string staging = layers.upper + ".rollback";
  CHECK(sys::remove_tree(staging));
  CHECK(copy_layer(layers.snapshots + "/" + name, staging, stop));
  if (::syscall(SYS_renameat2, AT_FDCWD, staging.c_str(), AT_FDCWD, layers.upper.c_str(), RENAME_EXCHANGE) !=
      0)
    return Error::from_errno("exchange", layers.upper, errno);
  return sys::remove_tree(staging);
}

Result<ContainerSnapshot> describe(const Layers& layers, const std::string& name) {
  std::string path = layers.snapshots + "/" + name;
  struct statx status {};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_BTIME | STATX_CTIME, &status) != 0)
    return Error::from_errno("stat", path, errno);
  TRY(auto usage, sys::disk_usage(path));
  // The directory keeps the layer's own times; its inode was born with the snapshot.
  const struct statx_timestamp& made =
      (status.stx_mask & STATX_BTIME) != 0 ? status.stx_btime : status.stx_ctime;
  Timestamp created = from_unix_nanoseconds(made.tv_sec * 1'000'000'000 + made.tv_nsec);
  return ContainerSnapshot{name, created, usage.allocated_bytes};
}

bool exists(const Layers& layers, const std::string& name) {
  return ::access((layers.snapshots + "/" + name).c_str(), F_OK) == 0;
}

Error no_snapshot(const ContainerRecord& record, const std::string& name) {
  return failure(Kind::NotFound, "container {} has no snapshot {}", record.name, name.substr(0, 128));
}

/// A program that runs is held while its files are copied, so that they fit together.
class Held {
 public:
  explicit Held(sys::Cgroup* cgroup) : cgroup_(cgroup) {}
  Result<void> freeze() {
    if (cgroup_ == nullptr) return {};
    return cgroup_->freeze();
  }
  ~Held() {
    if (cgroup_ == nullptr) return;
    if (auto thawed = cgroup_->thaw(); !thawed) log::warn("{}", thawed.error().message());
  }

 private:
  sys::Cgroup* cgroup_;
};

io::Task<Result<ContainerSnapshot>> take_snapshot(Core& core, ContainerHandle container, std::string name) {
  io::Mutex::Guard guard = co_await container->operation.lock();
  const ContainerRecord& record = container->record;
  if (container->removed) co_return failure(Kind::NotFound, "No such container: {}", record.name);
  CO_TRY(Layers layers, layers_of(core, record));
  if (exists(layers, name))
    co_return failure(Kind::AlreadyExists, "container {} has a snapshot {} already", record.name, name);
  std::shared_ptr<Run> run = container->run;
  sys::Cgroup* cgroup = run && record.state.status == Status::Running ? run->cgroup.get() : nullptr;
  auto work = [&](std::stop_token stop) -> Result<ContainerSnapshot> {
    {
      Held held(cgroup);
      CHECK(held.freeze());
      CHECK(make_snapshot(layers, name, stop));
    }
    return describe(layers, name);
  };
  auto made = co_await core.loop.on_worker(work);
  if (!made) co_return std::move(made).error().in("snapshot of container", record.name);
  core.publish(record, "snapshot", {{"snapshot", name}});
  co_return *made;
}

io::Task<Result<void>> roll_back(Core& core, ContainerHandle container, std::string name) {
  io::Mutex::Guard guard = co_await container->operation.lock();
  const ContainerRecord& record = container->record;
  if (container->removed) co_return failure(Kind::NotFound, "No such container: {}", record.name);
  CO_TRY(Layers layers, layers_of(core, record));
  if (!exists(layers, name)) co_return no_snapshot(record, name);
  if (is_alive(record.state.status) || container->run != nullptr) {
    co_return failure(Kind::WrongState, "container {} runs: stop it before you roll it back", record.name);
  }
  co_await container->torn_down.wait();
  auto work = [&](std::stop_token stop) { return restore_snapshot(layers, name, stop); };
  auto restored = co_await core.loop.on_worker(work);
  if (!restored) co_return std::move(restored).error().in("rollback of container", record.name);
  core.publish(record, "rollback", {{"snapshot", name}});
  co_return Result<void>();
}

/// The same container's request again, without what can only be had once.
CreateContainer request_of(const ContainerRecord& record, std::string name) {
  CreateContainer request{
      .request = {.config = record.config, .host_config = record.host_config, .endpoints = {}},
      .name = std::move(name),
      .platform = {}};
  if (request.request.config.hostname == record.short_id()) request.request.config.hostname.clear();
  request.request.config.mac_address.clear();
  for (auto& [port, bindings] : request.request.host_config.port_bindings) {
    for (spec::PortBinding& binding : bindings) binding.host_port.clear();
  }
  for (const auto& [network, settings] : record.endpoints) {
    request.request.endpoints[network] = {.aliases = settings.aliases,
                                          .driver_opts = settings.driver_opts,
                                          .gw_priority = settings.gw_priority};
  }
  return request;
}

io::Task<Result<CreatedContainer>> clone_container(Core& core, ContainerHandle source, std::string name) {
  CreateContainer request = request_of(source->record, std::move(name));
  if (request.request.host_config.network_mode.starts_with("container:")) request.request.endpoints.clear();
  // The image may have another name by now, or none.
  std::string image_name = std::exchange(request.request.config.image, source->record.image_id.str());
  io::Task<Result<CreatedContainer>> creating = core.containers_facade.create(std::move(request));
  CO_TRY(CreatedContainer made, co_await std::move(creating));
  ContainerHandle copy = core.containers.by_id(made.id);
  if (!copy) co_return failure(Kind::NotFound, "No such container: {}", made.id);
  copy->record.config.image = image_name;
  core.save_definition(copy->record);
  CO_TRY(Layers from, layers_of(core, source->record));
  CO_TRY(Layers to, layers_of(core, copy->record));
  std::shared_ptr<Run> run = source->run;
  sys::Cgroup* cgroup = run && source->record.state.status == Status::Running ? run->cgroup.get() : nullptr;
  auto work = [&](std::stop_token stop) -> Result<void> {
    Held held(cgroup);
    CHECK(held.freeze());
    return copy_layer(from.upper, to.upper, stop);
  };
  auto copied = co_await core.loop.on_worker(work);
  if (copied) co_return made;
  io::Task<Result<void>> removing = core.containers_facade.remove(made.id, {.force = Force::Yes});
  if (auto removed = co_await std::move(removing); !removed) log::warn("{}", removed.error().message());
  co_return std::move(copied).error().in("clone of container", source->record.name);
}

}  // namespace

io::Task<Result<ContainerSnapshot>> Containers::snapshot(std::string reference, std::string name) {
  CO_CHECK(check_snapshot_name(name));
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  io::Task<Result<ContainerSnapshot>> work = take_snapshot(core_, container, std::move(name));
  co_return co_await core_.run_to_end(std::move(work));
}

io::Task<Result<std::vector<ContainerSnapshot>>> Containers::snapshots(std::string reference) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  Layers layers{{}, core_.container_dir(container->record.id) + "/snapshots"};
  auto work = [&layers]() -> Result<std::vector<ContainerSnapshot>> {
    std::vector<ContainerSnapshot> list;
    auto entries = sys::list_dir(layers.snapshots);
    if (!entries && entries.error().kind() == Kind::NotFound) return list;
    if (!entries) return std::move(entries).error();
    for (const sys::DirEntry& entry : *entries) {
      if (entry.name.front() == '.') continue;
      TRY(auto snapshot, describe(layers, entry.name));
      list.push_back(std::move(snapshot));
    }
    std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
      return a.created != b.created ? a.created < b.created : a.name < b.name;
    });
    return list;
  };
  co_return co_await core_.loop.on_worker(work);
}

io::Task<Result<void>> Containers::remove_snapshot(std::string reference, std::string name) {
  CO_CHECK(check_snapshot_name(name));
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  Layers layers{{}, core_.container_dir(container->record.id) + "/snapshots"};
  if (!exists(layers, name)) co_return no_snapshot(container->record, name);
  std::string path = layers.snapshots + "/" + name;
  auto work = [&path] { return sys::remove_tree(path); };
  co_return co_await core_.loop.on_worker(work);
}

io::Task<Result<void>> Containers::rollback(std::string reference, std::string name) {
  CO_CHECK(check_snapshot_name(name));
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  io::Task<Result<void>> work = roll_back(core_, container, std::move(name));
  co_return co_await core_.run_to_end(std::move(work));
}

io::Task<Result<CreatedContainer>> Containers::clone(std::string reference, std::string name) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  io::Task<Result<CreatedContainer>> work = clone_container(core_, container, std::move(name));
  co_return co_await core_.run_to_end(std::move(work));
}

}  // namespace berth::engine
