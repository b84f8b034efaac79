// Terminals and signals between a caller and a container.
#include "apps/runtime/console.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/format.h"
#include "sys/file.h"

namespace berth::runtime {
namespace {

Result<sys::UniqueFd> connect_stream(const std::string& path) {
  sys::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return failure(Kind::InvalidArgument, "the path of the socket is too long: {}", path);
  std::copy(path.begin(), path.end(), address.sun_path);
  if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return Error::from_errno("connect to", path, errno);
  return socket;
}

Result<void> send_descriptor(int socket, std::string_view message, int fd) {
  iovec piece{const_cast<char*>(message.data()), message.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  cmsghdr* first = CMSG_FIRSTHDR(&header);
  first->cmsg_level = SOL_SOCKET;
  first->cmsg_type = SCM_RIGHTS;
  first->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(first), &fd, sizeof fd);
  ssize_t sent = ::sendmsg(socket, &header, MSG_NOSIGNAL);
  if (sent < 0) return Error::from_errno("send descriptor", {}, errno);
  return sys::write_all(socket, message.substr(static_cast<size_t>(sent)));
}

/// The caller's terminal, whichever stream it is; -1: there is none.
int own_terminal() {
  for (int fd : {STDERR_FILENO, STDOUT_FILENO, STDIN_FILENO})
    if (::isatty(fd) == 1) return fd;
  return -1;
}

/// The caller's terminal, raw for as long as this lives.
class RawTerminal {
 public:
  RawTerminal() : terminal_(own_terminal()) {
    if (terminal_ < 0 || ::tcgetattr(terminal_, &before_) != 0) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    // The container's side leaves line ends alone (prepare_relay), so that ours must make them.
    raw.c_oflag |= OPOST;
    is_raw_ = ::tcsetattr(terminal_, TCSANOW, &raw) == 0;
  }
  ~RawTerminal() {
    if (is_raw_) ::tcsetattr(terminal_, TCSANOW, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  int terminal_;
  termios before_{};
  bool is_raw_ = false;
};

void copy_size(int master) {
  winsize size{};
  int terminal = own_terminal();
  if (terminal >= 0 && ::ioctl(terminal, TIOCGWINSZ, &size) == 0) ::ioctl(master, TIOCSWINSZ, &size);
}

/// Blocks every signal that can be passed on and gives them as a descriptor.
sys::UniqueFd take_signals() {
  sigset_t all;
  ::sigfillset(&all);
  for (int own : {SIGCHLD, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGPIPE})
    ::sigdelset(&all, own);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  return sys::UniqueFd(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
}

void pass_signals(int signals, int pidfd, int master) {
  signalfd_siginfo info;
  while (::read(signals, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGWINCH && master >= 0) {
      copy_size(master);
    } else {
      ::syscall(SYS_pidfd_send_signal, pidfd, info.ssi_signo, nullptr, 0);
    }
  }
}

/// False at the end of the stream.
bool relay(int from, int to) {
  char buffer[16384];
  ssize_t size = ::read(from, buffer, sizeof buffer);
  if (size < 0) return errno == EINTR || errno == EAGAIN;
  if (size == 0) return false;
  return static_cast<bool>(sys::write_all(to, {buffer, static_cast<size_t>(size)}));
}

}  // namespace

Result<void> send_console(const std::string& socket_path, int master) {
  char name[64] = "/dev/ptmx";
  TRY(auto socket, connect_stream(socket_path));
  return send_descriptor(socket.get(), name, master);
}

Result<void> send_with_descriptor(const std::string& socket_path, std::string_view message, int fd) {
  TRY(auto socket, connect_stream(socket_path));
  return send_descriptor(socket.get(), message, fd);
}

void prepare_relay(int master) {
  termios settings{};
  if (::tcgetattr(master, &settings) == 0) {
    settings.c_oflag &= ~static_cast<tcflag_t>(ONLCR);
    ::tcsetattr(master, TCSANOW, &settings);
  }
  copy_size(master);
}

Result<void> relay_terminal(int master, int pidfd) {
  RawTerminal raw;
  sys::UniqueFd signals = take_signals();
  pollfd watched[] = {
      {STDIN_FILENO, POLLIN, 0}, {master, POLLIN, 0}, {signals.get(), POLLIN, 0}, {pidfd, POLLIN, 0}};
  auto& [input, output, signal, end] = watched;
  while (true) {
    if (::poll(watched, std::size(watched), -1) < 0 && errno != EINTR)
      return Error::from_errno("wait for the container", {}, errno);
    if (signal.revents != 0) pass_signals(signals.get(), pidfd, master);
    // The terminal's hangup comes with its last byte.
    if (output.revents != 0 && !relay(master, STDOUT_FILENO)) output.fd = -1;
    if (input.revents != 0 && !relay(STDIN_FILENO, master)) input.fd = -1;
    bool over = end.revents != 0 && (output.fd < 0 || (output.revents & POLLIN) == 0);
    if (over) return {};
  }
}

Result<void> relay_signals(int pidfd) {
  sys::UniqueFd signals = take_signals();
  pollfd watched[] = {{signals.get(), POLLIN, 0}, {pidfd, POLLIN, 0}};
  while (true) {
    if (::poll(watched, std::size(watched), -1) < 0 && errno != EINTR)
      return Error::from_errno("wait for the container", {}, errno);
    pass_signals(signals.get(), pidfd, -1);
    if (watched[1].revents != 0) return {};
  }
}

}  // namespace berth::runtime
