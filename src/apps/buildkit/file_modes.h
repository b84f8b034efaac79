// Modes of files between the kernel's bits and those of Go's os.FileMode, which travel in packets.
#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace berth::buildkit {

namespace go_mode {
constexpr uint32_t dir = 1u << 31, symlink = 1u << 27, device = 1u << 26, fifo = 1u << 25, socket = 1u << 24,
                   setuid = 1u << 23, setgid = 1u << 22, char_device = 1u << 21, sticky = 1u << 20,
                   irregular = 1u << 19;
constexpr uint32_t type_bits = dir | symlink | device | fifo | socket | char_device | irregular;
}  // namespace go_mode

/// Permission bits with set-id and sticky.
constexpr mode_t permissions_of(uint32_t mode) {
  mode_t bits = mode & 0777u;
  if (mode & go_mode::setuid) bits |= S_ISUID;
  if (mode & go_mode::setgid) bits |= S_ISGID;
  if (mode & go_mode::sticky) bits |= S_ISVTX;
  return bits;
}

constexpr bool is_regular(uint32_t mode) {
  return (mode & go_mode::type_bits) == 0;
}

constexpr uint32_t to_go_mode(mode_t mode) {
  uint32_t bits = mode & 0777u;
  if (mode & S_ISUID) bits |= go_mode::setuid;
  if (mode & S_ISGID) bits |= go_mode::setgid;
  if (mode & S_ISVTX) bits |= go_mode::sticky;
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return bits | go_mode::dir;
    case S_IFLNK:
      return bits | go_mode::symlink;
    case S_IFIFO:
      return bits | go_mode::fifo;
    case S_IFSOCK:
      return bits | go_mode::socket;
    case S_IFBLK:
      return bits | go_mode::device;
    case S_IFCHR:
      return bits | go_mode::device | go_mode::char_device;
    default:
      return bits;
  }
}

}  // namespace berth::buildkit
