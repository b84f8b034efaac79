// UniqueFd: the sole owner of a file descriptor.
#pragma once

#include <unistd.h>

#include <utility>

#include "base/result.h"

namespace berth::sys {

class UniqueFd {
 public:
  UniqueFd() = default;
  /// Takes ownership; -1 means none.
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  /// A second descriptor of the same open file (CLOEXEC).
  Result<UniqueFd> duplicate() const;

 private:
  int fd_ = -1;
};

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

/// pipe2(O_CLOEXEC | flags).
Result<Pipe> make_pipe(int flags = 0);

/// open(2) with O_CLOEXEC added.
Result<UniqueFd> open_file(const char* path, int flags, unsigned mode = 0);

}  // namespace berth::sys
