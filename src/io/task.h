// Task<T>: a lazy coroutine that belongs to the loop thread. It starts when awaited (or spawned on the
// EventLoop) and resumes its awaiter when it returns. No locks: everything happens on one thread.
#pragma once

#include <coroutine>
#include <cstdlib>
#include <optional>
#include <utility>

namespace berth::io {

template <class T = void>
class Task;

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();
  // The awaiter is resumed from final_suspend only if it really suspended. A task that ends within the call
  // that started it lets its awaiter simply go on: unoptimised builds make no tail calls, so symmetric
  // transfer alone would grow the stack with every such co_await of a loop.
  bool awaiter_suspended = false;

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> handle) const noexcept {
      PromiseBase& promise = handle.promise();
      return promise.awaiter_suspended ? promise.continuation : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  // berth's functions return Result; an exception here is a defect, and unwinding a loop thread that owns
  // all engine state would hide it. Containers survive the daemon, so end it at once.
  [[noreturn]] void unhandled_exception() const noexcept { std::abort(); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() const noexcept {}
};

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() { destroy(); }

  struct Awaiter {
    Handle handle;
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> awaiting) const noexcept {
      Handle task = handle;
      task.promise().continuation = awaiting;
      task.resume();
      if (task.done()) return false;
      task.promise().awaiter_suspended = true;
      return true;
    }
    T await_resume() const {
      if constexpr (!std::is_void_v<T>) return std::move(*handle.promise().value);
    }
  };
  Awaiter operator co_await() && { return Awaiter{handle_}; }

 private:
  void destroy() {
    if (handle_) handle_.destroy();
    handle_ = {};
  }
  Handle handle_;
};

namespace detail {

template <class T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

}  // namespace detail
}  // namespace berth::io
