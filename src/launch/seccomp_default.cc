// The default seccomp filter: what ordinary programs need is allowed, everything else answers EPERM. The set
// follows docker's, so that images behave as they do there.
#include <algorithm>
#include <string_view>

#include "launch/defaults.h"

namespace berth::launch {
namespace {

// Grouped by what the calls are for. Names that an architecture does not have are skipped when the filter is
// compiled.
constexpr std::string_view file_calls =
    "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat "
    "faccessat2 "
    "fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 "
    "fchownat fcntl "
    "fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs "
    "fstatfs64 "
    "fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch "
    "inotify_init "
    "inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat listmount listxattr "
    "listxattrat llistxattr "
    "_llseek lremovexattr lseek lsetxattr lstat lstat64 memfd_create memfd_secret mkdir mkdirat mknod "
    "mknodat newfstatat "
    "_newselect open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink "
    "readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr "
    "setxattrat "
    "splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs tee "
    "truncate truncate64 "
    "umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev name_to_handle_at "
    "cachestat";

constexpr std::string_view memory_calls =
    "brk madvise map_shadow_stack mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap "
    "mseal msync munlock munlockall munmap membarrier pkey_alloc pkey_free pkey_mprotect process_mrelease "
    "remap_file_pages";

constexpr std::string_view process_calls =
    "alarm capget capset execve execveat exit exit_group fork getegid getegid32 geteuid geteuid32 getgid "
    "getgid32 "
    "getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid "
    "getresuid32 "
    "getrlimit get_robust_list getrusage getsid get_thread_area gettid getuid getuid32 kill "
    "landlock_add_rule "
    "landlock_create_ruleset landlock_restrict_self pause pidfd_open pidfd_send_signal prctl prlimit64 "
    "restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
    "rt_sigsuspend "
    "rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam "
    "sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval "
    "sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler "
    "sched_yield seccomp "
    "setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority "
    "setregid "
    "setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list "
    "setsid "
    "set_thread_area set_tid_address setuid setuid32 sigaltstack signalfd signalfd4 sigprocmask sigreturn "
    "sysinfo tgkill "
    "times tkill ugetrlimit uname vfork wait4 waitid waitpid getcpu ioprio_get ioprio_set uretprobe";

constexpr std::string_view wait_calls =
    "clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 "
    "epoll_create "
    "epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd "
    "eventfd2 futex "
    "futex_requeue futex_time64 futex_wait futex_waitv futex_wake getitimer getrandom gettimeofday io_cancel "
    "io_destroy "
    "io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit nanosleep pipe pipe2 poll ppoll "
    "ppoll_time64 "
    "pselect6 pselect6_time64 select setitimer time timer_create timer_delete timer_getoverrun timer_gettime "
    "timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 "
    "timerfd_settime "
    "timerfd_settime64 adjtimex";

constexpr std::string_view message_calls =
    "accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify "
    "mq_open "
    "mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv "
    "msgsnd recv "
    "recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send "
    "sendmmsg sendmsg "
    "sendto setsockopt shmat shmctl shmdt shmget shutdown socketpair";

/// What a capability that the container has opens besides.
struct CapabilityCalls {
  std::string_view capability;
  std::string_view calls;
};
constexpr CapabilityCalls capability_calls[] = {
    {"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
    {"CAP_SYS_ADMIN",
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
     "lsm_list_modules "
     "lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd "
     "setdomainname "
     "sethostname setns syslog umount umount2 unshare"},
    {"CAP_SYS_BOOT", "reboot"},
    {"CAP_SYS_CHROOT", "chroot"},
    {"CAP_SYS_MODULE", "delete_module init_module finit_module"},
    {"CAP_SYS_PACCT", "acct"},
    {"CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"},
    {"CAP_SYS_RAWIO", "iopl ioperm"},
    {"CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64 clock_adjtime clock_adjtime64"},
    {"CAP_SYS_TTY_CONFIG", "vhangup"},
    {"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {"CAP_SYSLOG", "syslog"},
    {"CAP_BPF", "bpf"},
    {"CAP_PERFMON", "perf_event_open"},
};

constexpr uint64_t low_32_bits = 0xffffffff;
// clone(2) flags that make namespaces: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
constexpr uint64_t namespace_flags = 0x7e020000;
constexpr uint32_t error_not_permitted = 1;
constexpr uint32_t error_no_such_call = 38;

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> list;
  while (!text.empty()) {
    size_t space = text.find(' ');
    std::string_view word = text.substr(0, space);
    if (!word.empty()) list.emplace_back(word);
    if (space == std::string_view::npos) break;
    text.remove_prefix(space + 1);
  }
  return list;
}

spec::SeccompRule allow(std::string_view calls) {
  return {words(calls), "SCMP_ACT_ALLOW", std::nullopt, {}};
}

/// The kernel looks at the low half of an int argument alone, so a filter that compares 64 bits is passed by
/// setting the upper ones. Compare what the kernel compares.
spec::SeccompRule allow_if_equal(std::string_view call, uint32_t index, uint64_t value) {
  return {{std::string(call)},
          "SCMP_ACT_ALLOW",
          std::nullopt,
          {{index, low_32_bits, value, "SCMP_CMP_MASKED_EQ"}}};
}

void add_sockets(spec::Seccomp& seccomp) {
  // All families but AF_ALG (38: kernel crypto, CVE-rich) and AF_VSOCK (40: talks to the hypervisor).
  constexpr uint32_t families = 46;
  for (uint32_t family = 0; family < families; ++family) {
    if (family != 38 && family != 40) seccomp.syscalls.push_back(allow_if_equal("socket", 0, family));
  }
}

void add_personalities(spec::Seccomp& seccomp) {
  // Linux, Linux32, and both without address randomisation's upper bits, and the question (0xffffffff).
  for (uint64_t persona :
       {uint64_t{0x0}, uint64_t{0x0008}, uint64_t{0x20000}, uint64_t{0x20008}, uint64_t{0xffffffff}}) {
    seccomp.syscalls.push_back(allow_if_equal("personality", 0, persona));
  }
}

/// Without CAP_SYS_ADMIN: threads and processes, but no namespaces. clone3's flags lie in memory where a
/// filter cannot look: it answers ENOSYS, upon which libraries use clone.
void add_clone(spec::Seccomp& seccomp) {
  seccomp.syscalls.push_back(
      {{"clone"}, "SCMP_ACT_ALLOW", std::nullopt, {{0, namespace_flags, 0, "SCMP_CMP_MASKED_EQ"}}});
  seccomp.syscalls.push_back({{"clone3"}, "SCMP_ACT_ERRNO", error_no_such_call, {}});
}

}  // namespace

spec::Seccomp default_seccomp(std::span<const std::string> capabilities, const HostFacts& host) {
  spec::Seccomp seccomp;
  seccomp.default_action = "SCMP_ACT_ERRNO";
  seccomp.default_errno_ret = error_not_permitted;
  if (host.architecture == Architecture::X86_64) {
    seccomp.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  } else {
    seccomp.architectures = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
  }
  auto has = [&](std::string_view name) {
    return std::find(capabilities.begin(), capabilities.end(), name) != capabilities.end();
  };
  for (std::string_view calls : {file_calls, memory_calls, process_calls, wait_calls, message_calls}) {
    seccomp.syscalls.push_back(allow(calls));
  }
  if (host.kernel >= KernelVersion{4, 8}) {
    // Since 4.8 tracing cannot be used to get round a filter.
    seccomp.syscalls.push_back(allow("process_vm_readv process_vm_writev ptrace"));
  }
  add_sockets(seccomp);
  add_personalities(seccomp);
  if (host.architecture == Architecture::X86_64) {
    seccomp.syscalls.push_back(allow("arch_prctl modify_ldt"));
  } else {
    seccomp.syscalls.push_back(
        allow("arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"));
  }
  for (const CapabilityCalls& entry : capability_calls) {
    if (has(entry.capability)) seccomp.syscalls.push_back(allow(entry.calls));
  }
  if (!has("CAP_SYS_ADMIN")) add_clone(seccomp);
  return seccomp;
}

}  // namespace berth::launch
