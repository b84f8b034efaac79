// Descriptors.
#include "sys/fd.h"

#include <fcntl.h>

#include <cerrno>

namespace berth::sys {

Result<UniqueFd> UniqueFd::duplicate() const {
  int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return Error::from_errno("duplicate descriptor", {}, errno);
  return UniqueFd(copy);
}

Result<Pipe> make_pipe(int flags) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | flags) != 0) return Error::from_errno("create pipe", {}, errno);
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<UniqueFd> open_file(const char* path, int flags, unsigned mode) {
  int fd = ::open(path, flags | O_CLOEXEC, mode);
  if (fd < 0) return Error::from_errno("open", path, errno);
  return UniqueFd(fd);
}

}  // namespace berth::sys
