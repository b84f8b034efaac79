// Finding and removing mount stubs.
#include "build/mount_stubs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "build/file_tree.h"
#include "spec/dockerignore.h"
#include "sys/file.h"

namespace berth::build {
namespace {

/// "/a/b/c" -> "/a", "/a/b", "/a/b/c".
std::vector<std::string> with_parents(const std::string& path) {
  std::vector<std::string> paths;
  for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
    paths.push_back(path.substr(0, at));
  paths.push_back(path);
  return paths;
}

/// The directory that holds `path`, reached through directories alone.
Result<sys::UniqueFd> open_parent(int root, const std::string& path) {
  sys::UniqueFd at(::openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!at) return Error::from_errno("open", path, errno);
  for (size_t begin = 1;;) {
    const size_t end = path.find('/', begin);
    if (end == std::string::npos) return at;
    const std::string name = path.substr(begin, end - begin);
    sys::UniqueFd next(::openat(at.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next) return Error::from_errno("open", path, errno);
    at = std::move(next);
    begin = end + 1;
  }
}

/// Removes an empty file or directory; false when it is something else or not there.
bool remove_if_empty(int root, const std::string& path) {
  auto parent = open_parent(root, path);
  if (!parent) return false;
  const std::string name(base_name(path));
  struct stat status {};
  if (::fstatat(parent->get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) return false;
  if (S_ISDIR(status.st_mode)) return ::unlinkat(parent->get(), name.c_str(), AT_REMOVEDIR) == 0;
  if (!S_ISREG(status.st_mode) || status.st_size != 0) return false;
  return ::unlinkat(parent->get(), name.c_str(), 0) == 0;
}

/// A directory of the upper layer that differs from the one below by its times alone was only passed through.
void remove_if_unchanged(int root, const sys::RootDir& below, const std::string& path) {
  auto parent = open_parent(root, path);
  auto original = below.stat(path, sys::Follow::No);
  if (!parent || !original || !S_ISDIR(original->st_mode)) return;
  const std::string name(base_name(path));
  struct stat status {};
  if (::fstatat(parent->get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(status.st_mode))
    return;
  const bool same = status.st_mode == original->st_mode && status.st_uid == original->st_uid &&
                    status.st_gid == original->st_gid;
  if (!same) return;
  auto opaque = sys::get_xattr_at(parent->get(), name, "trusted.overlay.opaque");
  if (opaque && *opaque == "y") return;
  (void)::unlinkat(parent->get(), name.c_str(), AT_REMOVEDIR);  // refuses one that holds anything
}

}  // namespace

std::vector<std::string> find_missing(const sys::RootDir& root, const std::vector<std::string>& targets) {
  std::vector<std::string> missing;
  for (const auto& target : targets) {
    for (const auto& path : with_parents(spec::clean_path(target))) {
      const bool known = std::find(missing.begin(), missing.end(), path) != missing.end();
      if (!known && !root.exists(path, sys::Follow::No)) missing.push_back(path);
    }
  }
  return missing;
}

Result<void> remove_stubs(const std::string& upper, const sys::RootDir* below,
                          const std::vector<std::string>& missing, const std::vector<std::string>& targets) {
  TRY(const auto root, sys::open_file(upper.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  for (auto path = missing.rbegin(); path != missing.rend(); ++path) remove_if_empty(root.get(), *path);
  if (below == nullptr) return {};
  for (const auto& target : targets) {
    auto paths = with_parents(spec::clean_path(target));
    for (auto path = paths.rbegin(); path != paths.rend(); ++path)
      remove_if_unchanged(root.get(), *below, *path);
  }
  return {};
}

}  // namespace berth::build
