// One task that sleeps until the earliest alarm.
#include "functions/sandbox/alarms.h"

#include "io/cancel.h"

namespace berth::functions {
namespace {

io::Task<Result<bool>> wait_on(io::Condition* condition) {
  co_await condition->wait();
  co_return true;
}

}  // namespace

Alarms::Alarms(io::EventLoop& loop) : loop_(loop) {
  tasks_.spawn(ring(*this));
}

void Alarms::Alarm::set(Alarms& alarms, io::SteadyTime time, std::function<void()> action) {
  cancel();
  alarms_ = &alarms;
  // The action may set this alarm anew: it is no longer set when it runs.
  place_ = alarms.entries_.emplace(time, [this, action = std::move(action)] {
    alarms_ = nullptr;
    action();
  });
  if (time < alarms.sleeps_until_) alarms.earlier_.notify_all();
}

void Alarms::Alarm::cancel() {
  if (alarms_ == nullptr) return;
  alarms_->entries_.erase(place_);
  alarms_ = nullptr;
}

io::Task<void> Alarms::ring(Alarms& alarms) {
  while (true) {
    auto now = std::chrono::steady_clock::now();
    while (!alarms.entries_.empty() && alarms.entries_.begin()->first <= now) {
      auto entry = alarms.entries_.extract(alarms.entries_.begin());
      entry.mapped()();
    }
    // The first alarm of a quiet time is waited for without a bound.
    alarms.sleeps_until_ = alarms.entries_.empty() ? io::SteadyTime::max() : alarms.entries_.begin()->first;
    if (alarms.entries_.empty()) {
      co_await alarms.earlier_.wait();
    } else {
      io::Task<Result<bool>> earlier = wait_on(&alarms.earlier_);
      [[maybe_unused]] auto woken = co_await io::with_deadline(std::move(earlier), alarms.sleeps_until_);
    }
  }
}

}  // namespace berth::functions
