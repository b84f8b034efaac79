// Steps that make the process what the program will be: identity, capabilities, working directory, filter.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sys/stat.h>

#include <cerrno>
#include <string_view>

#include "launch/executor/executor.h"
#include "launch/executor/file_status.h"
#include "sys/kernel_call.h"

namespace berth::launch {

namespace call = sys::call;

namespace {
constexpr uint64_t kSysAdmin = uint64_t{1} << CAP_SYS_ADMIN;
constexpr int kHighestCapability = 63;
}  // namespace

long Executor::drop_bounding(uint64_t keep) {
  for (int i = 0; i <= kHighestCapability; ++i) {
    if ((keep >> i & 1) != 0) continue;
    long error = call::process_control(PR_CAPBSET_DROP, static_cast<unsigned long>(i));
    if (error == -EINVAL) return 0;  // past the kernel's last one
    if (error < 0) return error;
  }
  return 0;
}

/// In a user namespace with a single id groups may not be changed at all; then the process keeps its
/// engine's.
long Executor::change_groups() {
  long error = call::set_groups(group_count_, groups_.data());
  // Groups that nobody asked for: those that are not mapped here are none.
  if (groups_are_optional_ && error == -EINVAL) return call::set_groups(0, groups_.data());
  if (error != -EPERM || (group_count_ > 0 && !groups_are_optional_)) return error;
  long fd = call::open(AT_FDCWD, "/proc/self/setgroups", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return error;
  char word[4];
  long size = call::read(static_cast<int>(fd), word, sizeof word);
  call::close(static_cast<int>(fd));
  return size == sizeof word && std::string_view(word, sizeof word) == "deny" ? 0 : error;
}

long Executor::set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2];
  for (int i = 0; i < 2; ++i) {
    data[i].effective = static_cast<uint32_t>(effective >> (32 * i));
    data[i].permitted = static_cast<uint32_t>(permitted >> (32 * i));
    data[i].inheritable = static_cast<uint32_t>(inheritable >> (32 * i));
  }
  return call::raw(__NR_capset, call::address(&header), call::address(data));
}

long Executor::perform(const step::SetCredentials& step) {
  if (step.umask != 0xffffffff)
    call::set_umask(step.umask);
  else
    call::set_umask(022);
  // Pipes and terminals were made by root; the program must be able to open /dev/stdout anew.
  for (int fd = 0; fd < 3; ++fd) {
    FileStatus status;
    if (read_status(fd, status) < 0 || (S_ISCHR(status.mode) && status.device_major == 1)) continue;
    // A terminal keeps its group, which is that of all terminals.
    uint32_t group = S_ISFIFO(status.mode) || S_ISSOCK(status.mode) ? gid_ : 0xffffffff;
    if (status.uid != uid_) call::change_owner(fd, "", uid_, group, AT_EMPTY_PATH);
  }
  if (step.keep_capabilities == 0)
    if (long error = drop_bounding(step.bounding); error < 0) return blame(error, "bounding capabilities");
  if (step.keep_groups == 0)
    if (long error = change_groups(); error < 0) return blame(error, "groups");
  if (long error = call::set_group(gid_); error < 0) return blame(error, "gid");
  if (step.keep_capabilities == 0) call::process_control(PR_SET_KEEPCAPS, 1);
  if (long error = call::set_user(uid_); error < 0) return blame(error, "uid");
  if (step.keep_capabilities == 0) {
    call::process_control(PR_SET_KEEPCAPS, 0);
    uint64_t extra = step.keep_sys_admin != 0 ? kSysAdmin : 0;
    keeps_sys_admin_ = (extra & ~(step.effective & step.permitted)) != 0;
    credentials_ = step;
    long error = set_capabilities(step.effective | extra, step.permitted | extra, step.inheritable);
    if (error < 0) return blame(error, "capabilities");
    for (int i = 0; i <= kHighestCapability; ++i) {
      if ((step.ambient >> i & 1) == 0) continue;
      error = call::process_control(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, static_cast<unsigned long>(i));
      if (error < 0) return blame(error, "ambient capabilities");
    }
  }
  if (step.no_new_privileges != 0)
    if (long error = call::process_control(PR_SET_NO_NEW_PRIVS, 1); error < 0) return error;
  // Changing credentials cleared it. The container is to end with its keeper.
  constexpr int kSigKill = 9;
  call::process_control(PR_SET_PDEATHSIG, kSigKill);
  return 0;
}

long Executor::perform(const step::EnterDirectory& step) {
  // CVE-2024-21626: through a magic link (/proc/self/fd/7) it could be a directory of the host.
  long fd = call::open_beneath(AT_FDCWD, step.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC,
                               RESOLVE_NO_MAGICLINKS);
  if (fd == -ELOOP) return blame(Reason::DirectoryOutside, fd, step.path.view());
  if (fd < 0) return blame(Reason::DirectoryUnusable, fd, step.path.view());
  long error = call::change_directory(static_cast<int>(fd));
  call::close(static_cast<int>(fd));
  if (error < 0) return blame(Reason::DirectoryUnusable, error, step.path.view());
  char path[4096];
  long size = call::current_directory(path, sizeof path);
  if (size == -ERANGE || size == -ENAMETOOLONG) return 0;
  if (size < 0) return blame(Reason::DirectoryUnusable, size, step.path.view());
  if (path[0] != '/') return blame(Reason::DirectoryOutside, -EPERM, step.path.view());
  return 0;
}

long Executor::perform(const step::ApplySeccomp& step) {
  // From here on the filter may forbid talking to the keeper.
  if (long error = say_executing(); error < 0) return error;
  sock_fprog program{.len = static_cast<unsigned short>(step.filter.size() / sizeof(sock_filter)),
                     .filter = reinterpret_cast<sock_filter*>(const_cast<char*>(step.filter.data()))};
  long result = call::seccomp(SECCOMP_SET_MODE_FILTER, step.flags, &program);
  if (result < 0 || step.listens == 0) return result;
  long error = say(ProcessSays::Listener, static_cast<int>(result));
  call::close(static_cast<int>(result));
  return error;
}

}  // namespace berth::launch
