// Calls that a container's filter denies, where somebody wants to know which: the filter asks here, the
// answer is the error that the profile says, and the daemon hears of each call once.
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

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

void Keeper::on_denial(int listener, uint32_t events) {
  if ((events & EPOLLIN) == 0) return close_watched(listener);  // nobody is left who could call
  seccomp_notif asked{};
  long error = call::device_control(listener, SECCOMP_IOCTL_NOTIF_RECV, call::address(&asked));
  if (error < 0) {
    // ENOENT: whoever called has been killed meanwhile.
    bool goes_on = error == -EINTR || error == -EAGAIN || error == -ENOENT;
    if (!goes_on) close_watched(listener);
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

namespace {

notice::Denied notice_of(const DeniedCall& denied) {
  return {.pid = denied.pid, .architecture = denied.architecture, .number = denied.number};
}

}  // namespace

void Keeper::tell_denial(const DeniedCall& denied) {
  for (uint32_t i = 0; i < denial_count_; ++i)
    if (denials_[i].architecture == denied.architecture && denials_[i].number == denied.number) return;
  if (denial_count_ == denials_.size()) return;
  denials_[denial_count_++] = denied;
  tell(notice_of(denied));
}

void Keeper::repeat_denials(Connection& connection) {
  for (uint32_t i = 0; i < denial_count_; ++i) send(connection, notice_of(denials_[i]));
}

}  // namespace berth::keeper
