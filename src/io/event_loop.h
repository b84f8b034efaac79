// EventLoop: one thread, epoll, timers and coroutines; all engine state belongs to its thread. Blocking work
// goes to a small pool of threads (on_worker). Nothing here knows what it is used for.
//
//   EventLoop loop;                        // or EventLoop::create() to see the error
//   loop.spawn(serve(loop, socket));       // Task<void>, detached
//   loop.run();                            // until stop()
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>

#include "base/result.h"
#include "io/task.h"
#include "io/waiter.h"

namespace berth::io {

using SteadyTime = std::chrono::steady_clock::time_point;
using std::chrono::nanoseconds;

struct LoopOptions {
  unsigned workers = 4;                   ///< threads at most; started when needed, ended when idle
  size_t worker_stack_bytes = 512 << 10;  ///< of each worker
  std::chrono::milliseconds worker_idle{10'000};
};

class EventLoop;

namespace detail {

/// Something registered with epoll.
class Pollable {
 public:
  virtual void on_events(uint32_t events) = 0;

 protected:
  ~Pollable() = default;
};

/// A job of the worker pool. It lives in the frame of the coroutine that waits for it.
class Job {
 public:
  virtual void run(std::stop_token stop) = 0;

 protected:
  ~Job() = default;

 private:
  friend class berth::io::EventLoop;
  friend class WorkerPool;
  enum class State { Idle, Queued, Running, Done };
  State state_ = State::Idle;
  std::stop_source stop_;
  Waiter waiter_;
  Job* next_ = nullptr;
};

}  // namespace detail

class EventLoop {
 public:
  static Result<std::unique_ptr<EventLoop>> create(LoopOptions options = {});
  /// Ends the process with a message when the kernel refuses epoll or eventfd.
  explicit EventLoop(LoopOptions options = {});
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  /// Waits for the running worker jobs, then destroys what is still suspended.
  ~EventLoop();

  /// The loop that runs (or was made) on this thread; never null while one exists.
  static EventLoop* current();

  /// Runs until stop(). May be called again afterwards.
  void run();
  /// Runs this task and everything else until it ends, and returns its value. For start-up and tests.
  template <class T>
  T run_until_complete(Task<T> task);
  /// From any thread and from signal-safe context alike: run() returns after the current turn.
  void stop();
  /// Calls `work` on the loop thread, soon. From any thread.
  void post(std::function<void()> work);

  /// Starts the task on the loop's next turn; it destroys itself when it ends. Prefer a TaskGroup when an
  /// object owns the task.
  void spawn(Task<void> task);
  /// Destroys every task that spawn() started and that has not ended. Call it before destroying what they
  /// use.
  void destroy_tasks();
  /// Resumes the waiter's coroutine on this turn of the loop, after what is already queued.
  void schedule(Waiter& waiter) { ready_.push_back(waiter); }

  class [[nodiscard]] SleepAwaiter;
  /// co_await: returns when the time has come.
  SleepAwaiter sleep_until(SteadyTime time);
  SleepAwaiter sleep_for(nanoseconds duration);
  class YieldAwaiter;
  /// co_await: lets everything else that is ready run first.
  YieldAwaiter yield();

  class [[nodiscard]] FdAwaiter;
  /// co_await -> Result<void>: the descriptor has something to read (or end of file, or an error to collect).
  /// Readable and writable may be awaited at once, and by several coroutines. What epoll cannot watch
  /// (regular files) is ready at once. The descriptor must stay open while awaited.
  FdAwaiter readable(int fd);
  FdAwaiter writable(int fd);

  /// Runs `work` on a worker thread and returns what it returns. `work` is called with no argument or with a
  /// std::stop_token; it may refer to the awaiting frame, because destroying that frame while the work runs
  /// requests a stop and waits. It must not throw and must not touch engine state.
  /// (By reference, because g++ 12 copies class temporaries in co_await expressions byte by byte, which
  /// breaks short strings. A lambda that holds objects should be a named local for the same reason.)
  template <class F>
  auto on_worker(F&& work);

  // For the classes of io/ alone.
  Result<void> watch(int fd, uint32_t events, detail::Pollable& pollable);
  void change(int fd, uint32_t events, detail::Pollable& pollable);
  void unwatch(int fd, detail::Pollable& pollable);

 private:
  struct Impl;
  class SleepQueue;
  explicit EventLoop(std::unique_ptr<Impl> impl);
  void submit(detail::Job& job);
  void withdraw(detail::Job& job);
  void run_ready();

  template <class F, class R>
  class WorkerAwaiter;

