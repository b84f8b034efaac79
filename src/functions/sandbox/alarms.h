// Alarms: deadlines of many sandboxes on one sleeping task. Setting and cancelling cost a tree insertion; the
// task is woken only for an alarm that is due earlier than all others.
#pragma once

#include <functional>
#include <map>

#include "io/event_loop.h"
#include "io/sync.h"
#include "io/task_group.h"

namespace berth::functions {

class Alarms {
 public:
  explicit Alarms(io::EventLoop& loop);

  using Entries = std::multimap<io::SteadyTime, std::function<void()>>;
  /// One alarm of an owner; replaces the one set before, cancels it when destroyed.
  class Alarm {
   public:
    Alarm() = default;
    Alarm(const Alarm&) = delete;
    ~Alarm() { cancel(); }
    void set(Alarms& alarms, io::SteadyTime time, std::function<void()> action);
    void cancel();
    bool is_set() const { return alarms_ != nullptr; }

   private:
    Alarms* alarms_ = nullptr;
    Entries::iterator place_;
  };

 private:
  static io::Task<void> ring(Alarms& alarms);
  io::EventLoop& loop_;
  Entries entries_;
  io::SteadyTime sleeps_until_ = io::SteadyTime::max();
  io::Condition earlier_;
  io::TaskGroup tasks_;
};

}  // namespace berth::functions
