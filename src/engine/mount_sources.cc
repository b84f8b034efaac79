// What is mounted at a start.
#include "engine/mount_sources.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/format.h"
#include "engine/image_subpath.h"
#include "sys/file.h"
#include "sys/root_dir.h"

namespace berth::engine {
namespace {

std::vector<std::string> split_options(std::string_view text) {
  std::vector<std::string> options;
  while (!text.empty()) {
    std::string_view option = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), option.size() + 1));
    if (!option.empty()) options.emplace_back(option);
  }
  return options;
}

std::string name_of_descriptor(const sys::UniqueFd& fd) {
  return fmt::format("/proc/{}/fd/{}", ::getpid(), fd.get());
}

/// A path below a directory whose content others control: resolved beneath it, once, and mounted by
/// descriptor.
Result<void> enter_subpath(MountPoint& mount, ResolvedMounts& resolved) {
  if (mount.subpath.empty()) return {};
  TRY(auto root, sys::RootDir::open(mount.source, sys::Scope::Beneath));
  auto opened = root.open_path(mount.subpath);
  if (!opened) {
    return subpath_error(mount.source, mount.subpath, opened.error());
  }
  mount.source = name_of_descriptor(*opened);
  resolved.held.push_back(std::move(*opened));
  return {};
}

Result<void> check_bind(const MountPoint& mount) {
  struct stat status {};
  if (::stat(mount.source.c_str(), &status) == 0) return {};
  if (errno != ENOENT) return Error::from_errno("bind source", mount.source, errno);
  if (mount.create_source) {
    auto made = sys::make_dirs(mount.source, 0755);
    if (made) return {};
    return std::move(made).error().in("error while creating mount source path", "'" + mount.source + "'");
  }
  return failure(Kind::InvalidArgument,
                 "invalid mount config for type \"bind\": bind source path does not exist: {}", mount.source);
}

Result<void> resolve_volume(const MountSourceInputs& inputs, MountPoint& mount, ResolvedMounts& resolved) {
  auto volume = inputs.volumes.find(mount.name);
  if (volume == inputs.volumes.end()) {
    return failure(Kind::NotFound, "error while mounting volume '{}': no such volume", mount.name);
  }
  mount.source = volume->second.mountpoint;
  if (volume->second.options.contains("device")) {
    if (!mount.subpath.empty()) {
      return failure(Kind::Unsupported,
                     "volume {}: a subpath of a volume with mount options cannot be mounted", mount.name);
    }
    return apply_volume_options(volume->second, mount);
  }
  struct stat status {};
  if (::stat(mount.source.c_str(), &status) != 0) {
    return Error::from_errno("error while mounting volume '" + mount.name + "': stat", mount.source, errno);
  }
  return enter_subpath(mount, resolved);
}

Result<void> resolve_image(const MountSourceInputs& inputs, MountPoint& mount, ResolvedMounts& resolved) {
  auto found = inputs.images.find(mount.name);
  if (found == inputs.images.end() || found->second.empty()) {
    return failure(Kind::NotFound, "No such image: {}", mount.name);
  }
  std::vector<std::string> parts = found->second;
  mount.read_write = false;
  if (parts.size() == 1) {
    mount.source = parts.front();
    return enter_subpath(mount, resolved);
  }
  if (!mount.subpath.empty()) {
    TRY(parts, find_in_layers(parts, mount.subpath));
  }
  if (parts.size() == 1) {
    mount.source = parts.front();
    return {};
  }
  mount.filesystem = "overlay";
  mount.source = "overlay";
  for (const std::string& part : parts) mount.tmpfs_options.push_back("lowerdir+=" + part);
  return {};
}

}  // namespace

Result<void> apply_volume_options(const VolumeRecord& volume, MountPoint& mount) {
  auto option = [&](const char* name) {
    auto found = volume.options.find(name);
    return found == volume.options.end() ? std::string() : found->second;
  };
  std::string type = option("type");
  std::string device = option("device");
  auto options = split_options(option("o"));
  bool bind = type == "none" || std::erase(options, "bind") + std::erase(options, "rbind") > 0;
  if (bind) {
    if (device.empty()) {
      return failure(Kind::InvalidArgument, "missing device in volume options of \"{}\"", volume.name);
    }
    mount.source = device;
    mount.propagation = "rprivate";
    if (std::erase(options, "ro") > 0) mount.read_write = false;
    struct stat status {};
    if (::stat(device.c_str(), &status) != 0) {
      return Error::from_errno(fmt::format("error while mounting volume '{}': device", volume.name), device,
                               errno);
    }
    return {};
  }
  if (type.empty()) {
    return failure(Kind::InvalidArgument, "missing required option: \"type\" in volume \"{}\"", volume.name);
  }
  mount.filesystem = type;
  mount.source = device.empty() ? type : device;
  mount.tmpfs_options = std::move(options);
  return {};
}

Result<ResolvedMounts> resolve_mount_sources(std::vector<MountPoint> mounts,
                                             const MountSourceInputs& inputs) {
  ResolvedMounts resolved;
  for (MountPoint& mount : mounts) {
    switch (mount.type) {
      case spec::MountType::Bind: {
        CHECK(check_bind(mount));
        break;
      }
      case spec::MountType::Volume: {
        CHECK(resolve_volume(inputs, mount, resolved));
        break;
      }
      case spec::MountType::Image: {
        CHECK(resolve_image(inputs, mount, resolved));
        break;
      }
      case spec::MountType::Tmpfs:
        break;
    }
    resolved.mounts.push_back(std::move(mount));
  }
  return resolved;
}

}  // namespace berth::engine
