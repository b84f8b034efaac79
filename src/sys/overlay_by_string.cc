// Overlays through mount(2).
#include "sys/overlay_by_string.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <thread>
#include <vector>

#include "base/format.h"
#include "sys/acting_owner.h"
#include "sys/kernel_call.h"
#include "sys/mapped_tree.h"

namespace berth::sys {
namespace {

constexpr size_t kMaxData = 4095;  ///< of mount(2)

/// mount(2) separates layers with ':' and options with ','.
std::string escaped(std::string_view path) {
  std::string text;
  for (char c : path) {
    if (c == ':' || c == ',' || c == '\\') text += '\\';
    text += c;
  }
  return text;
}

/// Runs in a thread that ends with its mount namespace.
class Maker {
 public:
  Maker(const OverlayLayers& layers, unsigned attributes, const OwnerMapping* mapping)
      : layers_(layers), attributes_(attributes), mapping_(mapping) {}

  Result<UniqueFd> run() {
    if (::unshare(CLONE_NEWNS) != 0)
      return Error::from_errno("mount overlay", "make a mount namespace", errno);
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      return Error::from_errno("mount overlay", "make mounts private", errno);
    if (mapping_ != nullptr) CHECK(map_layers());
    std::string data = describe(false).value();
    if (data.size() > kMaxData) {
      TRY(data, describe(true));
      if (data.size() > kMaxData)
        return Error(Kind::Unsupported, "mount overlay: too many layers for this kernel");
    }
    const std::string& place = layers_.upper.empty() ? layers_.lower.front() : layers_.upper;
    CHECK(mount(place, data));
    return detach(place);
  }

 private:
  /// A mapped copy over each directory: its path leads to the copy then.
  Result<void> map_layers() const {
    std::vector<std::string> directories = layers_.lower;
    if (!layers_.upper.empty()) {
      // Upper and work directory have to lie in one mount.
      std::string parent = layers_.upper.substr(0, layers_.upper.rfind('/'));
      if (!layers_.work.starts_with(parent + "/"))
        return failure(Kind::InvalidArgument, "{} is not beside {}", layers_.work, layers_.upper);
      directories.push_back(parent);
    }
    for (const std::string& directory : directories) {
      TRY(UniqueFd tree, clone_mapped_tree(directory, TreeDepth::MountAlone, mapping_->user_namespace,
                                           TreeDepth::MountAlone));
      long error = call::move_mount(tree.get(), "", AT_FDCWD, directory.c_str(), MOVE_MOUNT_F_EMPTY_PATH);
      if (error < 0) return Error::from_errno("attach mapped layer at", directory, static_cast<int>(-error));
    }
    return {};
  }

  Result<std::string> directory(const std::string& path, bool by_descriptor) {
    if (!by_descriptor) return escaped(path);
    TRY(UniqueFd opened, open_file(path.c_str(), O_PATH | O_DIRECTORY));
    std::string link = fmt::format("/proc/self/fd/{}", opened.get());
    opened_.push_back(std::move(opened));
    return link;
  }

  Result<std::string> describe(bool by_descriptor) {
    std::string data;
    for (const std::string& lower : layers_.lower) {
      TRY(std::string path, directory(lower, by_descriptor));
      data += (data.empty() ? "lowerdir=" : ":") + path;
    }
    if (!layers_.upper.empty()) {
      TRY(std::string upper, directory(layers_.upper, by_descriptor));
      TRY(std::string work, directory(layers_.work, by_descriptor));
      data += ",upperdir=" + upper + ",workdir=" + work;
    }
    for (const std::string& option : layers_.options) data += "," + option;
    return data;
  }

  /// overlayfs works on its layers as whoever makes the mount: with mapped owners, the container's root.
  Result<void> mount(const std::string& place, const std::string& data) const {
    std::optional<ActingOwner> owner;
    if (mapping_ != nullptr) owner.emplace(mapping_->root_uid, mapping_->root_gid);
    if (::mount("overlay", place.c_str(), "overlay", 0, data.c_str()) == 0) return {};
    if (mapping_ != nullptr && errno == EINVAL)
      return Error(Kind::Unsupported, "a user namespace of the container's own needs Linux 5.19 or newer");
    return Error::from_errno("mount overlay", place, errno);
  }

  Result<UniqueFd> detach(const std::string& place) const {
    long tree = call::open_tree(AT_FDCWD, place.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0) return Error::from_errno("mount overlay", place, static_cast<int>(-tree));
    UniqueFd fd(static_cast<int>(tree));
    if (attributes_ == 0) return fd;
    mount_attr attributes{};
    attributes.attr_set = attributes_;
    long error = call::set_mount_attributes(fd.get(), "", AT_EMPTY_PATH, attributes);
    if (error < 0) return Error::from_errno("change attributes of", "overlay", static_cast<int>(-error));
    return fd;
  }

  const OverlayLayers& layers_;
  unsigned attributes_;
  const OwnerMapping* mapping_;
  std::vector<UniqueFd> opened_;
};

}  // namespace

Result<UniqueFd> mount_overlay_by_string(const OverlayLayers& layers, unsigned attributes,
                                         const OwnerMapping* mapping) {
  Result<UniqueFd> result = UniqueFd();
  std::thread([&] { result = Maker(layers, attributes, mapping).run(); }).join();
  return result;
}

}  // namespace berth::sys
