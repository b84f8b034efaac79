// posix_spawn.
#include "sys/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace berth::sys {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (const auto& string : strings) result.push_back(const_cast<char*>(string.c_str()));
  result.push_back(nullptr);
  return result;
}

struct SpawnSettings {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
  }
};

}  // namespace

Result<UniqueFd> clear_of_passed(int fd) {
  constexpr int kLowest = 100;
  UniqueFd moved(::fcntl(fd, F_DUPFD_CLOEXEC, kLowest));
  if (!moved) return Error::from_errno("duplicate", "descriptor", errno);
  return moved;
}

Result<pid_t> spawn_process(const SpawnRequest& request) {
  SpawnSettings settings;
  for (int i = 0; i < 3; ++i) {
    int given = request.stdio[static_cast<size_t>(i)];
    bool opened = i > 0 && request.stdio[0] < 0;
    if (given >= 0 || opened)
      ::posix_spawn_file_actions_adddup2(&settings.actions, given >= 0 ? given : 0, i);
    else
      ::posix_spawn_file_actions_addopen(&settings.actions, i, "/dev/null", O_RDWR, 0);
  }
  for (const auto& fd : request.fds) ::posix_spawn_file_actions_adddup2(&settings.actions, fd.from, fd.to);
  // What a daemon may ignore; each costs the new process a system call.
  sigset_t none, reset;
  ::sigemptyset(&none);
  ::sigemptyset(&reset);
  for (int signal : {SIGHUP, SIGINT, SIGPIPE, SIGCHLD}) ::sigaddset(&reset, signal);
  ::posix_spawnattr_setsigmask(&settings.attributes, &none);
  ::posix_spawnattr_setsigdefault(&settings.attributes, &reset);
  ::posix_spawnattr_setflags(&settings.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  auto arguments = pointers(request.arguments);
  auto environment = pointers(request.environment);
  std::string path = request.program < 0 ? request.path : "/proc/self/fd/" + std::to_string(request.program);
  pid_t pid = 0;
  int error = ::posix_spawn(&pid, path.c_str(), &settings.actions, &settings.attributes, arguments.data(),
                            environment.data());
  if (error != 0) return Error::from_errno("start", request.arguments.front(), error);
  return pid;
}

void reap_process(pid_t pid) {
  constexpr int kPatience = 200;  // milliseconds; it is known to be ending
  int status;
  if (::waitpid(pid, &status, WNOHANG) != 0) return;
  UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd wait{.fd = handle.get(), .events = POLLIN, .revents = 0};
  if (handle && ::poll(&wait, 1, kPatience) > 0) ::waitpid(pid, &status, WNOHANG);
}

}  // namespace berth::sys
