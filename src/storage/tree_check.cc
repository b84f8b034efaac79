// Entries of the archive against the tree, in one pass; the last entry of a path is the one that counts.
#include "storage/tree_check.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <unordered_set>

#include "base/format.h"
#include "storage/compression.h"
#include "storage/layer_names.h"
#include "storage/tar_reader.h"
#include "storage/tree_reader.h"
#include "sys/file.h"
#include "sys/sub_ids.h"

namespace berth::storage {
namespace {

/// More differences than this are counted and not kept.
constexpr size_t most_kept = 10'000;

class HashedSource : public ByteSource {
 public:
  explicit HashedSource(ByteSource& source) : source_(source) {}
  Result<size_t> read(std::span<char> buffer) override {
    TRY(size_t count, source_.read(buffer));
    hash_.update({buffer.data(), count});
    return count;
  }
  Digest finish() { return hash_.finish(); }

 private:
  ByteSource& source_;
  Sha256 hash_;
};

mode_t file_type(TarType type) {
  switch (type) {
    case TarType::Directory:
      return S_IFDIR;
    case TarType::Symlink:
      return S_IFLNK;
    case TarType::CharDevice:
      return S_IFCHR;
    case TarType::BlockDevice:
      return S_IFBLK;
    case TarType::Fifo:
      return S_IFIFO;
    default:
      return S_IFREG;
  }
}

class Comparison : private TreeVisitor {
 public:
  Comparison(const sys::RootDir& tree, std::stop_token stop) : tree_(tree), stop_(std::move(stop)) {}

  Result<void> run(TarReader& reader) {
    TarEntry entry;
    while (true) {
      if (stop_.stop_requested()) return Error(Kind::Cancelled, "cancelled");
      TRY(bool found, reader.next(entry));
      if (!found) break;
      CHECK(check_entry(entry, reader));
    }
    CHECK(reader.drain());
    return walk_tree(tree_, *this, stop_);
  }

  void give(TreeComparison& result) {
    result.left_out = dropped_;
    for (auto& [path, trouble] : troubles_) {
      if (result.differences.size() < most_differences) {
        result.differences.push_back({path, std::move(trouble)});
      } else {
        ++result.left_out;
      }
    }
  }

 private:
  Result<void> check_entry(const TarEntry& entry, TarReader& reader) {
    TRY(std::string path, clean_entry_path(entry.name));
    if (path == ".") return {};
    auto [parent, name] = split_path(path);
    if (name == opaque_marker) return check_opaque(std::string(parent));
    if (path.starts_with(whiteout_meta_prefix) || name.starts_with(whiteout_meta_prefix)) return {};
    if (name.starts_with(whiteout_prefix)) {
      std::string hidden(name.substr(whiteout_prefix.size()));
      return check_whiteout(canonical(parent.empty() ? hidden : std::string(parent) + "/" + hidden));
    }
    path = canonical(path);
    see(path);
    forget(path, entry.type != TarType::Directory);
    auto found = tree_.stat(path, sys::Follow::No);
    if (!found) {
      bool cannot_be_made = entry.type == TarType::CharDevice || entry.type == TarType::BlockDevice;
      if (!cannot_be_made || sys::in_initial_user_namespace()) report(path, "is missing");
      return {};
    }
    const struct stat& status = *found;
    if (entry.type == TarType::HardLink) return check_hard_link(path, entry, status);
    if ((status.st_mode & S_IFMT) != file_type(entry.type)) {
      report(path, "is of another type");
      return {};
    }
    if (status.st_uid != entry.uid || status.st_gid != entry.gid) {
      report(path, fmt::format("belongs to {}:{} and not to {}:{}", status.st_uid, status.st_gid, entry.uid,
                               entry.gid));
    }
    if (entry.type != TarType::Symlink && (status.st_mode & 07777) != (entry.mode & 07777)) {
      report(path, fmt::format("has mode {:o} and not {:o}", status.st_mode & 07777, entry.mode & 07777));
    }
    return check_kind(path, entry, status, reader);
  }

