// A container that criu makes from a checkpoint: criu is our child, and so is what it restores, which takes
// its place as the container's init. A daemon drives criu; when that goes before the container runs, nobody
// can say how far criu has come, and all of it is ended.
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/epoll.h>

#include <cerrno>

#include "apps/keeper/keeper.h"
#include "launch/criu_places.h"
#include "sys/kernel_call.h"

namespace berth::keeper {

namespace call = sys::call;
using launch::kCriuNetwork;
using launch::kCriuSocket;
using launch::kCriuStreams;
namespace command = launch::command;
namespace notice = launch::notice;

namespace {

constexpr int kKill = 9;
constexpr int kOutOfTheWay = 16;

struct WaitInfo {  // siginfo_t
  int32_t number, error, code, padding;
  int32_t pid, uid, status;
  char rest[100];
};

/// waitid by pidfd; `options` besides WEXITED.
long wait_for(int pidfd, int options, WaitInfo& info) {
  constexpr int kByPidfd = 3, kExited = 4;
  long result;
  do result = call::wait(kByPidfd, pidfd, &info, kExited | options);
  while (result == -EINTR);
  return result;
}

uint64_t inode_of(int fd) {
  struct statx info {};
  long error =
      fd < 0 ? -EBADF
             : call::raw(__NR_statx, fd, call::address(""), AT_EMPTY_PATH, STATX_INO, call::address(&info));
  return error < 0 ? 0 : info.stx_ino;
}

}  // namespace

/// In the new process: criu finds its socket, the container's streams and network at fixed places, and has
/// none of them as its own streams.
long Keeper::arrange_for_criu(launch::Executor::Descriptors& descriptors, int socket) {
  std::array<int, 3> streams = descriptors.stdio;
  long null = call::open(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return null;
  auto null_fd = static_cast<int>(null);
  int* moved[] = {&descriptors.keeper,  &socket, &streams[0], &streams[1], &streams[2],
                  &descriptors.network, &null_fd};
  for (int* fd : moved) {
    if (*fd < 0) continue;
    long copy = call::control(*fd, F_DUPFD_CLOEXEC, kOutOfTheWay);
    if (copy < 0) return copy;
    *fd = static_cast<int>(copy);
  }
  const std::pair<int, int> placed[] = {{socket, kCriuSocket},
                                        {streams[0], kCriuStreams},
                                        {streams[1], kCriuStreams + 1},
                                        {streams[2], kCriuStreams + 2},
                                        {descriptors.network, kCriuNetwork}};
  for (auto [fd, place] : placed) {
    if (fd < 0) continue;
    if (long error = call::duplicate_to(fd, place, 0); error < 0) return error;
  }
  descriptors.stdio = {null_fd, null_fd, null_fd};
  descriptors.inherited = (descriptors.network >= 0 ? kCriuNetwork : kCriuNetwork - 1) - 2;
  descriptors.network = -1;
  return 0;
}

void Keeper::on_criu_running(Target& target) {
  target.phase = Phase::Ready;
  release_plan(target);
  tell(notice::Ready{target.pid});
}

long Keeper::perform(const command::Adopt& adopt, ReceivedFds& fds) {
  Target& target = init();
  if (!restores_ || target.phase != Phase::Ready || criu_ > 0) return -EINVAL;
  int terminal = adopt.terminal != 0 ? fds.take(0) : -1;
  long pidfd = adopt.terminal != 0 && terminal < 0 ? -EINVAL : call::process_fd(adopt.pid, 0);
  long error = pidfd;
  if (pidfd >= 0) {
    constexpr int kNoHang = 1, kLeave = 0x01000000;
    WaitInfo info{};
    error = wait_for(static_cast<int>(pidfd), kNoHang | kLeave, info);
    if (error < 0) call::close(static_cast<int>(pidfd));
  }
  if (error < 0) {
    if (terminal >= 0) call::close(terminal);
    fail_restore(error);
    return 0;
  }
  criu_ = target.pidfd;
  change(criu_, Watch::Criu, 0, EPOLLIN);
  target.pidfd = static_cast<int>(pidfd);
  target.pid = adopt.pid;
  watch(target.pidfd, Watch::Exit, targets_.index(&target), EPOLLIN);
  if (terminal >= 0) adopt_terminal(target, terminal);
  hold_mounts(target);
  return 0;
}

long Keeper::on_restored(Target& target) {
  if (target.phase != Phase::Ready || criu_ <= 0) return -EINVAL;
  restores_ = false;
  on_running(target);
  // It may have ended already; then it is no longer watched.
  on_exit(target);
  return 0;
}

/// Criu has ended after its work; whether that succeeded it has told the daemon.
void Keeper::on_restorer_end() {
  WaitInfo info{};
  constexpr int kNoHang = 1;
  if (criu_ <= 0 || criu_ == kCriuGone || (wait_for(criu_, kNoHang, info) == 0 && info.pid == 0)) return;
  close_watched(criu_);
  // Not to be taken for one that has adopted nobody.
  criu_ = restores_ ? kCriuGone : 0;
}

/// The end of criu, or of what it has restored, before the daemon has said how it went: it knows more of it,
/// and will say.
void Keeper::on_early_exit(Target& target) {
  unwatch(target.pidfd);
}

void Keeper::fail_restore(long error) {
  restores_ = false;
  if (criu_ > 0 && criu_ != kCriuGone) {
    call::send_signal(criu_, kKill);
    WaitInfo info{};
    wait_for(criu_, 0, info);
    close_watched(criu_);
  }
  on_keeper_failed(init(), error, "criu");
}

long Keeper::perform(const command::AskStreams&, ReceivedFds&) {
  Target& target = init();
  if (target.phase != Phase::Running) return -ESRCH;
  notice::Streams streams;
  if (!target.terminal)
    streams = {inode_of(target.input), inode_of(target.output[0]), inode_of(target.output[1])};
  tell(streams);
  return 0;
}

}  // namespace berth::keeper
