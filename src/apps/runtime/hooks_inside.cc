// Running hooks in a container.
#include "apps/runtime/hooks_inside.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>

#include "apps/runtime/create.h"
#include "apps/runtime/inside.h"
#include "base/format.h"
#include "launch/direct_launch.h"
#include "sys/file.h"

namespace berth::runtime {
namespace {

constexpr size_t kLongestWord = 8192;

spec::Process process_of(const spec::Hook& hook, const spec::RuntimeSpec& spec) {
  spec::Process process = spec.process;
  process.args = hook.args;
  if (process.args.empty()) process.args.emplace_back();
  process.args.front() = hook.path;
  if (hook.env) process.env = *hook.env;
  process.cwd = "/";
  process.terminal = false;
  process.console_size.reset();
  return process;
}

/// Its end, or its end by us when `timeout` seconds have passed.
Result<void> await_end(launch::DirectProcess& child, std::optional<int64_t> timeout) {
  pollfd ended{child.pidfd.get(), POLLIN, 0};
  int limit = timeout ? static_cast<int>(std::min<int64_t>(*timeout, 1'000'000) * 1000) : -1;
  int ready = -1;
  do ready = ::poll(&ended, 1, limit);
  while (ready < 0 && errno == EINTR);
  if (ready == 0) {
    launch::end_process(child);
    return failure(Kind::DeadlineExceeded, "it did not end within {} seconds and was killed", *timeout);
  }
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED) != 0)
    if (errno != EINTR) return Error::from_errno("wait for hook", {}, errno);
  if (info.si_code != CLD_EXITED) return failure(Kind::Internal, "signal: {}", ::strsignal(info.si_status));
  if (info.si_status != 0) return failure(Kind::Internal, "exit status {}", info.si_status);
  return {};
}

Result<void> run_one(const Container& container, const spec::RuntimeSpec& spec, const spec::Hook& hook,
                     const std::string& state) {
  TRY(auto init, container.init());
  TRY(auto plan, plan_inside(container, spec, process_of(hook, spec), init.get(), {}));
  TRY(auto input, sys::make_pipe());
  launch::DirectRequest request{.stdio = {input.read.get(), STDOUT_FILENO, STDERR_FILENO},
                                .container_init = init.get()};
  TRY(auto child, launch::clone_process(plan, std::move(request)));
  input.read.reset();
  launch::DirectCallbacks callbacks;
  callbacks.seccomp = [&](sys::UniqueFd listener) {
    return send_listener(container, Status::Created, spec, child.pid, listener.get());
  };
  auto running = launch::follow(child, callbacks);
  if (!running) return std::move(running).error();
  // A hook that does not read its stdin is no failure.
  (void)sys::write_all(input.write.get(), state);
  input.write.reset();
  return await_end(child, hook.timeout);
}

/// In a process of its own: whoever makes processes in another pid namespace makes no others any more.
Result<void> in_a_child(const std::function<Result<void>()>& work) {
  TRY(auto report, sys::make_pipe());
  pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno("fork", {}, errno);
  if (pid == 0) {
    auto done = work();
    if (!done) (void)sys::write_all(report.write.get(), done.error().message());
    ::_exit(done ? 0 : 1);
  }
  report.write.reset();
  auto said = sys::read_fd(report.read.get(), kLongestWord);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return Error::from_errno("wait for hook", {}, errno);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return failure(Kind::Internal, "{}", said && !said->empty() ? *said : "it could not be run");
}

}  // namespace

Result<void> run_hooks_inside(const Container& container, const spec::RuntimeSpec& spec,
                              const std::string& state) {
  size_t number = 0;
  for (const spec::Hook& hook : spec.hooks.start_container) {
    auto done = in_a_child([&] { return run_one(container, spec, hook, state); });
    if (!done)
      return failure(Kind::Internal, "error running startContainer hook #{}: {}: {}", number, hook.path,
                     done.error().message());
    ++number;
  }
  return {};
}

}  // namespace berth::runtime
