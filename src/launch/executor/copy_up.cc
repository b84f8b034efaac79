// Step CopyUp: fills a new tmpfs with what the root has where the tmpfs will be mounted. Both sides are
// reached by descriptors; links are copied, never followed.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "launch/executor/beneath.h"
#include "launch/executor/executor.h"
#include "launch/executor/file_status.h"
#include "sys/kernel_call.h"

namespace berth::launch {

namespace call = sys::call;

namespace {

constexpr int kMaxDepth = 64;

struct DirectoryEntry {  // struct linux_dirent64
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
};

long copy_content(int from, int to) {
  while (true) {
    constexpr size_t kPiece = 1u << 30;
    long copied = call::raw(__NR_sendfile, to, from, 0, kPiece);
    if (copied <= 0) return copied;
  }
}

long copy_regular(int from, int to, const char* name, uint32_t mode) {
  long source = call::open(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (source < 0) return source;
  long target = call::open(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 07777);
  long error = target;
  if (target >= 0) {
    error = copy_content(static_cast<int>(source), static_cast<int>(target));
    call::close(static_cast<int>(target));
  }
  call::close(static_cast<int>(source));
  return error;
}

long copy_link(int from, int to, const char* name) {
  char target[4096];
  long size = call::read_link(from, name, target, sizeof target - 1);
  if (size < 0) return size;
  target[size] = 0;
  return call::make_symlink(target, to, name);
}

long copy_directory(int from, int to, int depth);

long copy_subdirectory(int from, int to, const char* name, uint32_t mode, int depth) {
  long error = call::make_directory(to, name, mode & 07777);
  if (error < 0) return error;
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  long source = call::open(from, name, kFlags);
  if (source < 0) return source;
  long target = call::open(to, name, kFlags);
  error = target < 0 ? target : copy_directory(static_cast<int>(source), static_cast<int>(target), depth + 1);
  if (target >= 0) call::close(static_cast<int>(target));
  call::close(static_cast<int>(source));
  return error;
}

long copy_entry(int from, int to, const char* name, int depth) {
  long entry = call::open(from, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (entry < 0) return entry;
  FileStatus status;
  long error = read_status(static_cast<int>(entry), status);
  call::close(static_cast<int>(entry));
  if (error < 0) return error;
  if (S_ISREG(status.mode)) error = copy_regular(from, to, name, status.mode);
  if (S_ISLNK(status.mode)) error = copy_link(from, to, name);
  if (S_ISDIR(status.mode)) error = copy_subdirectory(from, to, name, status.mode, depth);
  // Nodes, sockets and FIFOs have no business in a scratch filesystem.
  if (!S_ISREG(status.mode) && !S_ISLNK(status.mode) && !S_ISDIR(status.mode)) return 0;
  if (error < 0) return error;
  return call::change_owner(to, name, status.uid, status.gid, AT_SYMLINK_NOFOLLOW);
}

long copy_directory(int from, int to, int depth) {
  if (depth > kMaxDepth) return -ELOOP;
  alignas(DirectoryEntry) char entries[2048];
  while (true) {
    long size = call::directory_entries(from, entries, sizeof entries);
    if (size <= 0) return size;
    for (long at = 0; at < size;) {
      auto* entry = reinterpret_cast<DirectoryEntry*>(entries + at);
      at += entry->length;
      std::string_view name(entry->name);
      if (name == "." || name == "..") continue;
      if (long error = copy_entry(from, to, entry->name, depth); error < 0) return error;
    }
  }
}

}  // namespace

long Executor::perform(const step::CopyUp& step) {
  long target = slot(step.slot);
  if (target < 0) return target;
  long path = open_path_beneath(root_, step.path.c_str());
  if (path == -ENOENT) return 0;
  if (path < 0) return blame(path, step.path.view());
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  long from = call::open(static_cast<int>(path), ".", kFlags);
  call::close(static_cast<int>(path));
  if (from == -ENOTDIR) return 0;
  if (from < 0) return blame(from, step.path.view());
  FileStatus status;
  long error = read_status(static_cast<int>(from), status);
  long to = error < 0 ? error : call::open(static_cast<int>(target), ".", kFlags);
  error = to;
  if (to >= 0) {
    error = copy_directory(static_cast<int>(from), static_cast<int>(to), 0);
    if (error >= 0) error = call::change_mode(static_cast<int>(to), status.mode & 07777);
    call::close(static_cast<int>(to));
  }
  call::close(static_cast<int>(from));
  return blame(error, step.path.view());
}

}  // namespace berth::launch
