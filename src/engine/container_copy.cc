// Files in and out of a container: diff, export, and docker cp. A running container is seen through its own
// root; of one that is stopped the merged view is opened without mounting it anywhere, and paths below its
// volumes lead to their sources.
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/format.h"
#include "base/log.h"
#include "engine/container_users.h"
#include "engine/core.h"
#include "engine/image_subpath.h"
#include "engine/mount_sources.h"
#include "engine/mounted_paths.h"
#include "engine/paths.h"
#include "engine/user_namespace.h"
#include "engine/working_directory.h"
#include "spec/image.h"
#include "storage/copy_archive.h"
#include "sys/acting_owner.h"
#include "sys/process_root.h"
#include "sys/root_dir.h"

namespace berth::engine {
namespace {

/// A path as it is reached from outside: beneath a root, by a path of that root.
struct Place {
  sys::RootDir root;
  std::string path;
  std::string name;         ///< what the container calls it
  std::string target = {};  ///< where it leads in the container, if it is a link in one that does not run
};

/// What finding a place needs, copied so that a worker thread can use it.
struct PlaceInputs {
  storage::Snapshotter* snapshotter;
  std::string id;
  std::string reference;  ///< as the client names the container
  std::optional<Digest> chain_id;
  int pid = 0;  ///< 0: not running
  bool readonly_root = false;
  std::vector<MountPoint> mounts;
};

/// What the engine puts there when the container runs, once it has run.
void add_own_file(const std::string& source, const char* destination, PlaceInputs& inputs) {
  bool taken = std::any_of(inputs.mounts.begin(), inputs.mounts.end(),
                           [&](const MountPoint& mount) { return mount.destination == destination; });
  if (taken || source.empty() || ::access(source.c_str(), F_OK) != 0) return;
  inputs.mounts.push_back({.type = spec::MountType::Bind,
                           .source = source,
                           .destination = destination,
                           .read_write = !inputs.readonly_root});
}

/// A volume's directory, or the one that its options name. A file system of its own is mounted only while
/// containers run with it: its place is as the root has it.
void show_volume(const VolumeRecord& volume, MountPoint& mount) {
  mount.source = volume.mountpoint;
  if (!volume.options.contains("device")) return;
  if (!apply_volume_options(volume, mount) || !mount.filesystem.empty()) mount.source.clear();
}

PlaceInputs inputs_of(Core& core, const Container& container, std::string reference) {
  const ContainerRecord& record = container.record;
  int pid = container.run != nullptr && is_alive(record.state.status) ? record.state.pid : 0;
  PlaceInputs inputs{core.snapshotter.get(), record.id, std::move(reference),
                     record.chain_id,        pid,       record.host_config.readonly_rootfs,
                     record.mounts};
  for (MountPoint& mount : inputs.mounts) {
    if (mount.type != spec::MountType::Volume) continue;
    auto volume = core.volumes.find(mount.name);
    if (volume != core.volumes.end()) show_volume(volume->second, mount);
  }
  add_own_file(record.resolv_conf_path, "/etc/resolv.conf", inputs);
  add_own_file(record.hostname_path, "/etc/hostname", inputs);
  add_own_file(record.hosts_path, "/etc/hosts", inputs);
  return inputs;
}

std::string base_name(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

Result<sys::RootDir> open_root(const PlaceInputs& inputs, storage::ViewAccess access) {
  if (inputs.pid != 0) return sys::RootDir::open(fmt::format("/proc/{}/root", inputs.pid));
  return inputs.snapshotter->view(inputs.id, inputs.chain_id, access);
}

/// The container's root without its mounts. While it runs through the mount that it writes to: a second one
/// beside that would make the kernel warn of two that share a layer.
Result<sys::RootDir> open_own_root(const PlaceInputs& inputs) {
  if (inputs.pid != 0) {
    auto mount = sys::open_root_mount(inputs.pid);
    if (mount) return sys::RootDir(std::move(*mount));
    log::debug("container {}: {}", inputs.id.substr(0, 12), mount.error().message());
  }
  return inputs.snapshotter->view(inputs.id, inputs.chain_id, storage::ViewAccess::ReadOnly);
}

/// "/x/y/." and "/x/y/" mean what is in the directory: that part of the path is kept.
std::string_view trailing_part(std::string_view path) {
  if (path.ends_with("/.")) return "/.";
  if (path.size() > 1 && path.ends_with('/')) return "/";
  return "";
}

bool is_file(const MountPoint& mount, const Error& why_no_directory) {
  return mount.type == spec::MountType::Bind ||
         (!mount.subpath.empty() && why_no_directory.errno_value() == ENOTDIR);
}

/// A file that is mounted: its directory is the root, its name the path.
Result<sys::ParentAndName> open_file_source(const MountPoint& mount) {
  if (mount.subpath.empty()) {
    TRY(auto host, sys::RootDir::open("/"));
    return host.open_parent(mount.source);
  }
  TRY(auto volume, sys::RootDir::open(mount.source, sys::Scope::Beneath));
  TRY(const std::string path, volume.resolve(mount.subpath));
  return volume.open_parent(std::string_view(path).substr(1));
}

/// Of a container that does not run: in its root, or in the source of the mount that the path leads into.
Result<Place> find_stopped_place(sys::RootDir root, const PlaceInputs& inputs, const std::string& absolute,
                                 storage::ViewAccess access) {
  // Read, the last component may be a link that is meant itself; written to is what it leads to.
  std::string_view tail = trailing_part(absolute);
  bool follows = !tail.empty() || access == storage::ViewAccess::ReadWrite;
  MountedPaths paths(root, inputs.mounts);
  TRY(std::string clean, paths.resolve(absolute, follows ? sys::Follow::Yes : sys::Follow::No));
  // A link in a circle leads nowhere.
  std::string target = paths.resolve(absolute, sys::Follow::Yes).value_or(std::string());
  const MountPoint* mount = paths.mount_of(clean);
  if (mount == nullptr) {
    if (access == storage::ViewAccess::ReadWrite && inputs.readonly_root)
      return Error(Kind::Forbidden, "container rootfs is marked read-only");
    std::string place = clean == "/" ? absolute : clean + std::string(tail);
    return Place{std::move(root), std::move(place), base_name(absolute), std::move(target)};
  }
  if (access == storage::ViewAccess::ReadWrite && !mount->read_write) {
    return Error(Kind::Forbidden, "mounted volume is marked read-only");
  }
  auto source = open_source(*mount);
  if (!source && is_file(*mount, source.error())) {
    TRY(auto file, open_file_source(*mount));
    return Place{sys::RootDir(std::move(file.parent)), "/" + file.name, base_name(clean), std::move(target)};
  }
  if (!source && !mount->subpath.empty()) return subpath_error(mount->source, mount->subpath, source.error());
  if (!source) return std::move(source).error();
  std::string rest = clean.substr(mount->destination.size());
  return Place{std::move(*source),
               (rest.empty() ? "/" : rest) + std::string(rest.empty() && tail == "/" ? "" : tail),
               base_name(clean), std::move(target)};
}

/// Of a container that runs: whether what lies there may be written, asked of the mount itself.
Result<void> check_writable(const sys::RootDir& root, const PlaceInputs& inputs,
                            const std::string& absolute) {
  auto place = root.open_path(absolute);
  struct statvfs status {};
  if (!place || ::fstatvfs(place->get(), &status) != 0 || (status.f_flag & ST_RDONLY) == 0) return {};
  const std::string path = clean_path(absolute) + "/";
  bool in_volume = std::any_of(inputs.mounts.begin(), inputs.mounts.end(), [&](const MountPoint& mount) {
    return !mount.read_write && path.starts_with(mount.destination + "/");
  });
  return Error(Kind::Forbidden,
               in_volume ? "mounted volume is marked read-only" : "container rootfs is marked read-only");
}

Result<Place> find_place(const PlaceInputs& inputs, const std::string& path, storage::ViewAccess access) {
  TRY(sys::RootDir root, open_root(inputs, access));
  std::string absolute = path.starts_with('/') ? path : "/" + path;
  if (inputs.pid != 0) {
    if (access == storage::ViewAccess::ReadWrite) CHECK(check_writable(root, inputs, absolute));
    return Place{std::move(root), absolute, base_name(absolute)};
  }
  return find_stopped_place(std::move(root), inputs, absolute, access);
}

/// Mount points that berth itself made for what it gives every container are no changes of the container's.
void drop_own_files(std::vector<storage::Change>& found) {
  auto is_own = [](const storage::Change& change) {
    bool named = change.path == "/etc/hosts" || change.path == "/etc/hostname" ||
                 change.path == "/etc/resolv.conf" || change.path == "/proc" || change.path == "/sys" ||
                 change.path == "/dev";
    return named && change.kind == storage::ChangeKind::Added;
  };
  if (std::erase_if(found, is_own) == 0) return;
  bool etc_changed = std::any_of(found.begin(), found.end(),
                                 [](const auto& change) { return change.path.starts_with("/etc/"); });
  auto is_etc = [](const storage::Change& change) {
    return change.path == "/etc" && change.kind != storage::ChangeKind::Deleted;
  };
  if (!etc_changed) std::erase_if(found, is_etc);
}

Error missing_path(const std::string& path, const std::string& reference) {
  return failure(Kind::NotFound, "Could not find the file {} in container {}", path, reference);
}

Result<storage::PathStat> stat_place(const PlaceInputs& inputs, const std::string& path) {
  TRY(Place place, find_place(inputs, path, storage::ViewAccess::ReadOnly));
  auto stat = storage::stat_path(place.root, place.path);
  if (!stat && stat.error().kind() == Kind::NotFound) return missing_path(path, inputs.reference);
  if (!stat) return std::move(stat).error();
  if (!place.name.empty() && place.name != ".") stat->name = place.name;
  if (!stat->link_target.empty() && !place.target.empty()) stat->link_target = place.target;
  return stat;
}

}  // namespace

io::Task<Result<std::vector<storage::Change>>> Containers::changes(std::string reference) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  io::Task<Result<void>> settling = settle_working_directory(core_, container);
  CO_CHECK(co_await std::move(settling));
  storage::Snapshotter* snapshotter = core_.snapshotter.get();
  std::string id = container->record.id;
  std::optional<Digest> chain = container->record.chain_id;
  auto work = [snapshotter, id, chain] { return snapshotter->changes(id, chain); };
  CO_TRY(auto found, co_await core_.loop.on_worker(work));
  drop_own_files(found);
  co_return found;
}

io::Task<Result<void>> Containers::export_root(std::string reference, storage::ByteSink& out) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  io::Task<Result<void>> settling = settle_working_directory(core_, container);
  CO_CHECK(co_await std::move(settling));
  PlaceInputs inputs = inputs_of(core_, *container, reference);
  CO_TRY(UserMaps maps, user_maps(container->record.host_config));
  // With ids of its own a container's mount shows the host's ids.
  if (maps) inputs.pid = 0;
  storage::ByteSink* sink = &out;
  auto work = [inputs, sink](std::stop_token stop) -> Result<void> {
    TRY(sys::RootDir root, open_own_root(inputs));
    storage::PackOptions options;
    options.stop = stop;
    CHECK(storage::pack_tree(root, *sink, options));
    return {};
  };
  core_.publish(container->record, "export");
  co_return co_await core_.loop.on_worker(work);
}