  Result<void> check_kind(const std::string& path, const TarEntry& entry, const struct stat& status,
                          TarReader& reader) {
    switch (entry.type) {
      case TarType::File:
        if (status.st_mtim.tv_sec != entry.mtime.seconds) report(path, "has another time of change");
        CHECK(check_content(path, entry, status, reader));
        return check_attributes(path, entry);
      case TarType::Directory:
        return check_attributes(path, entry);
      case TarType::Symlink: {
        auto target = tree_.readlink(path);
        if (!target || *target != entry.link) report(path, "leads elsewhere");
        return {};
      }
      case TarType::CharDevice:
      case TarType::BlockDevice:
        if (status.st_rdev != makedev(entry.major, entry.minor)) report(path, "is another device");
        return {};
      default:
        return {};
    }
  }

  Result<void> check_content(const std::string& path, const TarEntry& entry, const struct stat& status,
                             TarReader& reader) {
    if (static_cast<uint64_t>(status.st_size) != entry.size) {
      report(path, fmt::format("has {} bytes and not {}", status.st_size, entry.size));
      return {};
    }
    auto file = tree_.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!file) {
      report(path, "cannot be read: " + file.error().message());
      return {};
    }
    uint64_t next = 0;
    bool same = true;
    while (true) {
      if (stop_.stop_requested()) return Error(Kind::Cancelled, "cancelled");
      TRY(auto piece, reader.data());
      if (!piece) break;
      if (!same) continue;  // the entry's bytes still have to pass
      TRY(bool zeros, is_range(file->get(), next, piece->offset - std::min(next, piece->offset), {}));
      TRY(bool equal, is_range(file->get(), piece->offset, piece->bytes.size(), piece->bytes));
      same = zeros && equal;
      next = piece->offset + piece->bytes.size();
    }
    if (same && next < entry.size) {
      TRY(same, is_range(file->get(), next, entry.size - next, {}));
    }
    if (!same) report(path, "has other content");
    return {};
  }

