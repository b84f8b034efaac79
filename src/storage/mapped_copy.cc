// Copying the merged view, then changing owners in the copy.
#include "storage/mapped_copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <set>

#include "base/format.h"
#include "base/id.h"
#include "storage/copy_archive.h"
#include "sys/detached_overlay.h"
#include "sys/file.h"
#include "sys/root_dir.h"

namespace berth::storage {
namespace {

constexpr char kCapabilities[] = "security.capability";

class OwnerChanger {
 public:
  explicit OwnerChanger(const OwnerMap& owners) : owners_(owners) {}

  Result<void> change_below(int directory) {
    TRY(auto entries, sys::list_dir(directory));
    for (const sys::DirEntry& entry : entries) {
      struct stat status {};
      if (::fstatat(directory, entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
        return Error::from_errno("stat", entry.name, errno);
      CHECK(change(directory, entry.name, status));
      if (!S_ISDIR(status.st_mode)) continue;
      sys::UniqueFd child(
          ::openat(directory, entry.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!child) return Error::from_errno("open", entry.name, errno);
      CHECK(change_below(child.get()));
    }
    return {};
  }

  Result<void> change(int directory, const std::string& name, const struct stat& status) {
    // A file with several names is met several times.
    if (status.st_nlink > 1 && !S_ISDIR(status.st_mode) && !seen_.insert(status.st_ino).second) return {};
    // chown(2) drops set-id bits and capabilities.
    auto capabilities = S_ISREG(status.st_mode) ? sys::get_xattr_at(directory, name, kCapabilities)
                                                : Result<std::string>(Error(Kind::NotFound, "none"));
    if (::fchownat(directory, name.c_str(), owners_.uid(status.st_uid), owners_.gid(status.st_gid),
                   AT_SYMLINK_NOFOLLOW) != 0)
      return Error::from_errno("chown", name, errno);
    if ((status.st_mode & 06000) != 0 && !S_ISLNK(status.st_mode) &&
        ::fchmodat(directory, name.c_str(), status.st_mode & 07777, 0) != 0)
      return Error::from_errno("chmod", name, errno);
    if (capabilities) CHECK(sys::set_xattr_at(directory, name, kCapabilities, *capabilities));
    return {};
  }

 private:
  const OwnerMap& owners_;
  std::set<ino_t> seen_;
};

Result<void> fill(const std::vector<std::string>& layers, const std::string& target, const OwnerMap& owners) {
  TRY(sys::RootDir from, sys::open_detached_overlay({.lower = layers}));
  CHECK(sys::make_dirs(target, 0755));
  TRY(sys::RootDir to, sys::RootDir::open(target));
  CHECK(copy_tree(from, to));
  struct stat status {};
  if (::fstat(from.fd(), &status) != 0) return Error::from_errno("stat", "root", errno);
  if (::chmod(target.c_str(), status.st_mode & 07777) != 0) return Error::from_errno("chmod", target, errno);
  TRY(sys::UniqueFd directory, sys::open_file(target.c_str(), O_RDONLY | O_DIRECTORY));
  OwnerChanger changer(owners);
  CHECK(changer.change(directory.get(), ".", status));
  return changer.change_below(directory.get());
}

}  // namespace

Result<std::string> mapped_copy(const std::vector<std::string>& layers, const std::string& folder,
                                const std::string& key, const OwnerMap& owners) {
  std::string target = folder + "/" + key;
  if (::access(target.c_str(), F_OK) == 0) return target + "/fs";
  CHECK(sys::make_dirs(folder, 0710));
  std::string staging = fmt::format("{}/.new-{}", folder, random_hex(4));
  auto filled = fill(layers, staging + "/fs", owners);
  if (filled && ::rename(staging.c_str(), target.c_str()) != 0 && errno != EEXIST && errno != ENOTEMPTY)
    filled = Error::from_errno("rename", staging, errno);
  if (::access(staging.c_str(), F_OK) == 0) CHECK(sys::remove_tree(staging));
  if (!filled) return std::move(filled).error().in("copy the image for another user namespace");
  return target + "/fs";
}

}  // namespace berth::storage
