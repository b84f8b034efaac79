// Entries into files. Paths are resolved by RootDir; names in an open parent directory are never followed.
#include "storage/tree_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/format.h"
#include "storage/layer_names.h"
#include "sys/file.h"
#include "sys/sub_ids.h"

namespace berth::storage {
namespace {

/// umask(2) cannot be read without being changed for all threads.
uint32_t read_umask() {
  auto status = sys::read_file("/proc/self/status", 64 * 1024);
  if (!status) return 07777;
  constexpr std::string_view key = "\nUmask:\t";
  size_t at = status->find(key);
  uint32_t value = 07777;
  if (at != std::string::npos) {
    const char* begin = status->data() + at + key.size();
    std::from_chars(begin, status->data() + status->size(), value, 8);
  }
  return value;
}

timespec to_timespec(const TarTime& time) {
  return {.tv_sec = time.seconds, .tv_nsec = static_cast<long>(time.nanoseconds)};
}

/// Filesystems without the attribute's namespace, and callers without the privilege, do without it, as docker
/// does.
bool may_skip_xattr(const Error& error) {
  return error.errno_value() == EOPNOTSUPP || (error.errno_value() == EPERM && ::geteuid() != 0);
}

bool is_zero(std::string_view bytes) {
  return bytes.front() == '\0' && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

/// Writes a file front to back and leaves long runs of zeros as holes, so that an archive of nothing (a disk
/// image, a bomb) takes no disk.
class ContentWriter {
 public:
  explicit ContentWriter(int fd) : fd_(fd) {}

  Result<void> write(uint64_t offset, std::string_view bytes) {
    while (!bytes.empty()) {
      size_t data = data_length(bytes);
      if (data > 0) CHECK(write_at(offset, bytes.substr(0, data)));
      size_t passed = data > 0 ? data : hole_size;
      offset += passed;
      bytes.remove_prefix(passed);
    }
    return {};
  }

  Result<void> finish(uint64_t size) {
    if (position_ != size && ::ftruncate(fd_, static_cast<off_t>(size)) != 0)
      return Error::from_errno("truncate", {}, errno);
    return {};
  }

 private:
  static constexpr size_t hole_size = 64 * 1024;

  /// Bytes up to the first whole block of zeros.
  static size_t data_length(std::string_view bytes) {
    size_t length = 0;
    while (length < bytes.size()) {
      std::string_view block = bytes.substr(length, hole_size);
      if (block.size() == hole_size && is_zero(block)) break;
      length += block.size();
    }
    return length;
  }

  Result<void> write_at(uint64_t offset, std::string_view bytes) {
    if (offset != position_ && ::lseek(fd_, static_cast<off_t>(offset), SEEK_SET) < 0) {
      return Error::from_errno("seek", {}, errno);
    }
    position_ = offset + bytes.size();
    return sys::write_all(fd_, bytes);
  }

  int fd_;
  uint64_t position_ = 0;
};

mode_t node_type(TarType type) {
  return type == TarType::CharDevice ? S_IFCHR : type == TarType::BlockDevice ? S_IFBLK : S_IFIFO;
}

/// An id without a mapping is EINVAL: an ordinary user's engine has only so many.
Error owner_refused(const std::string& path, uint32_t uid, uint32_t gid, int error) {
  if (error == EINVAL && !sys::in_initial_user_namespace()) {
    return failure(
        Kind::InvalidArgument,
        "{} belongs to {}:{}, and no such id is mapped for you: ask for more subordinate ids in "
        "/etc/subuid and /etc/subgid (usermod --add-subuids, --add-subgids), then stop your engine "
        "and start it again",
        path, uid, gid);
  }
  return Error::from_errno("chown", path, error);
}

}  // namespace

TreeWriter::TreeWriter(const sys::RootDir& root, const UnpackOptions& options, FindLowers find_lowers,
                       RecipeWriter* recipe)
    : root_(root),
      options_(options),
      find_lowers_(std::move(find_lowers)),
      recipe_(recipe),
      base_(options.base.empty() ? std::string() : options.base + "/"),
      umask_(read_umask()),
      uid_(::geteuid()),
      gid_(::getegid()) {}

Result<void> TreeWriter::apply(const TarEntry& entry, TarReader& reader) {
  TRY(std::string cleaned, clean_entry_path(entry.name));
  if (cleaned == ".") return apply_root(entry);
  std::string path = base_ + cleaned;
  if (options_.whiteouts == Whiteouts::Overlay) {
    TRY(bool was_whiteout, apply_whiteout(path));
    if (was_whiteout) return {};
  }
  TRY(Place place, place_for(path));
  switch (entry.type) {
    case TarType::File:
      return make_file(entry, place, reader);
    case TarType::Directory:
      return make_directory(entry, place);
    case TarType::Symlink:
      return make_symlink(entry, place);
    case TarType::HardLink:
      return make_hard_link(entry, place);
    case TarType::CharDevice:
    case TarType::BlockDevice:
    case TarType::Fifo:
      return make_node(entry, place);
  }
  return Error(Kind::Internal, "unknown entry type");
}

/// The root is a directory and stays one (CVE-2021-29136).
Result<void> TreeWriter::apply_root(const TarEntry& entry) {
  if (entry.type != TarType::Directory) {
    return Error(Kind::InvalidArgument,
                 "the root cannot be replaced by something that is no directory: refused");
  }
  if (options_.root_entry == RootEntry::Ignore) return {};
  std::string path = options_.base.empty() ? "." : options_.base;
  TRY(sys::UniqueFd root, root_.open(path, O_PATH | O_DIRECTORY));
  CHECK(set_metadata({.parent = root.get(), .name = ".", .path = path}, entry));
  directory_times_.push_back({path, entry.mtime});
  return {};
}

Result<bool> TreeWriter::apply_whiteout(const std::string& path) {
  auto [parent, name] = split_path(path);
  if (name == opaque_marker) {
    CHECK(make_opaque(parent));
    return true;
  }
  // What is left of aufs' bookkeeping in old layers.
  if (path.starts_with(whiteout_meta_prefix) || name.starts_with(whiteout_meta_prefix)) return true;
  if (!name.starts_with(whiteout_prefix)) return false;
  std::string_view hidden = name.substr(whiteout_prefix.size());
  if (hidden.empty() || hidden == "." || hidden == "..") {
    return Error(Kind::InvalidArgument, "invalid whiteout name: refused");
  }
  std::string hidden_path = parent.empty() ? std::string(hidden) : fmt::format("{}/{}", parent, hidden);
  CHECK(make_whiteout(hidden_path));
  return true;
}

/// Whiteouts concern the layers beneath only: what this layer has made itself under the name stays visible,
/// but a directory then no longer shows what lies beneath (OCI image-spec layer.md).
Result<void> TreeWriter::make_whiteout(std::string_view hidden_path) {
  TRY(Place place, place_for(std::string(hidden_path)));
  if (::mknodat(place.parent, place.name.c_str(), S_IFCHR | 0600, makedev(0, 0)) == 0) return {};
  if (errno != EEXIST) return Error::from_errno("make whiteout", place.path, errno);
  struct stat status {};
  if (::fstatat(place.parent, place.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return Error::from_errno("stat", place.path, errno);
  }
  if (S_ISDIR(status.st_mode)) return make_opaque(hidden_path);
  return {};
}

Result<void> TreeWriter::make_opaque(std::string_view path) {
  if (path.empty()) return {};  // the root of a layer: overlayfs has no mark for it
  opaque_.add(path);
  TRY(sys::UniqueFd directory, open_parent(path));
  auto set = sys::set_xattr(directory.get(), opaque_xattr, "y");
  if (!set && set.error().errno_value() == EPERM)
    set = sys::set_xattr(directory.get(), user_opaque_xattr, "y");
  return set;
}

Result<TreeWriter::Place> TreeWriter::place_for(const std::string& path) {
  auto [parent, name] = split_path(path);
  if (parent != parent_path_) {
    TRY(parent_fd_, open_parent(parent));
    parent_path_ = parent;
  }
  return Place{.parent = parent_fd_.get(), .name = std::string(name), .path = path};
}

/// The directory `path`, made with its parents if missing.
Result<sys::UniqueFd> TreeWriter::open_parent(std::string_view path) {
  auto opened = root_.open(path, O_PATH | O_DIRECTORY);
  if (opened) return opened;
  int error = opened.error().errno_value();
  bool can_make = error == ENOENT || (error == ENOTDIR && options_.whiteouts == Whiteouts::Overlay);
  if (!can_make) return opened;
  return make_parents(path);
}

Result<sys::UniqueFd> TreeWriter::make_parents(std::string_view path) {
  for (size_t end = 0; end < path.size();) {
    end = std::min(path.find('/', end + 1), path.size());
    std::string prefix(path.substr(0, end));
    auto opened = root_.open(prefix, O_PATH | O_DIRECTORY);
    if (opened) continue;
    CHECK(make_implied_directory(prefix));
  }
  return root_.open(path, O_PATH | O_DIRECTORY);
}

/// A directory that the archive uses without naming it takes mode and owner from the layers beneath, so that
/// the merged view does not change.
Result<void> TreeWriter::make_implied_directory(const std::string& path) {
  auto [parent_path, name_view] = split_path(path);
  std::string name(name_view);
  TRY(sys::UniqueFd parent, root_.open(parent_path, O_PATH | O_DIRECTORY));
  bool replaces_whiteout = false;
  struct stat status {};
  if (options_.whiteouts == Whiteouts::Overlay &&
      ::fstatat(parent.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && is_whiteout(status)) {
    if (::unlinkat(parent.get(), name.c_str(), 0) != 0) return Error::from_errno("remove", path, errno);
    replaces_whiteout = true;
  }
  if (::mkdirat(parent.get(), name.c_str(), 0755) != 0) return Error::from_errno("mkdir", path, errno);
  if (::fchmodat(parent.get(), name.c_str(), 0755, AT_SYMLINK_NOFOLLOW) != 0)
    return Error::from_errno("chmod", path, errno);
  if (replaces_whiteout) return make_opaque(path);
  return take_after_lower({.parent = parent.get(), .name = name, .path = path});
}

Result<TreeWriter::Existing> TreeWriter::clear_place(const Place& place, bool wants_directory) {
  struct stat status {};
  if (::fstatat(place.parent, place.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return Error::from_errno("stat", place.path, errno);
  }
  bool is_directory = S_ISDIR(status.st_mode);
  if (options_.overwrite == Overwrite::SameKindOnly && is_directory != wants_directory) {
    return failure(Kind::InvalidArgument, "cannot overwrite {} \"{}\" with {}",
                   is_directory ? "directory" : "non-directory", place.path,
                   wants_directory ? "directory" : "non-directory");
  }
  if (is_directory && wants_directory) return Existing::KeptDirectory;
  if (is_directory || S_ISREG(status.st_mode)) has_replaced_ = true;
  CHECK(sys::remove_tree_at(place.parent, place.name));
  return Existing::Removed;
}

template <class Make>
Result<void> TreeWriter::make_in_place(const Place& place, std::string_view what, Make make) {
  if (make() == 0) return {};
  if (errno != EEXIST) return Error::from_errno(what, place.path, errno);
  CHECK(clear_place(place, false));
  if (make() != 0) return Error::from_errno(what, place.path, errno);
  return {};
}

TreeWriter::Owner TreeWriter::owner_of(const TarEntry& entry) const {
  uint32_t uid = options_.owner ? options_.owner->uid : entry.uid;
  uint32_t gid = options_.owner ? options_.owner->gid : entry.gid;
  bool change = options_.ownership == Ownership::Keep && (uid != uid_ || gid != gid_);
  return {uid, gid, change};
}

/// What open(2) or mkdir(2) has not set already. chown(2) clears set-id bits.
bool TreeWriter::needs_chmod(uint32_t mode, bool owner_changes) const {
  return (mode & umask_) != 0 || (mode & 07000) != 0 || (owner_changes && (mode & 06000) != 0);
}

Result<void> TreeWriter::make_file(const TarEntry& entry, const Place& place, TarReader& reader) {
  int fd = -1;
  CHECK(make_in_place(place, "create", [&] {
    fd = ::openat(place.parent, place.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  entry.mode & 0777);
    return fd < 0 ? -1 : 0;
  }));
  sys::UniqueFd file(fd);
  CHECK(write_content(fd, entry, place, reader));
  Owner owner = owner_of(entry);
  if (owner.change && ::fchown(fd, owner.uid, owner.gid) != 0)
    return owner_refused(place.path, owner.uid, owner.gid, errno);
  if (needs_chmod(entry.mode, owner.change) && ::fchmod(fd, entry.mode) != 0) {
    return Error::from_errno("chmod", place.path, errno);
  }
  // After the owner and the content: both make the kernel drop security.capability.
  for (const sys::Xattr& attribute : entry.xattrs) {
    if (!is_portable_xattr(attribute.name)) continue;
    auto set = sys::set_xattr(fd, attribute.name, attribute.value);
    if (!set && !may_skip_xattr(set.error())) return set;
  }
  timespec times[2] = {to_timespec(entry.mtime), to_timespec(entry.mtime)};
  if (::futimens(fd, times) != 0) return Error::from_errno("set time", place.path, errno);
  content_bytes_ += entry.size;
  return {};
}

Result<void> TreeWriter::write_content(int fd, const TarEntry& entry, const Place& place, TarReader& reader) {
  ContentWriter writer(fd);
  while (true) {
    if (options_.stop.stop_requested()) return Error(Kind::Cancelled, "cancelled");
    TRY(auto piece, reader.data());
    if (!piece) break;
    CHECK(writer.write(piece->offset, piece->bytes));
    if (recipe_ != nullptr) CHECK(recipe_->content(place.path, piece->offset, piece->bytes.size()));
  }
  return writer.finish(entry.size);
}

Result<void> TreeWriter::make_directory(const TarEntry& entry, const Place& place) {
  if (::mkdirat(place.parent, place.name.c_str(), entry.mode & 0777) != 0) {
    if (errno != EEXIST) return Error::from_errno("mkdir", place.path, errno);
    TRY(Existing existing, clear_place(place, true));
    if (existing == Existing::Removed) {
      if (::mkdirat(place.parent, place.name.c_str(), entry.mode & 0777) != 0) {
        return Error::from_errno("mkdir", place.path, errno);
      }
      // Whatever was there, file or whiteout, hid the layers beneath; so does the directory that takes its
      // place.
      if (options_.whiteouts == Whiteouts::Overlay) CHECK(make_opaque(place.path));
    }
  }
  CHECK(set_metadata(place, entry));
  directory_times_.push_back({place.path, entry.mtime});
  return {};
}

Result<void> TreeWriter::make_symlink(const TarEntry& entry, const Place& place) {
  if (entry.link.empty() || entry.link.find('\0') != std::string::npos) {
    return Error(Kind::Corrupt, "symbolic link without a target");
  }
  CHECK(make_in_place(place, "symlink",
                      [&] { return ::symlinkat(entry.link.c_str(), place.parent, place.name.c_str()); }));
  Owner owner = owner_of(entry);
  if (owner.change &&
      ::fchownat(place.parent, place.name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return owner_refused(place.path, owner.uid, owner.gid, errno);
  }
  CHECK(set_xattrs_at(place.parent, place.name, entry));
  return set_time(place, entry.mtime);
}

Result<void> TreeWriter::make_hard_link(const TarEntry& entry, const Place& place) {
  TRY(std::string cleaned, clean_entry_path(entry.link));
  std::string target = base_ + cleaned;
  if (target == place.path) return {};
  TRY(sys::ParentAndName from, root_.open_parent(target));
  auto link = [&] {
    return ::linkat(from.parent.get(), from.name.c_str(), place.parent, place.name.c_str(), 0);
  };
  struct stat status {};
  bool missing =
      ::fstatat(from.parent.get(), from.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
  if (missing) {
    CHECK(copy_from_lower(target));
    if (::fstatat(from.parent.get(), from.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return Error::from_errno("link to", target, errno);
    }
  }
  if (S_ISDIR(status.st_mode)) {
    return failure(Kind::InvalidArgument, "hard link to the directory \"{}\": refused", target);
  }
  struct stat existing {};
  bool is_same = ::fstatat(place.parent, place.name.c_str(), &existing, AT_SYMLINK_NOFOLLOW) == 0 &&
                 existing.st_dev == status.st_dev && existing.st_ino == status.st_ino;
  if (is_same) return {};
  return make_in_place(place, "hard link", link);
}

Result<void> TreeWriter::make_node(const TarEntry& entry, const Place& place) {
  bool is_device = entry.type != TarType::Fifo;
  if (is_device && options_.device_nodes == DeviceNodes::Refuse) {
    return Error(Kind::Forbidden, "device nodes are not allowed here");
  }
  mode_t mode = node_type(entry.type) | (entry.mode & 0777);
  dev_t device = is_device ? makedev(entry.major, entry.minor) : 0;
  auto made = make_in_place(place, "make node",
                            [&] { return ::mknodat(place.parent, place.name.c_str(), mode, device); });
  // Outside the initial user namespace nobody makes devices, and containers get theirs from the host.
  if (!made && is_device && made.error().errno_value() == EPERM && !sys::in_initial_user_namespace())
    return {};
  CHECK(made);
  CHECK(set_metadata(place, entry));
  return set_time(place, entry.mtime);
}

Result<void> TreeWriter::set_metadata(const Place& place, const TarEntry& entry) {
  Owner owner = owner_of(entry);
  if (owner.change &&
      ::fchownat(place.parent, place.name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return owner_refused(place.path, owner.uid, owner.gid, errno);
  }
  // A running container may swap the name for a link at any moment (CVE-2018-15664): no call here follows
  // one.
  if (::fchmodat(place.parent, place.name.c_str(), entry.mode, AT_SYMLINK_NOFOLLOW) != 0) {
    return Error::from_errno("chmod", place.path, errno);
  }
  return set_xattrs_at(place.parent, place.name, entry);
}

Result<void> TreeWriter::set_xattrs_at(int parent, const std::string& name, const TarEntry& entry) {
  for (const sys::Xattr& attribute : entry.xattrs) {
    if (!is_portable_xattr(attribute.name)) continue;
    auto set = sys::set_xattr_at(parent, name, attribute.name, attribute.value);
    // user.* exists on files and directories only; links and nodes answer EPERM.
    bool skip = !set && (may_skip_xattr(set.error()) || set.error().errno_value() == EPERM);
    if (!set && !skip) return set;
  }
  return {};
}

Result<void> TreeWriter::set_time(const Place& place, const TarTime& mtime) {
  timespec times[2] = {to_timespec(mtime), to_timespec(mtime)};
  if (::utimensat(place.parent, place.name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    return Error::from_errno("set time", place.path, errno);
  }
  return {};
}

Result<void> TreeWriter::finish() {
  CHECK(opaque_.remove_whiteouts(root_));
  for (const DirectoryTime& directory : directory_times_) {
    auto opened = root_.open(directory.path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (!opened) continue;  // replaced by a later entry
    CHECK(set_time({.parent = opened->get(), .name = ".", .path = directory.path}, directory.mtime));
  }
  return {};
}

}  // namespace berth::storage
