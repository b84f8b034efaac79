// docker cp: stat, archive out, archive in.
#include "storage/copy_archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/format.h"
#include "storage/layer_names.h"

namespace berth::storage {
namespace {

constexpr uint32_t go_directory = 1u << 31;
constexpr uint32_t go_symlink = 1u << 27;
constexpr uint32_t go_device = 1u << 26;
constexpr uint32_t go_pipe = 1u << 25;
constexpr uint32_t go_socket = 1u << 24;
constexpr uint32_t go_setuid = 1u << 23;
constexpr uint32_t go_setgid = 1u << 22;
constexpr uint32_t go_char_device = 1u << 21;
constexpr uint32_t go_sticky = 1u << 20;

/// A slash or "/." at the end asks for the directory itself: a link in its place is followed.
bool wants_directory(std::string_view path) {
  return path.empty() || path.ends_with('/') || path == "." || path.ends_with("/.");
}

/// Go's filepath.Base of the path with its trailing dot kept.
std::string base_name(std::string_view path) {
  if (path == "." || path.ends_with("/.")) return ".";
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path.empty() || path == "/") return "/";
  return std::string(split_path(path).name);
}

Error not_found(std::string_view path) {
  return failure(Kind::NotFound, "Could not find the file {} in container", path);
}

Error not_a_directory(std::string_view path) {
  return failure(Kind::InvalidArgument, "{}: not a directory", path);
}

Error path_error(Error error, std::string_view path) {
  if (error.errno_value() == ENOENT) return not_found(path);
  if (error.errno_value() == ENOTDIR) return not_a_directory(path);
  return error;
}

/// Where a link leads, absolute within the root; lexically when nothing is there.
std::string link_target(const sys::RootDir& root, std::string_view path) {
  if (auto resolved = root.resolve(path, sys::Follow::Yes)) return *resolved;
  auto target = root.readlink(path);
  auto here = root.resolve(path, sys::Follow::No);
  if (!target || !here) return {};
  std::string joined =
      target->starts_with('/') ? *target : fmt::format("{}/{}", split_path(*here).parent, *target);
  // An absolute path cannot fail to be clean: ".." stops at the root.
  auto cleaned = clean_entry_path(joined.starts_with('/') ? joined : "/" + joined);
  if (!cleaned) return {};
  return *cleaned == "." ? "/" : "/" + *cleaned;
}

}  // namespace

uint32_t go_file_mode(uint32_t st_mode) {
  uint32_t mode = st_mode & 0777;
  switch (st_mode & S_IFMT) {
    case S_IFDIR:
      mode |= go_directory;
      break;
    case S_IFLNK:
      mode |= go_symlink;
      break;
    case S_IFBLK:
      mode |= go_device;
      break;
    case S_IFCHR:
      mode |= go_device | go_char_device;
      break;
    case S_IFIFO:
      mode |= go_pipe;
      break;
    case S_IFSOCK:
      mode |= go_socket;
      break;
    default:
      break;
  }
  if ((st_mode & S_ISUID) != 0) mode |= go_setuid;
  if ((st_mode & S_ISGID) != 0) mode |= go_setgid;
  if ((st_mode & S_ISVTX) != 0) mode |= go_sticky;
  return mode;
}

Result<PathStat> stat_path(const sys::RootDir& root, std::string_view path) {
  bool directory = wants_directory(path);
  auto status = root.stat(path, directory ? sys::Follow::Yes : sys::Follow::No);
  if (!status) return path_error(std::move(status).error(), path);
  if (directory && !S_ISDIR(status->st_mode)) return not_a_directory(path);
  PathStat result{
      .name = base_name(path),
      .size = status->st_size,
      .mode = go_file_mode(status->st_mode),
      .mtime = from_unix_nanoseconds(status->st_mtim.tv_sec * 1'000'000'000 + status->st_mtim.tv_nsec)};
  if (S_ISLNK(status->st_mode)) result.link_target = link_target(root, path);
  return result;
}

Result<void> copy_out(const sys::RootDir& root, std::string_view path, ByteSink& out,
                      const CopyOutOptions& options) {
  bool directory = wants_directory(path);
  auto object = root.open_path(path, directory ? sys::Follow::Yes : sys::Follow::No);
  if (!object) return path_error(std::move(object).error(), path);
  struct stat status {};
  if (::fstat(object->get(), &status) != 0) return Error::from_errno("stat", path, errno);
  if (directory && !S_ISDIR(status.st_mode)) return not_a_directory(path);

  std::string name = options.base_name.empty() ? base_name(path) : options.base_name;
  PackOptions pack{.prefix = name, .include_root = true, .stop = options.stop};
  if (S_ISDIR(status.st_mode)) {
    // The very directory that was looked at, not whatever the path leads to by now.
    CHECK(pack_tree(sys::RootDir(std::move(*object)), out, pack));
    return {};
  }
  TRY(sys::ParentAndName at, root.open_parent(path));
  CHECK(pack_object(at.parent.get(), at.name, name, out, {.stop = options.stop}));
  return {};
}

Result<void> copy_in(const sys::RootDir& root, std::string_view path, ByteSource& archive,
                     const CopyInOptions& options) {
  auto status = root.stat(path.empty() ? "/" : path, sys::Follow::Yes);
  if (!status) return path_error(std::move(status).error(), path);
  if (!S_ISDIR(status->st_mode)) return Error(Kind::InvalidArgument, "extraction point is not a directory");
  TRY(std::string base, root.resolve(path.empty() ? "/" : path, sys::Follow::Yes));
  UnpackOptions unpack_options{.limits = options.limits,
                               .overwrite = options.overwrite,
                               .root_entry = RootEntry::Ignore,
                               .owner = options.owner,
                               .base = base.substr(1),
                               .stop = options.stop};
  CHECK(unpack(archive, root, unpack_options));
  return {};
}

}  // namespace berth::storage
