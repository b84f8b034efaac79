// Making mounts detached and attaching them.
#include "sys/placed_mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/format.h"
#include "sys/acting_owner.h"
#include "sys/kernel_call.h"
#include "sys/mapped_tree.h"
#include "sys/overlay_by_string.h"

namespace berth::sys {
namespace {

Result<UniqueFd> descriptor(long result, std::string_view operation, std::string_view subject) {
  if (result < 0) return Error::from_errno(operation, subject, static_cast<int>(-result));
  return UniqueFd(static_cast<int>(result));
}

Result<void> attach_at(int mount, const std::string& place) {
  if (::mkdir(place.c_str(), 0700) != 0 && errno != EEXIST) return Error::from_errno("mkdir", place, errno);
  long error = call::move_mount(mount, "", AT_FDCWD, place.c_str(), MOVE_MOUNT_F_EMPTY_PATH);
  if (error < 0) return Error::from_errno("attach mount at", place, static_cast<int>(-error));
  // The host's own table may be shared: nobody else is to get a copy that outlives this one.
  if (::mount(nullptr, place.c_str(), nullptr, MS_PRIVATE, nullptr) != 0)
    return Error::from_errno("make mount private", place, errno);
  return {};
}

/// The overlay's context and the descriptors that it is configured with.
class MappedOverlay {
 public:
  explicit MappedOverlay(const OwnerMapping& mapping) : mapping_(mapping) {}

  Result<UniqueFd> mount(const OverlayLayers& layers) {
    TRY(context_, descriptor(call::open_filesystem("overlay"), "mount overlay", "fsopen"));
    CHECK(set(FSCONFIG_SET_STRING, "source", "overlay", 0));
    for (const std::string& lower : layers.lower) {
      TRY(UniqueFd tree, mapped(lower));
      CHECK(set(FSCONFIG_SET_FD, "lowerdir+", nullptr, tree.get()));
      trees_.push_back(std::move(tree));
    }
    if (!layers.upper.empty()) CHECK(set_upper(layers));
    for (const std::string& option : layers.options) CHECK(set_option(option));
    CHECK(create());
    return descriptor(call::make_mount(context_.get(), 0), "mount overlay", "fsmount");
  }

 private:
  Result<UniqueFd> mapped(const std::string& path) const {
    return clone_mapped_tree(path, TreeDepth::MountAlone, mapping_.user_namespace, TreeDepth::MountAlone);
  }

  /// overlayfs works on its layers as whoever creates the mount: the container's root.
  Result<void> create() {
    ActingOwner owner(mapping_.root_uid, mapping_.root_gid);
    return set(FSCONFIG_CMD_CREATE, nullptr, nullptr, 0);
  }

  /// Upper and work directory have to lie in one mount, so that it is their parent which is mapped.
  Result<void> set_upper(const OverlayLayers& layers) {
    size_t slash = layers.upper.rfind('/');
    std::string parent = layers.upper.substr(0, slash);
    if (!layers.work.starts_with(parent + "/"))
      return failure(Kind::InvalidArgument, "{} is not beside {}", layers.work, layers.upper);
    TRY(UniqueFd tree, mapped(parent));
    for (auto [key, path] : {std::pair{"upperdir", &layers.upper}, std::pair{"workdir", &layers.work}}) {
      UniqueFd directory(
          ::openat(tree.get(), path->c_str() + slash + 1, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!directory) return Error::from_errno("open", *path, errno);
      CHECK(set(FSCONFIG_SET_FD, key, nullptr, directory.get()));
    }
    trees_.push_back(std::move(tree));
    return {};
  }

  Result<void> set_option(const std::string& option) {
    size_t equals = option.find('=');
    if (equals == std::string::npos) return set(FSCONFIG_SET_FLAG, option.c_str(), nullptr, 0);
    return set(FSCONFIG_SET_STRING, option.substr(0, equals).c_str(), option.c_str() + equals + 1, 0);
  }

  Result<void> set(unsigned command, const char* key, const char* value, int fd) {
    long error = call::configure(context_.get(), command, key, value, fd);
    if (error == -EINVAL && (command == FSCONFIG_SET_FD || command == FSCONFIG_CMD_CREATE))
      return Error(Kind::Unsupported, "overlayfs takes mapped layers by descriptor since Linux 6.15");
    if (error < 0)
      return Error::from_errno("mount overlay", key != nullptr ? key : "create", static_cast<int>(-error));
    return {};
  }

  const OwnerMapping& mapping_;
  UniqueFd context_;
  /// A detached mount falls apart with its descriptor, and overlayfs clones it when it is created.
  std::vector<UniqueFd> trees_;
};

Result<UniqueFd> plain_overlay(const OverlayLayers& layers) {
  TRY(RootDir root, open_detached_overlay(layers));
  // That one is for the engine's own eyes; a container may have set-uid programs.
  UniqueFd mount(::fcntl(root.fd(), F_DUPFD_CLOEXEC, 0));
  if (!mount) return Error::from_errno("duplicate descriptor", "overlay", errno);
  mount_attr attributes{};
  attributes.attr_clr = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;
  long error = call::set_mount_attributes(mount.get(), "", AT_EMPTY_PATH, attributes);
  if (error < 0) return Error::from_errno("change attributes of", "overlay", static_cast<int>(-error));
  return mount;
}

}  // namespace

Result<void> place_overlay(const OverlayLayers& layers, const std::string& place) {
  TRY(UniqueFd mount, plain_overlay(layers));
  return attach_at(mount.get(), place);
}

Result<void> place_mapped_overlay(const OverlayLayers& layers, const OwnerMapping& mapping,
                                  const std::string& place) {
  Result<UniqueFd> mount = MappedOverlay(mapping).mount(layers);
  if (!mount && mount.error().kind() == Kind::Unsupported)
    mount = mount_overlay_by_string(layers, 0, &mapping);
  if (!mount) return mount.error();
  return attach_at(mount->get(), place);
}

Result<void> place_mapped_directory(const std::string& source, int user_namespace, const std::string& place) {
  TRY(UniqueFd tree, clone_mapped_tree(source, TreeDepth::MountAlone, user_namespace, TreeDepth::MountAlone));
  return attach_at(tree.get(), place);
}

Result<void> place_sysfs(const NetworkNamespace& netns, const std::string& place) {
  UniqueFd mount;
  auto make = [&mount]() -> Result<void> {
    TRY(UniqueFd context, descriptor(call::open_filesystem("sysfs"), "mount sysfs", "fsopen"));
    long error = call::configure(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr);
    if (error < 0) return Error::from_errno("mount sysfs", {}, static_cast<int>(-error));
    constexpr unsigned kAttributes =
        MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    TRY(mount, descriptor(call::make_mount(context.get(), kAttributes), "mount sysfs", "fsmount"));
    return {};
  };
  CHECK(netns.run_inside(make));
  return attach_at(mount.get(), place);
}

void remove_placed(const std::string& place) {
  while (::umount2(place.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  ::rmdir(place.c_str());
}

}  // namespace berth::sys
