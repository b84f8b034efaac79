// The executor's loop, its talk with the keeper, and its slots.
#include "launch/executor/executor.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/socket.h>

#include <cerrno>

#include "sys/kernel_call.h"

namespace berth::launch {

namespace call = sys::call;

Executor::Executor(const Descriptors& descriptors, std::string_view encoded_plan)
    : descriptors_(descriptors), plan_(encoded_plan) {
  slots_.fill(-1);
  slots_[kSlotNetwork] = descriptors.network;
  slots_[kSlotInit] = descriptors.init;
  for (size_t i = 0; i < descriptors.filled_count; ++i)
    slots_[descriptors.filled[i].slot] = descriptors.filled[i].fd;
}

void Executor::run() {
  // A process that shares our pid namespace must not look into us while we hold the host's descriptors
  // (CVE-2016-9962); exec makes the program dumpable again.
  call::process_control(PR_SET_DUMPABLE, 0);
  constexpr int kSigKill = 9;
  call::process_control(PR_SET_PDEATHSIG, kSigKill);
  call::set_umask(0);
  auto plan = PlanReader::open(plan_);
  if (!plan) return report(0, blame(Reason::BadPlan, -EINVAL, {}));
  slot_count_ = plan->setup().slots;
  const uint32_t fail_at = plan->setup().fail_at;
  uint32_t position = 0;
  Step step;
  while (plan->next(step)) {
    reason_ = Reason::None;
    subject_.clear();
    long error = ++position == fail_at ? blame(Reason::Failpoint, -EIO, {})
                                       : std::visit([this](const auto& each) { return perform(each); }, step);
    if (error < 0) return report(static_cast<uint32_t>(step.index()), error);
  }
}

long Executor::say(ProcessSays what, int fd) {
  auto kind = static_cast<uint32_t>(what);
  call::Piece piece{&kind, sizeof kind};
  struct {
    size_t length;
    int level;
    int type;
    int fd;
    int padding;
  } control{CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS, fd, 0};
  msghdr message{};
  message.msg_iov = reinterpret_cast<iovec*>(&piece);
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
  }
  return call::raw(__NR_sendmsg, descriptors_.keeper, call::address(&message), MSG_NOSIGNAL);
}

long Executor::await_word() {
  char word = 0;
  long size = -EINTR;
  while (size == -EINTR) size = call::read(descriptors_.keeper, &word, 1);
  // End of file: the keeper is gone, and nobody would ever wait for us.
  return size == 1 ? 0 : -ECANCELED;
}

void Executor::report(uint32_t step, long error) {
  StepReport report;
  report.step = step;
  report.reason = reason_;
  report.error = static_cast<int32_t>(-error);
  report.subject_size = static_cast<uint32_t>(subject_.size());
  std::memcpy(report.subject, subject_.c_str(), subject_.size());
  call::write(descriptors_.keeper, &report, sizeof report);
}

long Executor::blame(Reason reason, long error, std::string_view subject) {
  if (error >= 0) return error;
  if (subject_.empty()) subject_.assign(subject);
  if (reason_ == Reason::None) reason_ = reason;
  return error;
}

long Executor::slot(Slot slot) const {
  if (slot >= slot_count_ || slots_[slot] < 0) return -EBADF;
  return slots_[slot];
}

long Executor::fill(Slot slot, long fd) {
  if (fd < 0) return fd;
  if (slot >= slot_count_ || slots_[slot] >= 0) {
    call::close(static_cast<int>(fd));
    return -EBADF;
  }
  slots_[slot] = static_cast<int>(fd);
  return 0;
}

namespace {

/// Of all descriptors the new process keeps those it was given and 0 to 2.
void close_others(const Executor::Descriptors& keep) {
  const int single[] = {keep.keeper,  keep.stdio[0], keep.stdio[1],     keep.stdio[2],
                        keep.network, keep.init,     keep.self_program, keep.start_listener};
  unsigned from = 3 + keep.inherited;
  while (true) {
    int next = -1;
    auto consider = [&](int fd) {
      if (fd >= static_cast<int>(from) && (next < 0 || fd < next)) next = fd;
    };
    for (int fd : single) consider(fd);
    for (size_t i = 0; i < keep.filled_count; ++i) consider(keep.filled[i].fd);
    if (next < 0) break;
    if (static_cast<unsigned>(next) > from) call::close_range(from, static_cast<unsigned>(next) - 1, 0);
    from = static_cast<unsigned>(next) + 1;
  }
  call::close_range(from, ~0U, 0);
}

}  // namespace

void become_process(const Executor::Descriptors& descriptors, std::string_view encoded_plan) {
  close_others(descriptors);
  Executor(descriptors, encoded_plan).run();
  constexpr int kLaunchFailed = 125;
  call::exit(kLaunchFailed);
}

}  // namespace berth::launch
