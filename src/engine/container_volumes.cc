// Volumes of a container: made at its create, initialised from its image, and removed with it when nobody
// else has a name for them.
#include <algorithm>

#include "base/format.h"
#include "base/log.h"
#include "engine/lifecycle.h"
#include "engine/paths.h"
#include "storage/copy_archive.h"

namespace berth::engine {
namespace {

/// Copies what the image has at the mount's destination into the volume, if that is empty.
Result<void> initialise(storage::Snapshotter& snapshotter, const std::optional<Digest>& chain,
                        const MountPoint& mount, const VolumeRecord& volume, std::stop_token stop) {
  if (!chain) return {};
  TRY(auto root, snapshotter.view_chain(*chain));
  TRY(auto directory, sys::RootDir::open(volume.mountpoint, sys::Scope::Beneath));
  if (!mount.subpath.empty()) {
    auto below = directory.open_dir(mount.subpath);
    // A file, a path that is not there or leads elsewhere: what is wrong with it is the start's to say.
    if (!below) return {};
    directory = std::move(*below);
  }
  return storage::copy_up(root, mount.destination, directory, stop);
}

bool is_initialised_from_image(const MountPoint& mount, const VolumeRecord& volume) {
  // CVE-2020-1726: what a volume holds is never replaced; copy_up() looks again. Options name another device.
  return !mount.no_copy && !volume.options.contains("device");
}

std::vector<std::string> volumes_of(const ContainerRecord& record) {
  std::vector<std::string> names;
  for (const MountPoint& mount : record.mounts) {
    if (mount.type == spec::MountType::Volume) names.push_back(mount.name);
  }
  return names;
}

bool is_used(const Core& core, const std::string& volume, std::string_view except_id) {
  for (const ContainerHandle& container : core.containers.all()) {
    if (container->record.id == except_id) continue;
    auto names = volumes_of(container->record);
    if (std::find(names.begin(), names.end(), volume) != names.end()) return true;
  }
  return false;
}

/// What --mount says of a new volume, by its name, or, of one without, by where it is mounted. nullptr:
/// nothing.
const spec::MountRequest::Volume* wanted_volume(const ContainerRecord& record, const MountPoint& mount) {
  for (const spec::MountRequest& request : record.host_config.mounts) {
    if (request.type != spec::MountType::Volume || !request.volume) continue;
    bool is_it = request.source.empty() ? mount.anonymous && clean_path(request.target) == mount.destination
                                        : request.source == mount.name;
    if (is_it) return &*request.volume;
  }
  return nullptr;
}

}  // namespace

void publish_volumes(Core& core, const ContainerRecord& record, std::string_view action) {
  for (const MountPoint& mount : record.mounts) {
    if (mount.type != spec::MountType::Volume) continue;
    std::map<std::string, std::string> attributes = {{"container", record.id}, {"driver", mount.driver}};
    if (action == "mount") {
      attributes["destination"] = mount.destination;
      attributes["read/write"] = mount.read_write ? "true" : "false";
      attributes["propagation"] = mount.propagation;
    }
    core.events.publish("volume", std::string(action), mount.name, std::move(attributes));
  }
}

io::Task<Result<void>> make_volumes(Core& core, ContainerRecord& record) {
  for (MountPoint& mount : record.mounts) {
    if (mount.type != spec::MountType::Volume) continue;
    CreateVolume request{.name = mount.name};
    if (const spec::MountRequest::Volume* wanted = wanted_volume(record, mount)) {
      request.labels = wanted->labels;
      if (!core.volumes.contains(mount.name)) request.driver_options = wanted->driver_options;
    }
    if (mount.anonymous) request.labels["com.docker.volume.anonymous"] = "";
    io::Task<Result<VolumeRecord>> create = core.volumes_facade.create(std::move(request));
    CO_TRY(auto volume, co_await std::move(create));
    mount.driver = volume.driver;
    mount.source = volume.mountpoint;
    if (!is_initialised_from_image(mount, volume)) continue;
    auto copied = co_await core.loop.on_worker([&](std::stop_token stop) {
      return initialise(*core.snapshotter, record.chain_id, mount, volume, stop);
    });
    if (!copied) {
      co_return std::move(copied).error().in(fmt::format("initialise volume {} at", mount.name),
                                             mount.destination);
    }
  }
  co_return Result<void>();
}

std::vector<std::string> own_anonymous_volumes(const Core& core, const ContainerRecord& record) {
  std::vector<std::string> unused;
  for (const MountPoint& mount : record.mounts) {
    if (mount.type != spec::MountType::Volume) continue;
    auto volume = core.volumes.find(mount.name);
    if (volume == core.volumes.end() || !volume->second.anonymous()) continue;
    if (!is_used(core, mount.name, record.id)) unused.push_back(mount.name);
  }
  return unused;
}

io::Task<void> remove_volumes(Core& core, std::vector<std::string> names) {
  for (const std::string& name : names) {
    io::Task<Result<void>> remove = core.volumes_facade.remove(name, Force::Yes);
    auto removed = co_await std::move(remove);
    // Another container may have come to use it.
    if (!removed && removed.error().kind() != Kind::WrongState) log::warn("{}", removed.error().message());
  }
}

void remove_anonymous_volumes(Core& core, const ContainerRecord& record) {
  auto unused = own_anonymous_volumes(core, record);
  if (!unused.empty()) core.in_background(remove_volumes(core, std::move(unused)));
}

}  // namespace berth::engine
