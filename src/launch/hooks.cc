// Running hooks.
#include "launch/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/format.h"
#include "sys/file.h"

namespace berth::launch {
namespace {

constexpr int kCannotRun = 127;

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (const auto& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

/// Everything that makes the container's namespaces ours, opened while /proc is the host's.
struct Place {
  sys::UniqueFd process;
  sys::UniqueFd root;
  int types = 0;

  static Result<Place> of(pid_t pid) {
    Place place;
    place.process.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    std::string root = fmt::format("/proc/{}/root", pid);
    place.root.reset(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!place.process || !place.root) return Error::from_errno("open", root, errno);
    static constexpr std::pair<const char*, int> kTypes[] = {
        {"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS},  {"pid", CLONE_NEWPID},      {"net", CLONE_NEWNET},
        {"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}};
    for (const auto& [name, type] : kTypes) {
      struct stat own {
      }, theirs{};
      std::string ours = fmt::format("/proc/self/ns/{}", name),
                  other = fmt::format("/proc/{}/ns/{}", pid, name);
      if (::stat(ours.c_str(), &own) != 0 || ::stat(other.c_str(), &theirs) != 0) continue;
      if (own.st_ino != theirs.st_ino) place.types |= type;
    }
    return place;
  }

  bool enter() const {
    return (types == 0 || ::setns(process.get(), types) == 0) && ::fchdir(root.get()) == 0 &&
           ::chroot(".") == 0;
  }
};

[[noreturn]] void become_hook(const spec::Hook& hook, sys::Pipe input, const HookPlace& where,
                              const Place* place) {
  ::setpgid(0, 0);
  ::dup2(input.read.get(), STDIN_FILENO);
  input = {};  // our own copy of its writing end would keep the end of the state from the hook
  if (place != nullptr) {
    if (!place->enter()) ::_exit(kCannotRun);
    // Before the pivot the bundle is there to be seen; afterwards it need not be.
    (void)!::chdir(where.directory.c_str());
    // Only a child is born into the pid namespace.
    pid_t child = ::fork();
    if (child < 0) ::_exit(kCannotRun);
    if (child > 0) {
      int status = 0;
      while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
      }
      ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
  }
  if (place == nullptr && ::chdir(where.directory.c_str()) != 0) ::_exit(kCannotRun);
  std::vector<std::string> arguments = hook.args.empty() ? std::vector{hook.path} : hook.args;
  auto argv = pointers(arguments);
  auto envp = pointers(hook.env.value_or(std::vector<std::string>()));
  ::execve(hook.path.c_str(), argv.data(), hook.env ? envp.data() : environ);
  std::string message = fmt::format("hook {}: {}\n", hook.path, std::strerror(errno));
  (void)!::write(STDERR_FILENO, message.data(), message.size());
  ::_exit(kCannotRun);
}

/// Waits for its end; kills it when `timeout` seconds have passed.
Result<int> wait_for(pid_t pid, std::optional<int64_t> timeout) {
  sys::UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd ended{pidfd.get(), POLLIN, 0};
  bool in_time = true;
  if (timeout) {
    int limit = static_cast<int>(std::min<int64_t>(*timeout, 1'000'000) * 1000);
    int ready = -1;
    do ready = ::poll(&ended, 1, limit);
    while (ready < 0 && errno == EINTR);
    in_time = ready != 0;
  }
  if (!in_time) ::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return Error::from_errno("wait for hook", {}, errno);
  if (!in_time)
    return failure(Kind::DeadlineExceeded, "it did not end within {} seconds and was killed", *timeout);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Result<void> run_hook(const spec::Hook& hook, const HookPlace& where, const std::string& state,
                      const Place* place) {
  TRY(auto input, sys::make_pipe());
  pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno("fork", {}, errno);
  if (pid == 0) become_hook(hook, std::move(input), where, place);
  input.read.reset();
  // A hook that does not read its stdin is no failure.
  (void)sys::write_all(input.write.get(), state);
  input.write.reset();
  TRY(int code, wait_for(pid, hook.timeout));
  if (code != 0) return failure(Kind::Internal, "exit status {}", code);
  return {};
}

}  // namespace

Result<void> run_hooks(const std::vector<spec::Hook>& hooks, const HookPlace& where,
                       const std::string& state) {
  if (hooks.empty()) return {};
  ::signal(SIGPIPE, SIG_IGN);
  Place place;
  if (where.container != 0) {
    TRY(place, Place::of(where.container));
  }
  size_t number = 0;
  for (const spec::Hook& hook : hooks) {
    if (auto done = run_hook(hook, where, state, where.container != 0 ? &place : nullptr); !done)
      return failure(Kind::Internal, "error running {} hook #{}: {}: {}", where.what, number, hook.path,
                     done.error().message());
    ++number;
  }
  return {};
}

}  // namespace berth::launch
