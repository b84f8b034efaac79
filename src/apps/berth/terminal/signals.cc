// Signals by signalfd.
#include "apps/berth/terminal/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/format.h"

namespace berth::cli::terminal {
namespace {

sigset_t before;

/// Signals that say something about this program alone.
bool stays_here(int signal) {
  constexpr std::array own{SIGKILL, SIGSTOP, SIGCHLD, SIGPIPE, SIGURG,  SIGSEGV, SIGBUS,  SIGFPE,
                           SIGILL,  SIGTRAP, SIGABRT, SIGSYS,  SIGTTIN, SIGTTOU, SIGWINCH};
  for (int one : own) {
    if (one == signal) return true;
  }
  return signal == 32 || signal == 33;  // glibc's own
}

}  // namespace

Result<Signals> Signals::block(Take take, bool window) {
  Signals signals;
  sigset_t set;
  ::sigemptyset(&set);
  if (take == Take::Everything) {
    for (int signal = 1; signal <= SIGRTMAX; ++signal) {
      if (!stays_here(signal)) ::sigaddset(&set, signal);
    }
  } else if (take == Take::Endings) {
    for (int signal : std::array{SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::sigaddset(&set, signal);
  }
  if (window) ::sigaddset(&set, SIGWINCH);
  if (take == Take::Nothing && !window) return signals;
  ::sigprocmask(SIG_BLOCK, &set, &before);
  signals.blocked_ = true;
  signals.fd_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.fd_) return Error::from_errno("signalfd", "", errno);
  return signals;
}

Signals::~Signals() {
  if (blocked_) ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

Signals::Signals(Signals&& other) noexcept
    : fd_(std::move(other.fd_)), blocked_(std::exchange(other.blocked_, false)) {}

std::optional<int> Signals::next() {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

std::string signal_name(int signal) {
  if (signal >= SIGRTMIN && signal <= SIGRTMAX) {
    int offset = signal - SIGRTMIN;
    return offset == 0 ? "RTMIN" : fmt::format("RTMIN+{}", offset);
  }
  const char* name = ::sigabbrev_np(signal);
  return name == nullptr ? fmt::format("{}", signal) : name;
}

void die_by(int signal) {
  ::signal(signal, SIG_DFL);
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  ::raise(signal);
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
  std::_Exit(128 + signal);
}

}  // namespace berth::cli::terminal