  /// Whether the file has these bytes there; without bytes: zeros. What cannot be read differs.
  Result<bool> is_range(int fd, uint64_t offset, uint64_t length, std::string_view wanted) {
    while (length > 0) {
      if (wanted.empty() && is_hole(fd, offset, length)) return true;
      size_t count = std::min<uint64_t>(length, buffer_.size());
      ssize_t got = ::pread(fd, buffer_.data(), count, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      auto size = static_cast<size_t>(got);
      bool equal = wanted.empty()
                       ? std::all_of(buffer_.begin(), buffer_.begin() + got, [](char c) { return c == 0; })
                       : std::memcmp(buffer_.data(), wanted.data(), size) == 0;
      if (!equal) return false;
      if (!wanted.empty()) wanted.remove_prefix(size);
      offset += size;
      length -= size;
    }
    return true;
  }

  static bool is_hole(int fd, uint64_t offset, uint64_t length) {
    off_t data = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
    if (data < 0) return errno == ENXIO;
    return static_cast<uint64_t>(data) >= offset + length;
  }

  /// Attributes that the archive gives; those of filesystems without them, and of ordinary users, were left
  /// out when it was unpacked.
  Result<void> check_attributes(const std::string& path, const TarEntry& entry) {
    if (entry.xattrs.empty() || ::geteuid() != 0) return {};
    TRY(sys::ParentAndName place, tree_.open_parent(path));
    for (const sys::Xattr& attribute : entry.xattrs) {
      if (!is_portable_xattr(attribute.name)) continue;
      auto value = sys::get_xattr_at(place.parent.get(), place.name, attribute.name);
      if (!value && value.error().errno_value() == EOPNOTSUPP) continue;
      if (!value || *value != attribute.value) report(path, "has another attribute " + attribute.name);
    }
    return {};
  }

  /// The same file as its target, which is compared where it stands. A target that a later entry replaced,
  /// or that only a layer beneath has, is another file by now: then there is nothing to hold it against.
  Result<void> check_hard_link(const std::string& path, const TarEntry& entry, const struct stat& status) {
    if (S_ISDIR(status.st_mode)) report(path, "is of another type");
    TRY(std::string target, clean_entry_path(entry.link));
    see(canonical(target));
    return {};
  }

  Result<void> check_opaque(const std::string& directory) {
    if (directory.empty()) return {};
    std::string path = canonical(directory);
    see(path);
    TRY(bool opaque, is_opaque(path));
    if (!opaque) report(path, "no longer hides what lies beneath");
    return {};
  }

  Result<bool> is_opaque(const std::string& path) {
    auto place = tree_.open_parent(path);
    if (!place) return false;
    for (const char* name : {opaque_xattr, user_opaque_xattr}) {
      auto value = sys::get_xattr_at(place->parent.get(), place->name, name);
      if (value && *value == "y") return true;
    }
    return false;
  }

  Result<void> check_whiteout(const std::string& path) {
    see(path);
    if (tree_.exists(path, sys::Follow::No)) return {};
    // Where everything beneath is hidden, a whiteout is not needed.
    std::string directory(split_path(path).parent);
    if (!directory.empty()) {
      TRY(bool opaque, is_opaque(directory));
      if (opaque) return {};
    }
    report(path, "no longer hides what lies beneath");
    return {};
  }

  /// The path without links in its parents, as the walk through the tree will name it.
  std::string canonical(const std::string& path) {
    auto [parent, name] = split_path(path);
    if (parent.empty()) return path;
    if (parent != last_parent_) {
      last_parent_ = parent;
      auto resolved = tree_.resolve(parent);
      last_resolved_ = resolved ? resolved->substr(resolved->starts_with('/') ? 1 : 0) : std::string(parent);
    }
    return last_resolved_.empty() ? std::string(name) : last_resolved_ + "/" + std::string(name);
  }

  void see(std::string_view path) {
    // Directories on the way may be there without an entry of their own.
    while (!path.empty() && seen_.insert(std::hash<std::string_view>{}(path)).second) {
      path = split_path(path).parent;
    }
  }

  void report(const std::string& path, std::string trouble) {
    if (troubles_.size() >= most_kept) {
      ++dropped_;
      return;
    }
    troubles_.try_emplace(path, std::move(trouble));
  }

  /// What an earlier entry of the same path said no longer counts; nor, when a directory has given way to
  /// something else, what was below it.
  void forget(const std::string& path, bool whole) {
    if (troubles_.empty()) return;
    troubles_.erase(path);
    if (!whole) return;
    std::string prefix = path + "/";
    auto it = troubles_.lower_bound(prefix);
    while (it != troubles_.end() && it->first.starts_with(prefix)) it = troubles_.erase(it);
  }

  Result<bool> visit(const TreeObject& object) override {
    if (!seen_.contains(std::hash<std::string_view>{}(object.path)))
      report(object.path, "is not of this layer");
    return true;
  }

  const sys::RootDir& tree_;
  std::stop_token stop_;
  std::map<std::string, std::string> troubles_;
  uint64_t dropped_ = 0;
  /// Hashes of the paths that the archive names, and of their parents.
  std::unordered_set<size_t> seen_;
  std::string last_parent_;
  std::string last_resolved_;
  std::vector<char> buffer_ = std::vector<char>(size_t{256} << 10);
};

}  // namespace

Result<TreeComparison> compare_tree(ByteSource& archive, const sys::RootDir& tree, std::stop_token stop) {
  TRY(auto plain, decompress(archive));
  HashedSource hashed(*plain);
  BufferedChunks chunks(hashed);
  TarReader reader(chunks, ArchiveLimits{});
  Comparison comparison(tree, std::move(stop));
  CHECK(comparison.run(reader));
  TreeComparison result{.diff_id = hashed.finish()};
  comparison.give(result);
  return result;
}

}  // namespace berth::storage
