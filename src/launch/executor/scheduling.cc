// Steps on how the kernel runs the process: scheduler, priorities, cpus, memory, execution domain.
#include <cerrno>

#include "launch/executor/executor.h"
#include "sys/kernel_call.h"

namespace berth::launch {

namespace call = sys::call;

namespace {

/// set_mempolicy(2) takes the number of bits, and for once one more than there are.
unsigned long bits_of(Blob mask) {
  return mask.size() * 8 + 1;
}

}  // namespace

long Executor::perform(const step::SetScheduler& step) {
  struct {  // struct sched_attr, version 0
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes{sizeof attributes, step.policy,  step.flags,    step.nice,
               step.priority,     step.runtime, step.deadline, step.period};
  return call::raw(__NR_sched_setattr, 0, call::address(&attributes), 0);
}

long Executor::perform(const step::SetIoPriority& step) {
  constexpr int kProcess = 1;
  return call::raw(__NR_ioprio_set, kProcess, 0, step.value);
}

long Executor::perform(const step::SetAffinity& step) {
  return call::raw(__NR_sched_setaffinity, 0, static_cast<long>(step.mask.size()),
                   call::address(step.mask.data()));
}

long Executor::perform(const step::SetPersonality& step) {
  return call::raw(__NR_personality, step.value);
}

long Executor::perform(const step::SetMemoryPolicy& step) {
  bool any = step.nodes.size() > 0;
  return call::raw(__NR_set_mempolicy, step.mode, any ? call::address(step.nodes.data()) : 0,
                   any ? static_cast<long>(bits_of(step.nodes)) : 0);
}

}  // namespace berth::launch
