// System calls without libc: each returns the kernel's value, or -errno. For code that runs in berth-keeper
// and in a new process before exec, where there is no libc, no errno and no heap. Everything else uses sys/'s
// other files.
#pragma once

#include <asm/unistd.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace berth::sys::call {

#if defined(__x86_64__)
inline long raw(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long raw(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#else
#error "berth knows the system call conventions of x86_64 and aarch64"
#endif

inline long address(const void* pointer) {
  return reinterpret_cast<long>(pointer);
}

// Files.

inline long open(int directory, const char* path, int flags, unsigned mode = 0) {
  return raw(__NR_openat, directory, address(path), flags, mode);
}
/// `how` bits RESOLVE_*; flags as open(2).
inline long open_beneath(int directory, const char* path, uint64_t flags, uint64_t resolve,
                         uint64_t mode = 0) {
  open_how how{.flags = flags, .mode = mode, .resolve = resolve};
  return raw(__NR_openat2, directory, address(path), address(&how), sizeof how);
}
inline long close(int fd) {
  return raw(__NR_close, fd);
}
/// Closes first..last, or with `flags` CLOSE_RANGE_CLOEXEC (4) marks them.
inline long close_range(unsigned first, unsigned last, unsigned flags) {
  return raw(__NR_close_range, first, last, flags);
}
inline long read(int fd, void* buffer, size_t size) {
  return raw(__NR_read, fd, address(buffer), size);
}
inline long write(int fd, const void* buffer, size_t size) {
  return raw(__NR_write, fd, address(buffer), size);
}
struct Piece {  ///< struct iovec
  const void* data;
  size_t size;
};
inline long write_pieces(int fd, const Piece* pieces, int count) {
  return raw(__NR_writev, fd, address(pieces), count);
}
inline long truncate(int fd, int64_t size) {
  return raw(__NR_ftruncate, fd, size);
}
inline long seek(int fd, int64_t offset, int whence) {
  return raw(__NR_lseek, fd, offset, whence);
}
inline long duplicate_to(int fd, int target, int flags) {
  return raw(__NR_dup3, fd, target, flags);
}
inline long control(int fd, int command, long argument = 0) {
  return raw(__NR_fcntl, fd, command, argument);
}
inline long device_control(int fd, unsigned long request, long argument) {
  return raw(__NR_ioctl, fd, request, argument);
}
inline long pipe(int fds[2], int flags) {
  return raw(__NR_pipe2, address(fds), flags);
}
inline long make_directory(int directory, const char* path, unsigned mode) {
  return raw(__NR_mkdirat, directory, address(path), mode);
}
inline long make_node(int directory, const char* path, unsigned mode, uint64_t device) {
  return raw(__NR_mknodat, directory, address(path), mode, device);
}
inline long make_symlink(const char* target, int directory, const char* path) {
  return raw(__NR_symlinkat, address(target), directory, address(path));
}
inline long read_link(int directory, const char* path, char* buffer, size_t size) {
  return raw(__NR_readlinkat, directory, address(path), address(buffer), size);
}
inline long unlink(int directory, const char* path, int flags = 0) {
  return raw(__NR_unlinkat, directory, address(path), flags);
}
inline long rename(const char* from, const char* to) {
  return raw(__NR_renameat2, -100, address(from), -100, address(to), 0);
}
inline long change_owner(int directory, const char* path, uint32_t uid, uint32_t gid, int flags) {
  return raw(__NR_fchownat, directory, address(path), uid, gid, flags);
}
inline long change_mode(int fd, unsigned mode) {
  return raw(__NR_fchmod, fd, mode);
}
inline long change_mode(int directory, const char* path, unsigned mode) {
  return raw(__NR_fchmodat, directory, address(path), mode);
}
inline long check_access(int directory, const char* path, int mode, int flags) {
  return raw(__NR_faccessat2, directory, address(path), mode, flags);
}
inline long directory_entries(int fd, void* buffer, size_t size) {
  return raw(__NR_getdents64, fd, address(buffer), size);
}
inline long change_directory(const char* path) {
  return raw(__NR_chdir, address(path));
}
inline long change_directory(int fd) {
  return raw(__NR_fchdir, fd);
}
inline long change_root(const char* path) {
  return raw(__NR_chroot, address(path));
}
/// Bytes written including the NUL; a path outside the root begins with "(unreachable)".
inline long current_directory(char* buffer, size_t size) {
  return raw(__NR_getcwd, address(buffer), size);
}
inline unsigned set_umask(unsigned mask) {
  return static_cast<unsigned>(raw(__NR_umask, mask));
}

// Mounts.

inline long open_filesystem(const char* type) {
  return raw(__NR_fsopen, address(type), FSOPEN_CLOEXEC);
}
inline long configure(int fd, unsigned command, const char* key, const void* value, int extra = 0) {
  return raw(__NR_fsconfig, fd, command, address(key), address(value), extra);
}
inline long make_mount(int fd, unsigned attributes) {
  return raw(__NR_fsmount, fd, FSMOUNT_CLOEXEC, attributes);
}
inline long open_tree(int directory, const char* path, unsigned flags) {
  return raw(__NR_open_tree, directory, address(path), flags);
}
inline long move_mount(int from, const char* from_path, int to, const char* to_path, unsigned flags) {
  return raw(__NR_move_mount, from, address(from_path), to, address(to_path), flags);
}
inline long set_mount_attributes(int fd, const char* path, unsigned flags, const mount_attr& attributes) {
  return raw(__NR_mount_setattr, fd, address(path), flags, address(&attributes), sizeof attributes);
}
inline long mount(const char* source, const char* target, const char* type, unsigned long flags,
                  const void* data) {
  return raw(__NR_mount, address(source), address(target), address(type), static_cast<long>(flags),
             address(data));
}
inline long unmount(const char* target, int flags) {
  return raw(__NR_umount2, address(target), flags);
}
inline long pivot_root(const char* root, const char* old) {
  return raw(__NR_pivot_root, address(root), address(old));
}

// Processes and namespaces.

[[noreturn]] inline void exit(int code) {
  for (;;) raw(__NR_exit_group, code);
}
inline long process_control(int option, unsigned long a = 0, unsigned long b = 0, unsigned long c = 0,
                            unsigned long d = 0) {
  return raw(__NR_prctl, option, static_cast<long>(a), static_cast<long>(b), static_cast<long>(c),
             static_cast<long>(d));
}
inline long enter_namespace(int fd, int type) {
  return raw(__NR_setns, fd, type);
}
inline long unshare(unsigned flags) {
  return raw(__NR_unshare, flags);
}
inline long execute(int directory, const char* path, const char* const* arguments,
                    const char* const* environment, int flags) {
  return raw(__NR_execveat, directory, address(path), address(arguments), address(environment), flags);
}
inline long set_host_name(const char* name, size_t size) {
  return raw(__NR_sethostname, address(name), size);
}
inline long set_domain_name(const char* name, size_t size) {
  return raw(__NR_setdomainname, address(name), size);
}
inline long start_session() {
  return raw(__NR_setsid);
}
inline long process_id() {
  return raw(__NR_getpid);
}
inline long parent_process_id() {
  return raw(__NR_getppid);
}
inline long set_groups(size_t count, const uint32_t* groups) {
  return raw(__NR_setgroups, static_cast<long>(count), address(groups));
}
inline long set_user(uint32_t uid) {
  return raw(__NR_setresuid, uid, uid, uid);
}
inline long set_group(uint32_t gid) {
  return raw(__NR_setresgid, gid, gid, gid);
}
struct Limit {  ///< struct rlimit64
  uint64_t soft;
  uint64_t hard;
};
inline long set_limit(int pid, unsigned resource, const Limit* limit, Limit* old) {
  return raw(__NR_prlimit64, pid, resource, address(limit), address(old));
}
inline long process_fd(int pid, unsigned flags) {
  return raw(__NR_pidfd_open, pid, flags);
}
inline long send_signal(int pidfd, int signal) {
  return raw(__NR_pidfd_send_signal, pidfd, signal, 0, 0);
}
/// siginfo_t is 128 bytes.
inline long wait(int id_type, int id, void* info, int options) {
  return raw(__NR_waitid, id_type, id, address(info), options, 0);
}
inline long signal_mask(int how, const uint64_t* set, uint64_t* old) {
  return raw(__NR_rt_sigprocmask, how, address(set), address(old), sizeof(uint64_t));
}
inline long seccomp(unsigned operation, unsigned flags, const void* argument) {
  return raw(__NR_seccomp, operation, flags, address(argument));
}

// Memory, time.

inline void* map(size_t size, int protection, int flags, int fd = -1, int64_t offset = 0) {
  return reinterpret_cast<void*>(
      raw(__NR_mmap, 0, static_cast<long>(size), protection, flags, fd, static_cast<long>(offset)));
}
inline bool map_failed(const void* pointer) {
  return reinterpret_cast<unsigned long>(pointer) > -4096UL;
}
inline long unmap(void* pointer, size_t size) {
  return raw(__NR_munmap, address(pointer), static_cast<long>(size));
}
struct Time {  ///< struct timespec
  int64_t seconds;
  int64_t nanoseconds;
};
inline long clock(int id, Time* time) {
  return raw(__NR_clock_gettime, id, address(time));
}

}  // namespace berth::sys::call
