// CancelSource and CancelToken: one says "no longer wanted", many may ask or wait. And the two ways to bound
// a task: unless_cancelled() and with_deadline(), which destroy it when it is no longer wanted.
#pragma once

#include <memory>
#include <optional>

#include "base/result.h"
#include "io/event_loop.h"
#include "io/sync.h"

namespace berth::io {

/// Cheap to copy. A default token is never cancelled.
class CancelToken {
 public:
  CancelToken() = default;
  bool cancelled() const { return event_ && event_->is_set(); }

  class [[nodiscard]] Awaiter {
   public:
    explicit Awaiter(std::shared_ptr<Event> event) : event_(std::move(event)) {
      if (event_) inner_.emplace(*event_);
    }
    Awaiter(const Awaiter&) = delete;
    bool await_ready() const noexcept { return inner_ && inner_->await_ready(); }
    void await_suspend(std::coroutine_handle<> handle) {
      if (inner_) inner_->await_suspend(handle);
    }
    void await_resume() const noexcept {}

   private:
    std::shared_ptr<Event> event_;
    std::optional<Event::Awaiter> inner_;
  };
  /// co_await: returns when cancelled.
  Awaiter wait() const { return Awaiter(event_); }

 private:
  friend class CancelSource;
  explicit CancelToken(std::shared_ptr<Event> event) : event_(std::move(event)) {}
  std::shared_ptr<Event> event_;
};

class CancelSource {
 public:
  CancelSource() : event_(std::make_shared<Event>()) {}
  void cancel() { event_->set(); }
  bool cancelled() const { return event_->is_set(); }
  CancelToken token() const { return CancelToken(event_); }

 private:
  std::shared_ptr<Event> event_;
};

namespace detail {

/// Two coroutines of which the first to end wins; the loser is destroyed with the Race.
class Race {
 public:
  class Branch {
   public:
    struct promise_type {
      Race* race = nullptr;
      Branch get_return_object() { return Branch(std::coroutine_handle<promise_type>::from_promise(*this)); }
      std::suspend_always initial_suspend() const noexcept { return {}; }
      struct Finish {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<promise_type> handle) const noexcept {
          handle.promise().race->ended();
        }
        void await_resume() const noexcept {}
      };
      Finish final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      [[noreturn]] void unhandled_exception() const noexcept { std::abort(); }
    };
    explicit Branch(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Branch(Branch&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    ~Branch() {
      if (handle_) handle_.destroy();
    }

   private:
    friend class Race;
    std::coroutine_handle<promise_type> handle_;
  };

  Race(Branch first, Branch second) : first_(std::move(first)), second_(std::move(second)) {
    first_.handle_.promise().race = this;
    second_.handle_.promise().race = this;
  }
  Race(const Race&) = delete;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter_.handle = handle;
    first_.handle_.resume();
    if (!ended_) second_.handle_.resume();
  }
  void await_resume() const noexcept {}

 private:
  void ended() {
    if (!std::exchange(ended_, true)) EventLoop::current()->schedule(waiter_);
  }
  Branch first_;
  Branch second_;
  bool ended_ = false;
  Waiter waiter_;
};

template <class T>
Race::Branch keep_result(Task<Result<T>> work, std::optional<Result<T>>* result) {
  result->emplace(co_await std::move(work));
}
inline Race::Branch until_cancelled(CancelToken token) {
  co_await token.wait();
}
inline Race::Branch until_time(EventLoop* loop, SteadyTime time) {
  co_await loop->sleep_until(time);
}

Error cancelled_error();
Error deadline_error();

}  // namespace detail

/// The task's result, or Cancelled as soon as the token is: then the task is destroyed where it stands.
template <class T>
Task<Result<T>> unless_cancelled(Task<Result<T>> work, CancelToken token) {
  if (token.cancelled()) co_return detail::cancelled_error();
  std::optional<Result<T>> result;
  {
    detail::Race race(detail::keep_result(std::move(work), &result),
                      detail::until_cancelled(std::move(token)));
    co_await race;
  }
  if (!result) co_return detail::cancelled_error();
  co_return std::move(*result);
}

/// The task's result, or DeadlineExceeded when the time has come: then the task is destroyed where it stands.
template <class T>
Task<Result<T>> with_deadline(Task<Result<T>> work, SteadyTime deadline) {
  std::optional<Result<T>> result;
  {
    detail::Race race(detail::keep_result(std::move(work), &result),
                      detail::until_time(EventLoop::current(), deadline));
    co_await race;
  }
  if (!result) co_return detail::deadline_error();
  co_return std::move(*result);
}

/// Sleeps; false when the token was cancelled first.
Task<bool> sleep_unless_cancelled(nanoseconds duration, CancelToken token);
/// Waits on the condition; false when the token was cancelled first.
Task<bool> wait_unless_cancelled(Condition& condition, CancelToken token);

}  // namespace berth::io