  WaitList ready_;
  std::unique_ptr<Impl> impl_;
};

class EventLoop::SleepAwaiter {
 public:
  SleepAwaiter(EventLoop& loop, SteadyTime time) : loop_(loop), time_(time) {}
  SleepAwaiter(const SleepAwaiter&) = delete;
  ~SleepAwaiter();
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle);
  void await_resume() const noexcept {}

 private:
  friend class EventLoop;
  static constexpr size_t kNotQueued = ~size_t{0};
  EventLoop& loop_;
  SteadyTime time_;
  size_t index_ = kNotQueued;
  Waiter waiter_;
};

class EventLoop::YieldAwaiter {
 public:
  explicit YieldAwaiter(EventLoop& loop) : loop_(loop) {}
  YieldAwaiter(const YieldAwaiter&) = delete;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter_.handle = handle;
    loop_.schedule(waiter_);
  }
  void await_resume() const noexcept {}

 private:
  EventLoop& loop_;
  Waiter waiter_;
};

inline EventLoop::SleepAwaiter EventLoop::sleep_until(SteadyTime time) {
  return SleepAwaiter(*this, time);
}
inline EventLoop::YieldAwaiter EventLoop::yield() {
  return YieldAwaiter(*this);
}

class EventLoop::FdAwaiter {
 public:
  enum class Want { Read, Write };
  FdAwaiter(EventLoop& loop, int fd, Want want) : loop_(loop), fd_(fd), want_(want) {}
  FdAwaiter(const FdAwaiter&) = delete;
  ~FdAwaiter();
  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> handle);
  Result<void> await_resume();

 private:
  EventLoop& loop_;
  int fd_;
  Want want_;
  bool armed_ = false;
  std::optional<Error> error_;
  Waiter waiter_;
};

inline EventLoop::FdAwaiter EventLoop::readable(int fd) {
  return FdAwaiter(*this, fd, FdAwaiter::Want::Read);
}
inline EventLoop::FdAwaiter EventLoop::writable(int fd) {
  return FdAwaiter(*this, fd, FdAwaiter::Want::Write);
}

namespace detail {

template <class F>
struct WorkResult {
  using type = std::invoke_result_t<F>;
};
template <class F>
requires std::is_invocable_v<F, std::stop_token>
struct WorkResult<F> {
  using type = std::invoke_result_t<F, std::stop_token>;
};

}  // namespace detail

template <class F, class R>
class EventLoop::WorkerAwaiter final : public detail::Job {
 public:
  template <class G>
  WorkerAwaiter(EventLoop& loop, G&& work) : loop_(loop), work_(std::forward<G>(work)) {}
  WorkerAwaiter(const WorkerAwaiter&) = delete;
  ~WorkerAwaiter() { loop_.withdraw(*this); }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter_of(*this).handle = handle;
    loop_.submit(*this);
  }
  R await_resume() {
    if constexpr (!std::is_void_v<R>) return std::move(*result_);
  }

  void run(std::stop_token stop) override {
    if constexpr (std::is_void_v<R>) {
      call(std::move(stop));
    } else {
      result_.emplace(call(std::move(stop)));
    }
  }

 private:
  static Waiter& waiter_of(detail::Job& job) { return job.waiter_; }
  R call(std::stop_token stop) noexcept {
    if constexpr (std::is_invocable_v<F, std::stop_token>) {
      return work_(std::move(stop));
    } else {
      return work_();
    }
  }
  struct Nothing {};
  EventLoop& loop_;
  F work_;
  std::optional<std::conditional_t<std::is_void_v<R>, Nothing, R>> result_;
};

template <class F>
auto EventLoop::on_worker(F&& work) {
  using Work = std::decay_t<F>;
  using R = typename detail::WorkResult<Work>::type;
  return WorkerAwaiter<Work, R>(*this, std::forward<F>(work));
}

namespace detail {

template <class T>
Task<void> complete_into(EventLoop* loop, Task<T> task, std::optional<T>* value) {
  value->emplace(co_await std::move(task));
  loop->stop();
}
inline Task<void> complete_into(EventLoop* loop, Task<void> task, bool* done) {
  co_await std::move(task);
  *done = true;
  loop->stop();
}

}  // namespace detail

template <class T>
T EventLoop::run_until_complete(Task<T> task) {
  if constexpr (std::is_void_v<T>) {
    bool done = false;
    spawn(detail::complete_into(this, std::move(task), &done));
    while (!done) run();
  } else {
    std::optional<T> value;
    spawn(detail::complete_into(this, std::move(task), &value));
    while (!value) run();
    return std::move(*value);
  }
}

}  // namespace berth::io
