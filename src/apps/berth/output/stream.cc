// Buffered writing to descriptors.
#include "apps/berth/output/stream.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace berth::cli::output {

int write_fully(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd wait{fd, POLLOUT, 0};
      ::poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

void Stream::write(std::string_view text) {
  buffer_.append(text);
  if (buffer_.size() >= threshold) flush();
}

void Stream::flush() {
  if (fd_ < 0 || buffer_.empty()) return;
  if (broken_ == 0) broken_ = write_fully(fd_, buffer_);
  buffer_.clear();
}

bool Stream::is_terminal() const {
  return fd_ >= 0 && ::isatty(fd_) == 1;
}

unsigned Stream::columns() const {
  winsize size{};
  if (fd_ < 0 || ::ioctl(fd_, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col;
}

}  // namespace berth::cli::output
