// Tasks that run beside their starter.
#include "io/task_group.h"

#include <cstdlib>

#include "io/event_loop.h"
#include "io/sync.h"

namespace berth::io {
namespace detail {

/// The coroutine around one task of a group: it destroys itself when the task has ended.
class GroupTask {
 public:
  struct promise_type {
    TaskGroup* group;
    promise_type* previous = nullptr;
    promise_type* next = nullptr;
    Waiter start;

    promise_type(TaskGroup* owner, Task<void>&)
        : group(owner), next(static_cast<promise_type*>(owner->first_)) {
      if (next != nullptr) next->previous = this;
      group->first_ = this;
      ++group->size_;
      start.handle = handle();
    }
    ~promise_type() {
      (previous != nullptr ? previous->next : *reinterpret_cast<promise_type**>(&group->first_)) = next;
      if (next != nullptr) next->previous = previous;
      --group->size_;
      group->ended();
    }
    std::coroutine_handle<promise_type> handle() {
      return std::coroutine_handle<promise_type>::from_promise(*this);
    }
    GroupTask get_return_object() { return GroupTask(*this); }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::abort(); }
  };

  explicit GroupTask(promise_type& promise) : promise(promise) {}
  promise_type& promise;

  static GroupTask run(TaskGroup* group, Task<void> task);
  static void destroy_first(TaskGroup& group) {
    static_cast<promise_type*>(group.first_)->handle().destroy();
  }
};

GroupTask GroupTask::run(TaskGroup*, Task<void> task) {
  co_await std::move(task);
}

}  // namespace detail

void TaskGroup::spawn(Task<void> task) {
  detail::GroupTask started = detail::GroupTask::run(this, std::move(task));
  EventLoop::current()->schedule(started.promise.start);
}

void TaskGroup::destroy_all() {
  while (first_ != nullptr) detail::GroupTask::destroy_first(*this);
}

void TaskGroup::ended() {
  if (size_ > 0) return;
  while (Waiter* waiter = empty_.pop_front()) EventLoop::current()->schedule(*waiter);
}

Task<void> TaskGroup::wait_until_empty() {
  while (size_ > 0) co_await Condition::Awaiter(empty_);
}

}  // namespace berth::io
