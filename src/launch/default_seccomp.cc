// The default seccomp filter: what docker's default allows, except that i386 programs cannot go round the
// rules on socket() by socketcall(), whose arguments a filter cannot see (CVE-2026-112917; programs since
// 2016 use socket()).
#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "launch/defaults.h"

namespace berth::launch {
namespace {

/// Allowed to every container. Names that an architecture does not have are passed over.
constexpr std::string_view kAllowed =
    // files and directories
    "access chdir chmod chown chown32 close close_range creat dup dup2 dup3 faccessat faccessat2 fallocate "
    "fchdir "
    "fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync flock fstat fstat64 "
    "fstatat64 "
    "fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 ioctl lchown "
    "lchown32 link "
    "linkat _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat "
    "openat2 "
    "readlink readlinkat rename renameat renameat2 rmdir stat stat64 statfs statfs64 statx symlink symlinkat "
    "sync "
    "sync_file_range syncfs truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 "
    "utimes "
    "listmount statmount fadvise64 fadvise64_64 readahead cachestat "
    // extended attributes
    "fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat "
    "llistxattr "
    "lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat "
    // reading and writing
    "copy_file_range pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readv sendfile sendfile64 splice "
    "tee "
    "vmsplice write writev io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup "
    "io_submit "
    // waiting
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old "
    "eventfd "
    "eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch _newselect pause "
    "pipe pipe2 "
    "poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4 timerfd_create "
    "timerfd_gettime "
    "timerfd_gettime64 timerfd_settime timerfd_settime64 "
    // sockets (socket itself: see below)
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg "
    "recvmmsg_time64 "
    "recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketpair "
    // memory
    "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap "
    "mmap2 "
    "mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect "
    "remap_file_pages "
    "process_mrelease "
    // IPC
    "futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list set_robust_list ipc "
    "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 "
    "mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl "
    "shmdt shmget "
    // processes and threads
    "execve execveat exit exit_group fork vfork wait4 waitid waitpid get_thread_area set_thread_area "
    "set_tid_address "
    "getcpu getpgid getpgrp getpid getppid getpriority getsid gettid ioprio_get ioprio_set prctl rseq "
    "restart_syscall sched_getaffinity sched_getattr sched_getparam sched_get_priority_max "
    "sched_get_priority_min "
    "sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield setpgid setpriority setsid times uname sysinfo uretprobe "
    "riscv_hwprobe pidfd_open pidfd_send_signal "
    // identity and limits
    "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid "
    "getresgid32 "
    "getresuid getresuid32 getuid getuid32 getrlimit getrusage prlimit64 setfsgid setfsgid32 setfsuid "
    "setfsuid32 "
    "setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 "
    "setreuid "
    "setreuid32 setrlimit setuid setuid32 ugetrlimit landlock_add_rule landlock_create_ruleset "
    "landlock_restrict_self seccomp "
    // signals
    "kill rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
    "rt_sigtimedwait "
    "rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn tgkill tkill "
    // time
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
    "clock_gettime64 "
    "clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create "
    "timer_delete "
    "timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 getrandom "
    // tracing one's own (since Linux 4.8 a tracee cannot escape its filter)
    "process_vm_readv process_vm_writev ptrace";

/// Allowed to those who hold a capability that has its own checks on them.
struct CapabilityCalls {
  std::string_view capability;
  std::string_view calls;
};
constexpr CapabilityCalls kByCapability[] = {
    {"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
    {"CAP_SYS_ADMIN",
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
     "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl "
     "quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare"},
    {"CAP_SYS_BOOT", "reboot"},
    {"CAP_SYS_CHROOT", "chroot"},
    {"CAP_SYS_MODULE", "delete_module init_module finit_module"},
    {"CAP_SYS_PACCT", "acct"},
    {"CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"},
    {"CAP_SYS_RAWIO", "iopl ioperm"},
    {"CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"},
    {"CAP_SYS_TTY_CONFIG", "vhangup"},
    {"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {"CAP_SYSLOG", "syslog"},
    {"CAP_BPF", "bpf"},
    {"CAP_PERFMON", "perf_event_open"},
};

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> result;
  while (!text.empty()) {
    size_t size = text.find(' ');
    if (size != 0) result.emplace_back(text.substr(0, size));
    text.remove_prefix(size == std::string_view::npos ? text.size() : size + 1);
  }
  return result;
}

spec::SeccompRule allow(std::string_view calls) {
  return {.names = words(calls), .action = "SCMP_ACT_ALLOW"};
}

spec::SeccompRule allow_if(const char* call, uint32_t index, const char* op, uint64_t value,
                           uint64_t second = 0) {
  auto rule = allow(call);
  rule.args.push_back({.index = index, .value = value, .value_two = second, .op = op});
  return rule;
}

/// PER_LINUX, PER_LINUX32, UNAME26, both, and the question what it is.
constexpr uint64_t kPersonalities[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};
/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
constexpr uint64_t kNamespaceFlags = 0x7e020000;
constexpr uint64_t kFamilyAlg = 38, kFamilyVsock = 40;

}  // namespace

spec::Seccomp default_seccomp(std::span<const std::string> capabilities, const HostFacts& host) {
  auto holds = [&](std::string_view name) {
    return std::ranges::find(capabilities, name) != capabilities.end();
  };
  bool arm = host.architecture == Architecture::Aarch64;
  spec::Seccomp profile{.default_action = "SCMP_ACT_ERRNO", .default_errno_ret = EPERM};
  profile.architectures =
      arm ? std::vector<std::string>{"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"}
          : std::vector<std::string>{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  auto& rules = profile.syscalls;
  rules.push_back(allow(kAllowed));
  rules.push_back(
      allow(arm ? "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"
                : "arch_prctl modify_ldt"));
  // All families but AF_ALG (CVE-2026-31431) and AF_VSOCK, which reaches the host.
  rules.push_back(allow_if("socket", 0, "SCMP_CMP_LT", kFamilyAlg));
  rules.push_back(allow_if("socket", 0, "SCMP_CMP_EQ", kFamilyAlg + 1));
  rules.push_back(allow_if("socket", 0, "SCMP_CMP_GT", kFamilyVsock));
  for (uint64_t value : kPersonalities) rules.push_back(allow_if("personality", 0, "SCMP_CMP_EQ", value));
  for (const auto& [capability, calls] : kByCapability)
    if (holds(capability)) rules.push_back(allow(calls));
  if (!holds("CAP_SYS_ADMIN")) {
    rules.push_back(allow_if("clone", 0, "SCMP_CMP_MASKED_EQ", kNamespaceFlags, 0));
    // Its flags lie in memory, out of a filter's sight; libc then falls back to clone.
    rules.push_back({.names = {"clone3"}, .action = "SCMP_ACT_ERRNO", .errno_ret = ENOSYS});
  }
  return profile;
}

namespace {

/// Allowed by default, but not to hardened containers.
constexpr std::string_view kNotHardened =
    "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise "
    "name_to_handle_at open_by_handle_at mknod mknodat memfd_secret modify_ldt remap_file_pages "
    "io_setup io_submit io_destroy io_cancel io_getevents io_pgetevents io_pgetevents_time64 "
    "fanotify_mark vmsplice uretprobe adjtimex clock_adjtime clock_adjtime64 "
    "mount umount umount2 fsopen fsconfig fsmount fspick move_mount open_tree mount_setattr "
    "unshare setns bpf perf_event_open clone3";
constexpr uint64_t kFamilies[] = {1, 2, 10, 16};  // unix, inet, inet6, netlink

}  // namespace

spec::Seccomp hardened_seccomp(std::span<const std::string> capabilities, const HostFacts& host) {
  spec::Seccomp profile = default_seccomp(capabilities, host);
  profile.architectures.resize(1);
  auto denied = words(kNotHardened);
  std::erase_if(profile.syscalls, [](const spec::SeccompRule& rule) {
    return rule.names.front() == "socket" || rule.names.front() == "clone" || rule.names.front() == "clone3";
  });
  for (auto& rule : profile.syscalls)
    std::erase_if(rule.names, [&](const std::string& name) {
      return name == "clone" || std::ranges::find(denied, name) != denied.end();
    });
  std::erase_if(profile.syscalls, [](const spec::SeccompRule& rule) { return rule.names.empty(); });
  for (uint64_t family : kFamilies) profile.syscalls.push_back(allow_if("socket", 0, "SCMP_CMP_EQ", family));
  profile.syscalls.push_back(allow_if("clone", 0, "SCMP_CMP_MASKED_EQ", kNamespaceFlags, 0));
  profile.syscalls.push_back({.names = {"clone3"}, .action = "SCMP_ACT_ERRNO", .errno_ret = ENOSYS});
  return profile;
}

}  // namespace berth::launch
