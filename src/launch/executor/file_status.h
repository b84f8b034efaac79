// What a descriptor refers to, by statx (the same layout on every architecture) and fstatfs.
#pragma once

#include <fcntl.h>
#include <linux/stat.h>

#include <cstdint>
#include <utility>

#include "sys/kernel_call.h"

namespace berth::launch {

struct FileStatus {
  uint32_t mode = 0;
  uint32_t device_major = 0;  ///< of a device node
  uint32_t device_minor = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;
};

/// 0 or -errno. `fd` may be O_PATH.
inline long read_status(int fd, FileStatus& status, const char* path = "") {
  struct statx info {};
  long error =
      sys::call::raw(__NR_statx, fd, sys::call::address(path), path[0] == 0 ? AT_EMPTY_PATH : 0,
                     STATX_TYPE | STATX_MODE | STATX_SIZE | STATX_UID | STATX_GID, sys::call::address(&info));
  if (error < 0) return error;
  status = {.mode = info.stx_mode,
            .device_major = info.stx_rdev_major,
            .device_minor = info.stx_rdev_minor,
            .uid = info.stx_uid,
            .gid = info.stx_gid,
            .size = info.stx_size};
  return 0;
}

inline bool is_same_file(int left, int right) {
  struct statx a {
  }, b{};
  const char* empty = "";
  for (auto [fd, info] : {std::pair{left, &a}, std::pair{right, &b}}) {
    if (sys::call::raw(__NR_statx, fd, sys::call::address(empty), AT_EMPTY_PATH, STATX_INO,
                       sys::call::address(info)) < 0)
      return false;
  }
  return a.stx_ino == b.stx_ino && a.stx_dev_major == b.stx_dev_major && a.stx_dev_minor == b.stx_dev_minor;
}

/// The filesystem's magic number (PROC_SUPER_MAGIC, ...), or -errno.
inline long filesystem_type(int fd) {
  // struct statfs begins with f_type; it is 120 bytes on 64-bit machines.
  int64_t info[32] = {};
  long error = sys::call::raw(__NR_fstatfs, fd, sys::call::address(info));
  return error < 0 ? error : static_cast<long>(info[0]);
}

}  // namespace berth::launch