io::Task<Result<storage::PathStat>> Containers::stat_path(std::string reference, std::string path) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  io::Task<Result<void>> settling = settle_working_directory(core_, container);
  CO_CHECK(co_await std::move(settling));
  PlaceInputs inputs = inputs_of(core_, *container, reference);
  auto work = [inputs, path] { return stat_place(inputs, path); };
  co_return co_await core_.loop.on_worker(work);
}

io::Task<Result<void>> Containers::copy_out(std::string reference, std::string path, storage::ByteSink& out,
                                            std::function<void(const storage::PathStat&)> ready) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  io::Task<Result<void>> settling = settle_working_directory(core_, container);
  CO_CHECK(co_await std::move(settling));
  PlaceInputs inputs = inputs_of(core_, *container, reference);
  auto look = [inputs, path] { return stat_place(inputs, path); };
  CO_TRY(storage::PathStat stat, co_await core_.loop.on_worker(look));
  ready(stat);
  storage::ByteSink* sink = &out;
  auto work = [inputs, path, sink](std::stop_token stop) -> Result<void> {
    TRY(Place place, find_place(inputs, path, storage::ViewAccess::ReadOnly));
    storage::CopyOutOptions options;
    if (base_name(place.path) != place.name && trailing_part(path) != "/.") options.base_name = place.name;
    options.stop = stop;
    return storage::copy_out(place.root, place.path, *sink, options);
  };
  // Told before the first byte: who has the last one may ask for the events up to now.
  core_.publish(container->record, "archive-path");
  co_return co_await core_.loop.on_worker(work);
}

