// What a layer takes from the layers beneath it: the looks of directories that it does not name, and files
// that it only links to.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "storage/layer_names.h"
#include "storage/tree_writer.h"
#include "sys/file.h"

namespace berth::storage {

Result<const std::vector<const sys::RootDir*>*> TreeWriter::lowers() {
  if (!lowers_) {
    TRY(lowers_, find_lowers_());
  }
  return &*lowers_;
}

/// Mode, owner and time of the directory that the topmost layer beneath has under this name.
Result<void> TreeWriter::take_after_lower(const Place& place) {
  TRY(const auto* below, lowers());
  for (const sys::RootDir* lower : *below) {
    auto found = lower->stat(place.path, sys::Follow::No);
    if (!found) continue;
    if (!S_ISDIR(found->st_mode)) break;
    bool owned =
        ::fchownat(place.parent, place.name.c_str(), found->st_uid, found->st_gid, AT_SYMLINK_NOFOLLOW) == 0;
    if (!owned && uid_ == 0) return Error::from_errno("chown", place.path, errno);
    if (::fchmodat(place.parent, place.name.c_str(), found->st_mode & 07777, AT_SYMLINK_NOFOLLOW) != 0) {
      return Error::from_errno("chmod", place.path, errno);
    }
    directory_times_.push_back(
        {place.path,
         {.seconds = found->st_mtim.tv_sec, .nanoseconds = static_cast<uint32_t>(found->st_mtim.tv_nsec)}});
    break;
  }
  return {};
}

/// The file is in a layer beneath only: it is copied up, as overlayfs would for link(2).
Result<void> TreeWriter::copy_from_lower(const std::string& path) {
  TRY(const auto* below, lowers());
  for (const sys::RootDir* lower : *below) {
    auto status = lower->stat(path, sys::Follow::No);
    if (!status) continue;
    if (!S_ISREG(status->st_mode)) break;
    TRY(sys::UniqueFd source, lower->open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    TRY(sys::ParentAndName at, root_.open_parent(path));
    sys::UniqueFd copy(
        ::openat(at.parent.get(), at.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!copy) return Error::from_errno("create", path, errno);
    CHECK(sys::copy_content(source.get(), copy.get()));
    if (::fchown(copy.get(), status->st_uid, status->st_gid) != 0 && uid_ == 0) {
      return Error::from_errno("chown", path, errno);
    }
    if (::fchmod(copy.get(), status->st_mode & 07777) != 0) return Error::from_errno("chmod", path, errno);
    TRY(std::vector<sys::Xattr> attributes, sys::read_xattrs(source.get()));
    for (const sys::Xattr& attribute : attributes) {
      if (is_portable_xattr(attribute.name))
        CHECK(sys::set_xattr(copy.get(), attribute.name, attribute.value));
    }
    timespec times[2] = {status->st_mtim, status->st_mtim};
    if (::futimens(copy.get(), times) != 0) return Error::from_errno("set time", path, errno);
    return {};
  }
  return Error::from_errno("link to", path, ENOENT);
}

}  // namespace berth::storage
