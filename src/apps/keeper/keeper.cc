// The keeper's event loop.
#include "apps/keeper/keeper.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <sys/epoll.h>

#include <cerrno>

#include "apps/keeper/main.h"
#include "sys/kernel_call.h"

namespace berth::keeper {

namespace call = sys::call;

namespace {

// Untouched parts of its tables take no memory.
constinit Keeper the_keeper;

/// Signals that would end us together with a terminal or a service manager's group, or for a reader gone
/// away.
constexpr uint64_t bit(int signal) {
  return uint64_t{1} << (signal - 1);
}
constexpr uint64_t kBlocked = bit(1) | bit(2) | bit(3) | bit(13) | bit(15) | bit(20) | bit(21) | bit(22);

uint64_t tag(Watch what, size_t index) {
  return uint64_t{static_cast<uint8_t>(what)} << 56 | index;
}

}  // namespace

int64_t wall_clock() {
  call::Time time{};
  call::clock(0, &time);
  return time.seconds * 1'000'000'000 + time.nanoseconds;
}

int run_keeper() {
  constexpr int kSetMask = 2;
  call::signal_mask(kSetMask, &kBlocked, nullptr);
  call::start_session();
  constexpr int kControl = 3;
  // Whatever else the daemon itself was started with is none of a container's business.
  call::close_range(kControl + 1, ~0U, 0);
  return the_keeper.run(kControl);
}

int Keeper::run(int control) {
  epoll_ = static_cast<int>(call::raw(__NR_epoll_create1, EPOLL_CLOEXEC));
  if (epoll_ < 0) return 1;
  call::control(control, F_SETFD, FD_CLOEXEC);
  targets_.take()->phase = Phase::Announced;
  Connection* first = connections_.take();
  first->fd = control;
  if (!watch(control, Watch::Connection, connections_.index(first), EPOLLIN)) return 1;
  epoll_event events[16];
  while (!finished()) {
    long count = call::raw(__NR_epoll_pwait, epoll_, call::address(events), 16, -1, 0, 8);
    for (long i = 0; i < count; ++i) {
      uint64_t about = events[i].data.u64;
      dispatch(static_cast<Watch>(about >> 56), about & 0xffffffff, events[i].events);
    }
    connections_.sweep();
    targets_.sweep();
    clients_.sweep();
  }
  return 0;
}

void Keeper::dispatch(Watch what, size_t index, uint32_t events) {
  switch (what) {
    case Watch::Listener:
      return on_listener();
    case Watch::Connection:
      if (Connection* connection = connections_.find(index)) on_connection(*connection, events);
      return;
    case Watch::Sync:
      if (Target* target = targets_.find(index)) on_sync(*target);
      return;
    case Watch::Exit:
      if (Target* target = targets_.find(index)) on_exit(*target);
      return;
    case Watch::Output:
      if (Target* target = targets_.find(index / 2)) on_output(*target, index % 2, events);
      return;
    case Watch::Input:
      if (Target* target = targets_.find(index)) on_input_room(*target);
      return;
    case Watch::Client:
      if (Client* client = clients_.find(index)) on_client(*client, events);
      return;
    case Watch::Criu:
      return on_restorer_end();
    case Watch::Denial:
      return on_denial(static_cast<int>(index), events);
    case Watch::None:
      return;
  }
}

bool Keeper::watch(int fd, Watch what, size_t index, uint32_t events) {
  epoll_event event{.events = events, .data = {.u64 = tag(what, index)}};
  return call::raw(__NR_epoll_ctl, epoll_, EPOLL_CTL_ADD, fd, call::address(&event)) >= 0;
}

void Keeper::change(int fd, Watch what, size_t index, uint32_t events) {
  epoll_event event{.events = events, .data = {.u64 = tag(what, index)}};
  call::raw(__NR_epoll_ctl, epoll_, EPOLL_CTL_MOD, fd, call::address(&event));
}

void Keeper::unwatch(int fd) {
  epoll_event ignored{};
  call::raw(__NR_epoll_ctl, epoll_, EPOLL_CTL_DEL, fd, call::address(&ignored));
}

void Keeper::close_watched(int& fd) {
  if (fd < 0) return;
  // A process just being made may hold a copy for a moment, which would keep the watch alive.
  unwatch(fd);
  call::close(fd);
  fd = -1;
}

/// When the container has ended and everybody has been told. Clients that have yet to read are left to a
/// child, so that the daemon need not wait for them.
bool Keeper::finished() {
  if (!over_) return false;
  for (size_t i = 0; i < connections_.end(); ++i)
    if (Connection* connection = connections_.find(i); connection != nullptr && !connection->outbox.empty())
      return false;
  for (size_t i = 0; i < clients_.end(); ++i)
    if (clients_.find(i) != nullptr) return !lingers_ && !linger();
  return true;
}

/// Goes on in a child, which alone returns true (as the parent does where there can be no child); the
/// parent's false lets it end.
bool Keeper::linger() {
  lingers_ = true;
  if (joined_pid_namespace_) {
    // Children would be born into the container's dead namespace.
    long own = call::open(AT_FDCWD, "/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own < 0 || call::enter_namespace(static_cast<int>(own), CLONE_NEWPID) < 0) return true;
    call::close(static_cast<int>(own));
  }
  clone_args arguments{};
  long child = call::raw(__NR_clone3, call::address(&arguments), sizeof arguments);
  if (child != 0) return child < 0;
  for (size_t i = 0; i < connections_.end(); ++i)
    if (Connection* connection = connections_.find(i)) drop(*connection);
  if (listening_) call::close(listener_);
  return true;
}

}  // namespace berth::keeper
