// changes(): what an upper directory changes, seen the way overlayfs merges.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "storage/archive.h"
#include "storage/layer_names.h"
#include "sys/file.h"

namespace berth::storage {
namespace {

constexpr int max_depth = 512;

bool is_opaque(int parent, const std::string& name) {
  auto mark = sys::get_xattr_at(parent, name, opaque_xattr);
  if (!mark) mark = sys::get_xattr_at(parent, name, user_opaque_xattr);
  return mark && *mark == "y";
}

/// Directories of the lower layers that merge at one path, top first.
using Stack = std::vector<sys::UniqueFd>;

/// What the lower layers show under a name.
struct LowerObject {
  bool exists = false;
  struct stat status {};
};

LowerObject find_lower(const Stack& stack, const std::string& name) {
  for (const sys::UniqueFd& directory : stack) {
    LowerObject object;
    if (::fstatat(directory.get(), name.c_str(), &object.status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    object.exists = !is_whiteout(object.status);
    return object;
  }
  return {};
}

Stack descend(const Stack& stack, const std::string& name) {
  Stack below;
  for (const sys::UniqueFd& directory : stack) {
    struct stat status {};
    if (::fstatat(directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!S_ISDIR(status.st_mode)) break;
    sys::UniqueFd child(
        ::openat(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child) break;
    bool hides_rest = is_opaque(directory.get(), name);
    below.push_back(std::move(child));
    if (hides_rest) break;
  }
  return below;
}

bool same_directory(const struct stat& a, const struct stat& b) {
  return a.st_mode == b.st_mode && a.st_uid == b.st_uid && a.st_gid == b.st_gid &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

class ChangeFinder {
 public:
  Result<void> compare(int upper, const Stack& lowers, const std::string& prefix, int depth) {
    TRY(std::vector<sys::DirEntry> entries, sys::list_dir(upper));
    for (const sys::DirEntry& entry : entries) CHECK(compare_one(upper, lowers, prefix, entry.name, depth));
    return {};
  }

  std::vector<Change> take() {
    std::vector<Change> list;
    for (auto& [path, kind] : changes_) list.push_back({path, kind});
    return list;
  }

 private:
  Result<void> compare_one(int upper, const Stack& lowers, const std::string& prefix, const std::string& name,
                           int depth) {
    struct stat status {};
    if (::fstatat(upper, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return {};
    std::string path = prefix + "/" + name;
    LowerObject lower = find_lower(lowers, name);
    if (is_whiteout(status)) {
      if (lower.exists) add_to(path, ChangeKind::Deleted, prefix);
      return {};
    }
    if (!S_ISDIR(status.st_mode)) {
      add_to(path, lower.exists ? ChangeKind::Modified : ChangeKind::Added, prefix);
      return {};
    }
    bool merges = lower.exists && S_ISDIR(lower.status.st_mode);
    if (!lower.exists) {
      add_to(path, ChangeKind::Added, prefix);
    } else if (!merges || !same_directory(status, lower.status)) {
      changes_.emplace(path, ChangeKind::Modified);
    }
    if (depth >= max_depth) return {};
    sys::UniqueFd child(::openat(upper, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child) return {};
    Stack below = merges ? descend(lowers, name) : Stack{};
    if (merges && is_opaque(upper, name)) {
      CHECK(add_hidden(child.get(), below, path));
      // Names that were hidden and exist again count as modified: the stack still finds them.
    }
    return compare(child.get(), below, path, depth + 1);
  }

  /// An opaque directory deletes what lies beneath it, except names that it has itself.
  Result<void> add_hidden(int upper, const Stack& lowers, const std::string& prefix) {
    for (const sys::UniqueFd& directory : lowers) {
      TRY(std::vector<sys::DirEntry> entries, sys::list_dir(directory.get()));
      for (const sys::DirEntry& entry : entries) {
        struct stat status {};
        if (::fstatat(upper, entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) continue;
        if (find_lower(lowers, entry.name).exists)
          add_to(prefix + "/" + entry.name, ChangeKind::Deleted, prefix);
      }
    }
    return {};
  }

  /// A child that comes or goes changes its directory too, even if the times say nothing.
  void add_to(const std::string& path, ChangeKind kind, const std::string& parent) {
    changes_.emplace(path, kind);
    if (!parent.empty() && kind != ChangeKind::Modified) changes_.emplace(parent, ChangeKind::Modified);
  }

  std::map<std::string, ChangeKind> changes_;
};

}  // namespace

Result<std::vector<Change>> changes(const sys::RootDir& upper, const std::vector<sys::RootDir>& lowers) {
  Stack stack;
  for (const sys::RootDir& lower : lowers) {
    TRY(sys::UniqueFd directory, lower.open(".", O_RDONLY | O_DIRECTORY));
    stack.push_back(std::move(directory));
  }
  ChangeFinder finder;
  CHECK(finder.compare(upper.fd(), stack, "", 0));
  return finder.take();
}

}  // namespace berth::storage
