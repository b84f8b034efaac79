// Steps on cgroups, namespaces and what belongs to them: hostname, loopback, sysctls, session.
#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <sys/socket.h>

#include <cerrno>

#include "launch/executor/executor.h"
#include "sys/kernel_call.h"

namespace berth::launch {

namespace call = sys::call;

namespace {

/// Writes all of `text` to a file with one write(2).
long write_file(int directory, const char* path, std::string_view text, uint64_t resolve) {
  long fd = call::open_beneath(directory, path, O_WRONLY | O_CLOEXEC, resolve);
  if (fd < 0) return fd;
  long written = call::write(static_cast<int>(fd), text.data(), text.size());
  call::close(static_cast<int>(fd));
  if (written < 0) return written;
  return static_cast<size_t>(written) == text.size() ? 0 : -EIO;
}

}  // namespace

long Executor::perform(const step::EnterCgroup& step) {
  // cgroup v1 has `tasks`, and "0" in it spares the lock over all thread groups that `cgroup.procs` takes,
  // and with it an RCU grace period of 6 to 12 ms (cgroup_procs_write_start). This process has one thread.
  for (std::string_view file : {"/tasks", "/cgroup.procs"}) {
    PathBuffer path(step.directory.view());
    path.append(file);
    if (path.overflowed()) return blame(-ENAMETOOLONG, step.directory.view());
    long error = write_file(AT_FDCWD, path.c_str(), "0", 0);
    if (error != -ENOENT) return blame(error, step.directory.view());
  }
  return blame(-ENOENT, step.directory.view());
}

long Executor::perform(const step::JoinNamespace& step) {
  if (step.slot != kNoSlot) {
    long fd = slot(step.slot);
    return blame(fd < 0 ? fd : call::enter_namespace(static_cast<int>(fd), static_cast<int>(step.type)),
                 "by descriptor");
  }
  long fd = call::open(AT_FDCWD, step.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return blame(fd, step.path.view());
  long error = call::enter_namespace(static_cast<int>(fd), static_cast<int>(step.type));
  call::close(static_cast<int>(fd));
  return blame(error, step.path.view());
}

long Executor::perform(const step::JoinContainer& step) {
  long init = slot(kSlotInit);
  if (init < 0) return init;
  long error = call::enter_namespace(static_cast<int>(init), static_cast<int>(step.types));
  call::close(static_cast<int>(init));
  slots_[kSlotInit] = -1;
  if (error < 0) return error;
  // Its root is ours now.
  error = call::open(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (error >= 0) root_ = static_cast<int>(error);
  return error;
}

long Executor::perform(const step::Unshare& step) {
  return call::unshare(step.types);
}

long Executor::perform(const step::AwaitMapping&) {
  // An ordinary user may write the maps only of a process that it could look into. So far nobody else is in
  // the new user namespace, so that nobody else can.
  call::process_control(PR_SET_DUMPABLE, 1);
  if (long error = say(ProcessSays::MapUsers); error < 0) return error;
  if (long error = await_word(); error < 0) return error;
  call::process_control(PR_SET_DUMPABLE, 0);
  if (long error = call::set_group(0); error < 0) return error;
  return call::set_user(0);
}

long Executor::perform(const step::SetHostname& step) {
  return blame(call::set_host_name(step.name.c_str(), step.name.size()), step.name.view());
}

long Executor::perform(const step::SetDomainname& step) {
  return blame(call::set_domain_name(step.name.c_str(), step.name.size()), step.name.view());
}

long Executor::perform(const step::JoinKeyring& step) {
  constexpr long kJoinSession = 1, kSetPermissions = 5;
  // All rights to the possessor, and to the user the one to find it, by which execs join it.
  constexpr long kPermissions = 0x3f000000 | 0x00080000;
  long ring = call::raw(__NR_keyctl, kJoinSession, call::address(step.name.c_str()));
  if (ring == -ENOSYS) return 0;  // a kernel without keys (CONFIG_KEYS)
  if (ring < 0) return blame(ring, step.name.view());
  long error = call::raw(__NR_keyctl, kSetPermissions, ring, kPermissions);
  // An exec's may belong to the container's root, not to its user.
  return error == -EACCES ? 0 : blame(error, step.name.view());
}

long Executor::perform(const step::LoopbackUp&) {
  struct {  // struct ifreq
    char name[16];
    int16_t flags;
    char padding[22];
  } request{"lo", 0, {}};
  constexpr unsigned long kGetFlags = 0x8913, kSetFlags = 0x8914;
  constexpr int16_t kUp = 1;
  long socket = call::raw(__NR_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return socket;
  long error = call::device_control(static_cast<int>(socket), kGetFlags, call::address(&request));
  if (error >= 0 && (request.flags & kUp) == 0) {
    request.flags |= kUp;
    error = call::device_control(static_cast<int>(socket), kSetFlags, call::address(&request));
  }
  call::close(static_cast<int>(socket));
  return blame(error, "lo");
}

long Executor::perform(const step::WriteProc& step) {
  long proc = slot(step.proc);
  if (proc < 0) return proc;
  // The descriptor is of the procfs itself; nothing mounted over a path of it may receive the write.
  constexpr uint64_t kResolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  return blame(write_file(static_cast<int>(proc), step.path.c_str(), step.value.view(), kResolve),
               step.path.view());
}

long Executor::perform(const step::SetOomScore& step) {
  FixedBuffer<16> text;
  if (step.value < 0) text.append("-");
  text.append_number(static_cast<uint64_t>(step.value < 0 ? -static_cast<int64_t>(step.value) : step.value));
  long error = write_file(AT_FDCWD, "/proc/self/oom_score_adj", text.view(), 0);
  // Lowering takes CAP_SYS_RESOURCE; where berth itself runs with a higher score and without it, zero stands
  // for "nothing special" and is not worth a failure.
  if (error == -EACCES && step.value == 0) return 0;
  return blame(error, text.view());
}

long Executor::perform(const step::SetRlimit& step) {
  call::Limit limit{step.soft, step.hard};
  return blame(call::set_limit(0, step.resource, &limit, nullptr), step.name.view());
}

long Executor::perform(const step::StartSession& step) {
  if (long error = call::start_session(); error < 0 && error != -EPERM) return error;
  constexpr unsigned long kSetControllingTerminal = 0x540e;
  if (step.terminal != 0) {
    if (terminal_ < 0) return -EBADF;
    if (long error = call::device_control(terminal_, kSetControllingTerminal, 0); error < 0) return error;
  }
  for (int i = 0; i < 3; ++i) {
    int from = step.terminal != 0 ? terminal_ : descriptors_.stdio[static_cast<size_t>(i)];
    if (from < 0) return -EBADF;
    if (from == i) continue;  // inherited
    if (long error = call::duplicate_to(from, i, 0); error < 0) return error;
  }
  return 0;
}

}  // namespace berth::launch
