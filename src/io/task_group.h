// TaskGroup: the owner of tasks that run beside their starter. Destroying the group destroys the tasks that
// have not ended, so declare it after (and thus destroy it before) what the tasks use.
#pragma once

#include <cstddef>

#include "io/task.h"
#include "io/waiter.h"

namespace berth::io {

namespace detail {
class GroupTask;
}

class TaskGroup {
 public:
  TaskGroup() = default;
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup() { destroy_all(); }

  /// Starts the task on the current loop's next turn.
  void spawn(Task<void> task);
  /// Tasks that have not ended.
  size_t size() const { return size_; }
  /// Returns when no task is left.
  Task<void> wait_until_empty();
  /// Not from within one of the group's own tasks.
  void destroy_all();

 private:
  friend class detail::GroupTask;
  void ended();
  void* first_ = nullptr;  // promise of the most recently started task
  size_t size_ = 0;
  WaitList empty_;
};

}  // namespace berth::io
