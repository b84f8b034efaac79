// Entering namespaces before a process is born.
#include "launch/birthplace.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sys/fd.h"
#include "sys/kernel_call.h"

namespace berth::launch {
namespace {

Result<sys::UniqueFd> open_namespace(Text path) {
  sys::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Error::from_errno("join namespace", std::string(path.view()), errno);
  return fd;
}

Result<void> write_offsets(Text offsets) {
  constexpr char kPath[] = "/proc/self/timens_offsets";
  sys::UniqueFd file(::open(kPath, O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), offsets.c_str(), offsets.size()) < 0)
    return Error::from_errno("write", kPath, errno);
  return {};
}

/// What the process in between says: a pid, or what it could not do.
struct Word {
  pid_t pid = -1;
  int error = 0;
};

/// All were opened while their paths could be seen.
int join_all(const std::vector<std::pair<int, int>>& namespaces) {
  for (const auto& [fd, type] : namespaces)
    if (::setns(fd, type) != 0) return errno;
  return 0;
}

}  // namespace

ForeignUsers find_foreign_users(const LaunchPlan& plan) {
  ForeignUsers foreign;
  for (const auto& step : plan.steps) {
    const auto* join = std::get_if<step::JoinNamespace>(&step);
    if (join != nullptr && join->slot == kNoSlot && join->type == CLONE_NEWUSER) foreign.users = join;
  }
  if (foreign.users == nullptr) return foreign;
  for (const auto& step : plan.steps) {
    const auto* join = std::get_if<step::JoinNamespace>(&step);
    if (join == nullptr || join->slot != kNoSlot)
      foreign.steps.push_back(step);
    else if (join == foreign.users)
      foreign.steps.emplace_back(step::AwaitMapping{});
    else
      foreign.others.push_back(*join);
  }
  return foreign;
}

Result<void> enter_birthplace(const KeeperSetup& setup, int container_init) {
  if (container_init >= 0) {
    if (::setns(container_init, CLONE_NEWPID) != 0)
      return Error::from_errno("join pid namespace", "of the container", errno);
  } else if (!setup.pid_namespace.empty()) {
    TRY(auto fd, open_namespace(setup.pid_namespace));
    if (::setns(fd.get(), CLONE_NEWPID) != 0)
      return Error::from_errno("join namespace", std::string(setup.pid_namespace.view()), errno);
  }
  if (setup.time_offsets.empty()) return {};
  if (::unshare(CLONE_NEWTIME) != 0) return Error::from_errno("unshare", "time namespace", errno);
  return write_offsets(setup.time_offsets);
}

Result<pid_t> clone_among_foreign_users(const ForeignUsers& foreign, const KeeperSetup& setup,
                                        clone_args arguments) {
  std::vector<sys::UniqueFd> opened;
  std::vector<std::pair<int, int>> namespaces;
  auto open = [&](Text path, int type) -> Result<void> {
    TRY(auto fd, open_namespace(path));
    namespaces.emplace_back(fd.get(), type);
    opened.push_back(std::move(fd));
    return {};
  };
  if (!setup.pid_namespace.empty()) CHECK(open(setup.pid_namespace, CLONE_NEWPID));
  for (const auto& each : foreign.others) CHECK(open(each.path, static_cast<int>(each.type)));
  CHECK(open(foreign.users->path, CLONE_NEWUSER));
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return Error::from_errno("make pipe", {}, errno);
  sys::UniqueFd from(pipe[0]), to(pipe[1]);

  pid_t between = ::fork();
  if (between < 0) return Error::from_errno("fork", {}, errno);
  if (between == 0) {
    Word word{.error = join_all(namespaces)};
    if (word.error == 0) {
      // Its parent is ours: the creator. A child of its own needs no signal of its own then.
      arguments.flags |= CLONE_PARENT;
      arguments.exit_signal = 0;
      long pid = sys::call::raw(__NR_clone3, sys::call::address(&arguments), sizeof arguments);
      if (pid == 0) return pid_t{0};
      word = {.pid = static_cast<pid_t>(pid), .error = pid < 0 ? static_cast<int>(-pid) : 0};
    }
    (void)!::write(to.get(), &word, sizeof word);
    ::_exit(0);
  }
  to.reset();
  Word word{.error = ECHILD};
  ssize_t size = -1;
  do size = ::read(from.get(), &word, sizeof word);
  while (size < 0 && errno == EINTR);
  int status = 0;
  while (::waitpid(between, &status, 0) < 0 && errno == EINTR) {
  }
  if (size != sizeof word || word.error != 0)
    return Error::from_errno("join namespace", std::string(foreign.users->path.view()),
                             word.error != 0 ? word.error : ECHILD);
  return word.pid;
}

}  // namespace berth::launch
