// What can be done with a volume that docker has no verb for: rename, clone, export, import.
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/format.h"
#include "base/log.h"
#include "engine/core.h"
#include "engine/lifecycle.h"
#include "storage/archive.h"
#include "storage/copy_archive.h"
#include "sys/file.h"
#include "sys/root_dir.h"

namespace berth::engine {
namespace {

Result<void> move_directory(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return Error::from_errno("rename", from, errno);
  return {};
}

/// "old:/x:ro" -> "new:/x:ro"
void rename_in_bind(std::string& bind, const std::string& name, const std::string& new_name) {
  if (bind.starts_with(name + ":")) bind.replace(0, name.size(), new_name);
}

/// Containers know their volumes by name: in what was asked for and in what was resolved.
void rename_in_containers(Core& core, const std::string& name, const VolumeRecord& volume) {
  for (const ContainerHandle& container : core.containers.all()) {
    ContainerRecord& record = container->record;
    bool uses = false;
    for (MountPoint& mount : record.mounts) {
      if (mount.type != spec::MountType::Volume || mount.name != name) continue;
      mount.name = volume.name;
      mount.source = volume.mountpoint;
      uses = true;
    }
    if (!uses) continue;
    for (std::string& bind : record.host_config.binds) rename_in_bind(bind, name, volume.name);
    for (spec::MountRequest& mount : record.host_config.mounts) {
      if (mount.type == spec::MountType::Volume && mount.source == name) mount.source = volume.name;
    }
    core.save_definition(record);
  }
}

bool has_own_data(const VolumeRecord& volume) {
  return !volume.options.contains("device");
}

Error mounted_elsewhere(const VolumeRecord& volume) {
  return failure(
      Kind::Unsupported,
      "volume {} is a mount of {}: its data is there, and is mounted only while a container uses it",
      volume.name, volume.options.at("device"));
}

Result<void> copy_data(const std::string& from, const std::string& to, std::stop_token stop) {
  TRY(auto source, sys::RootDir::open(from));
  TRY(auto target, sys::RootDir::open(to));
  storage::CopyTreeOptions options;
  options.stop = stop;
  CHECK(storage::copy_tree(source, target, options));
  TRY(struct stat status, source.stat("/"));
  CHECK(target.chown("/", status.st_uid, status.st_gid));
  return target.chmod("/", status.st_mode & 07777);
}

io::Task<Result<VolumeRecord>> rename_volume(Core& core, std::string name, std::string new_name) {
  CO_TRY(VolumeRecord volume, core.volumes_facade.find(name));
  CO_CHECK(check_new_volume_name(core, new_name));
  volume.name = new_name;
  volume.mountpoint = volume_dir(core, new_name) + "/_data";
  volume.renamed_from = name;
  volume.labels.erase("com.docker.volume.anonymous");
  CO_CHECK(core.records->replace_volume(name, volume));
  if (auto moved = move_directory(volume_dir(core, name), volume_dir(core, new_name)); !moved) {
    if (auto undone = core.records->replace_volume(new_name, core.volumes.find(name)->second); !undone)
      log::error("{}", undone.error().message());
    co_return std::move(moved).error();
  }
  volume.renamed_from.clear();
  core.volumes.erase(name);
  core.volumes.emplace(new_name, volume);
  rename_in_containers(core, name, volume);
  CO_CHECK(core.records->save_volume(volume));
  publish_volume(core, volume, "rename", {{"oldName", name}});
  co_return volume;
}

io::Task<Result<VolumeRecord>> clone_volume(Core& core, std::string name, std::string new_name) {
  CO_TRY(VolumeRecord source, core.volumes_facade.find(name));
  if (!has_own_data(source)) co_return mounted_elsewhere(source);
  CO_CHECK(check_new_volume_name(core, new_name));
  CreateVolume request{.name = new_name, .driver_options = source.options, .labels = source.labels};
  request.labels.erase("com.docker.volume.anonymous");
  io::Task<Result<VolumeRecord>> creating = core.volumes_facade.create(std::move(request));
  CO_TRY(VolumeRecord made, co_await std::move(creating));
  std::string from = source.mountpoint;
  std::string to = made.mountpoint;
  auto work = [&from, &to](std::stop_token stop) { return copy_data(from, to, stop); };
  auto copied = co_await core.loop.on_worker(work);
  if (copied) co_return made;
  io::Task<Result<void>> removing = core.volumes_facade.remove(new_name, Force::Yes);
  if (auto removed = co_await std::move(removing); !removed) log::warn("{}", removed.error().message());
  co_return std::move(copied).error().in("clone volume", name);
}

}  // namespace

void finish_renames(Core& core) {
  for (auto& [name, volume] : core.volumes) {
    if (volume.renamed_from.empty()) continue;
    bool moved = ::access(volume_dir(core, name).c_str(), F_OK) == 0;
    if (!moved) {
      auto done = move_directory(volume_dir(core, volume.renamed_from), volume_dir(core, name));
      if (!done) log::error("volume {}: {}", name, done.error().message());
    }
    std::string old_name = std::exchange(volume.renamed_from, {});
    rename_in_containers(core, old_name, volume);
    if (auto saved = core.records->save_volume(volume); !saved) log::error("{}", saved.error().message());
  }
}

io::Task<Result<VolumeRecord>> Volumes::rename(std::string name, std::string new_name) {
  io::Task<Result<VolumeRecord>> renaming = rename_volume(core_, std::move(name), std::move(new_name));
  co_return co_await core_.run_to_end(std::move(renaming));
}

io::Task<Result<VolumeRecord>> Volumes::clone(std::string name, std::string new_name) {
  io::Task<Result<VolumeRecord>> cloning = clone_volume(core_, std::move(name), std::move(new_name));
  co_return co_await core_.run_to_end(std::move(cloning));
}

io::Task<Result<void>> Volumes::export_content(std::string name, storage::ByteSink& out) {
  CO_TRY(VolumeRecord volume, find(name));
  if (!has_own_data(volume)) co_return mounted_elsewhere(volume);
  std::string path = volume.mountpoint;
  storage::ByteSink* sink = &out;
  auto work = [&path, sink](std::stop_token stop) -> Result<void> {
    TRY(auto root, sys::RootDir::open(path));
    return storage::copy_out(root, "/.", *sink, {.base_name = {}, .stop = stop});
  };
  co_return co_await core_.loop.on_worker(work);
}

io::Task<Result<VolumeRecord>> Volumes::import_content(std::string name, storage::ByteSource& archive) {
  CreateVolume request{.name = name};
  io::Task<Result<VolumeRecord>> creating = create(std::move(request));
  CO_TRY(VolumeRecord volume, co_await std::move(creating));
  if (!has_own_data(volume)) co_return mounted_elsewhere(volume);
  std::string path = volume.mountpoint;
  storage::ByteSource* source = &archive;
  auto work = [&path, source](std::stop_token stop) -> Result<void> {
    TRY(auto root, sys::RootDir::open(path));
    storage::CopyInOptions options;
    options.stop = stop;
    return storage::copy_in(root, "/", *source, options);
  };
  auto unpacked = co_await core_.loop.on_worker(work);
  if (!unpacked) co_return std::move(unpacked).error().in("import into volume", name);
  co_return volume;
}

}  // namespace berth::engine