io::Task<Result<void>> Containers::copy_in(std::string reference, std::string path,
                                           storage::ByteSource& archive, storage::CopyInOptions options,
                                           CopyOwner owner) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  // A start must not mount the writable layer while it is written from outside.
  io::Mutex::Guard guard = co_await container->operation.lock();
  if (container->removed) co_return failure(Kind::NotFound, "No such container: {}", reference);
  io::Task<Result<void>> settling = settle_working_directory_locked(core_, container);
  CO_CHECK(co_await std::move(settling));
  PlaceInputs inputs = inputs_of(core_, *container, reference);
  storage::ByteSource* source = &archive;
  std::string user = container->record.config.user;
  CO_TRY(UserMaps maps, user_maps(container->record.host_config));
  auto work = [inputs, path, source, options, owner, user,
               maps](std::stop_token stop) mutable -> Result<void> {
    TRY(Place place, find_place(inputs, path, storage::ViewAccess::ReadWrite));
    options.stop = stop;
    if (owner == CopyOwner::ContainerUser && !user.empty()) {
      TRY(sys::RootDir root, open_root(inputs, storage::ViewAccess::ReadOnly));
      TRY(options.owner, owner_of_user(root, user));
    }
    if (maps && inputs.pid != 0) {
      // The root of a running container shows the ids of the host.
      storage::FixedOwner inside = options.owner.value_or(storage::FixedOwner{});
      options.owner = storage::FixedOwner{.uid = outside_id(maps.uids, inside.uid),
                                          .gid = outside_id(maps.gids, inside.gid)};
    }
    std::optional<sys::ActingOwner> acting;
    if (maps && inputs.pid != 0) acting.emplace(outside_id(maps.uids, 0), outside_id(maps.gids, 0));
    auto copied = storage::copy_in(place.root, place.path, *source, options);
    if (!copied && copied.error().kind() == Kind::NotFound) return missing_path(path, inputs.reference);
    return copied;
  };
  CO_CHECK(co_await core_.loop.on_worker(std::move(work)));
  core_.publish(container->record, "extract-to-dir");
  co_return Result<void>();
}

io::Task<Result<ContainerSize>> Containers::size(std::string reference) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  storage::Snapshotter* snapshotter = core_.snapshotter.get();
  std::string id = container->record.id;
  std::optional<Digest> chain = container->record.chain_id;
  auto work = [snapshotter, id, chain]() -> Result<ContainerSize> {
    ContainerSize size;
    TRY(size.writable, snapshotter->usage(id));
    size.root = size.writable;
    if (!chain) return size;
    TRY(auto layers, snapshotter->chain(*chain));
    for (const storage::Layer& layer : layers) size.root += layer.size;
    return size;
  };
  co_return co_await core_.loop.on_worker(work);
}

}  // namespace berth::engine
