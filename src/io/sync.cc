// Waking.
#include "io/sync.h"

#include "io/cancel.h"

namespace berth::io {
namespace {

void wake_all(WaitList& waiters) {
  while (Waiter* waiter = waiters.pop_front()) EventLoop::current()->schedule(*waiter);
}

Task<Result<void>> sleep_result(nanoseconds duration) {
  co_await EventLoop::current()->sleep_for(duration);
  co_return Result<void>();
}

Task<Result<void>> wait_result(Condition* condition) {
  co_await condition->wait();
  co_return Result<void>();
}

}  // namespace

void Condition::notify_all() {
  wake_all(waiters_);
}

void Condition::notify_one() {
  if (Waiter* waiter = waiters_.pop_front()) EventLoop::current()->schedule(*waiter);
}

void Event::set() {
  set_ = true;
  wake_all(waiters_);
}

Semaphore::Permit Semaphore::try_acquire() {
  if (permits_ == 0) return {};
  --permits_;
  return Permit(this);
}

void Semaphore::give_back() {
  Waiter* waiter = waiters_.pop_front();
  if (waiter == nullptr) {
    ++permits_;
    return;
  }
  static_cast<Awaiter::Node*>(waiter)->awaiter->granted_ = true;
  EventLoop::current()->schedule(*waiter);
}

namespace detail {

Error cancelled_error() {
  return Error(Kind::Cancelled, "cancelled");
}
Error deadline_error() {
  return Error(Kind::DeadlineExceeded, "deadline exceeded");
}

}  // namespace detail

Task<bool> sleep_unless_cancelled(nanoseconds duration, CancelToken token) {
  Task<Result<void>> sleep = sleep_result(duration);
  auto slept = co_await unless_cancelled(std::move(sleep), std::move(token));
  co_return slept.has_value();
}

Task<bool> wait_unless_cancelled(Condition& condition, CancelToken token) {
  Task<Result<void>> wait = wait_result(&condition);
  auto woken = co_await unless_cancelled(std::move(wait), std::move(token));
  co_return woken.has_value();
}

}  // namespace berth::io
