// Terminal modes.
#include "apps/berth/terminal/raw_mode.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <utility>

namespace berth::cli::terminal {
namespace {

/// What a signal handler needs to give the terminal back.
struct Saved {
  int fd = -1;
  termios modes{};
};
Saved saved;
std::atomic<bool> raw = false;

void give_back() {
  if (raw.exchange(false)) ::tcsetattr(saved.fd, TCSANOW, &saved.modes);
}

void on_crash(int signal) {
  give_back();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace

bool is_terminal(int fd) {
  return ::isatty(fd) == 1;
}

Size size_of(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0) return {};
  return {size.ws_row, size.ws_col};
}

RawMode& RawMode::operator=(RawMode&& other) noexcept {
  if (this != &other) {
    restore();
    active_ = std::exchange(other.active_, false);
  }
  return *this;
}

Result<RawMode> RawMode::enter(int fd) {
  if (::tcgetattr(fd, &saved.modes) != 0) return Error::from_errno("read modes of", "the terminal", errno);
  saved.fd = fd;
  termios modes = saved.modes;
  ::cfmakeraw(&modes);
  raw = true;
  for (int signal : std::array{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) ::signal(signal, on_crash);
  if (::tcsetattr(fd, TCSANOW, &modes) != 0) {
    raw = false;
    return Error::from_errno("set modes of", "the terminal", errno);
  }
  RawMode mode;
  mode.active_ = true;
  return mode;
}

void RawMode::restore() {
  if (!std::exchange(active_, false)) return;
  give_back();
}

}  // namespace berth::cli::terminal
