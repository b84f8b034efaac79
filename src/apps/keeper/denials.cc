// Calls that a container's filter denies, where somebody wants to know which: the filter asks here, the
// answer is the error that the profile says, and the daemon hears of each call once.
#include <linux/seccomp.h>
#include <sys/epoll.h>

#include <cerrno>

#include "apps/keeper/keeper.h"
#include "launch/plan_codec.h"
#include "sys/kernel_call.h"

namespace berth::keeper {

namespace call = sys::call;
namespace notice = launch::notice;

void Keeper::adopt_filter(Target& target, int listener) {
  auto plan = launch::PlanReader::open({target.plan, target.plan_size});
  uint16_t error = plan ? plan->setup().denial_error : 0;
  // Nobody to answer: closed, the kernel answers ENOSYS.
  if (error == 0 || !watch(listener, Watch::Denial, static_cast<size_t>(listener), EPOLLIN)) {
    call::close(listener);
    return;
  }
  denial_error_ = error;
}

void Keeper::on_denial(int listener) {
  seccomp_notif asked{};
  long error = call::device_control(listener, SECCOMP_IOCTL_NOTIF_RECV, call::address(&asked));
  if (error == -EINTR || error == -EAGAIN) return;
  if (error < 0) {
    // ENOENT: whoever called has been killed meanwhile, or the filter's last user is gone.
    if (error == -ENOENT) {
      struct {
        int fd;
        short events;
        short revents;
      } state{listener, 1 /* POLLIN */, 0};
      timespec now{};
      long ready = call::raw(__NR_ppoll, call::address(&state), 1, call::address(&now), 0, 8);
      constexpr short kHangup = 0x10;
      if (ready >= 0 && (state.revents & kHangup) == 0) return;
    }
    close_watched(listener);
    return;
  }
  seccomp_notif_resp answer{};
  answer.id = asked.id;
  answer.error = -static_cast<int32_t>(denial_error_);
  call::device_control(listener, SECCOMP_IOCTL_NOTIF_SEND, call::address(&answer));
  tell_denial({.pid = static_cast<int32_t>(asked.pid),
               .architecture = asked.data.arch,
               .number = static_cast<uint32_t>(asked.data.nr)});
}

void Keeper::tell_denial(const notice::Denied& denied) {
  for (uint32_t i = 0; i < denial_count_; ++i)
    if (denials_[i].architecture == denied.architecture && denials_[i].number == denied.number) return;
  if (denial_count_ == denials_.size()) return;
  denials_[denial_count_++] = denied;
  tell(denied);
}

void Keeper::repeat_denials(Connection& connection) {
  for (uint32_t i = 0; i < denial_count_; ++i) send(connection, denials_[i]);
}

}  // namespace berth::keeper
