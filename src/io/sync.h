// What coroutines of the loop thread wait on: Condition, Event, Mutex, Semaphore, Queue. All waiters are
// resumed through the loop's queue, never inside the call that wakes them. Nothing here is for use between
// threads.
#pragma once

#include <deque>
#include <optional>
#include <utility>

#include "io/event_loop.h"
#include "io/waiter.h"

namespace berth::io {

/// Wakes those who wait now; remembers nothing. Re-check what you waited for afterwards.
class Condition {
 public:
  class [[nodiscard]] Awaiter {
   public:
    explicit Awaiter(WaitList& list) : list_(list) {}
    Awaiter(const Awaiter&) = delete;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter_.handle = handle;
      list_.push_back(waiter_);
    }
    void await_resume() const noexcept {}

   private:
    WaitList& list_;
    Waiter waiter_;
  };

  Awaiter wait() { return Awaiter(waiters_); }
  void notify_all();
  void notify_one();
  bool has_waiters() const { return !waiters_.empty(); }

 private:
  WaitList waiters_;
};

/// A condition that, once set, stays so until reset.
class Event {
 public:
  class [[nodiscard]] Awaiter {
   public:
    explicit Awaiter(Event& event) : event_(event) {}
    Awaiter(const Awaiter&) = delete;
    bool await_ready() const noexcept { return event_.set_; }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter_.handle = handle;
      event_.waiters_.push_back(waiter_);
    }
    void await_resume() const noexcept {}

   private:
    Event& event_;
    Waiter waiter_;
  };

  Awaiter wait() { return Awaiter(*this); }
  void set();
  void reset() { set_ = false; }
  bool is_set() const { return set_; }

 private:
  bool set_ = false;
  WaitList waiters_;
};

/// Counts permits; waiters are served in order.
class Semaphore {
 public:
  explicit Semaphore(size_t permits) : permits_(permits) {}

  /// One permit, given back by the destructor. Must not outlive the semaphore.
  class [[nodiscard]] Permit {
   public:
    Permit() = default;
    Permit(Permit&& other) noexcept : semaphore_(std::exchange(other.semaphore_, nullptr)) {}
    Permit& operator=(Permit&& other) noexcept {
      if (this != &other) {
        release();
        semaphore_ = std::exchange(other.semaphore_, nullptr);
      }
      return *this;
    }
    ~Permit() { release(); }
    void release() {
      if (semaphore_ != nullptr) std::exchange(semaphore_, nullptr)->give_back();
    }
    explicit operator bool() const { return semaphore_ != nullptr; }

   private:
    friend class Semaphore;
    explicit Permit(Semaphore* semaphore) : semaphore_(semaphore) {}
    Semaphore* semaphore_ = nullptr;
  };

  class [[nodiscard]] Awaiter {
   public:
    explicit Awaiter(Semaphore& semaphore) : semaphore_(semaphore) {}
    Awaiter(const Awaiter&) = delete;
    /// A permit that was granted to a frame destroyed before it resumed goes to the next waiter.
    ~Awaiter() {
      if (granted_) semaphore_.give_back();
    }
    bool await_ready() noexcept {
      if (semaphore_.permits_ == 0) return false;
      --semaphore_.permits_;
      granted_ = true;
      return true;
    }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter_.handle = handle;
      waiter_.awaiter = this;
      semaphore_.waiters_.push_back(waiter_);
    }
    Permit await_resume() {
      granted_ = false;
      return Permit(&semaphore_);
    }

   private:
    friend class Semaphore;
    struct Node : Waiter {
      Awaiter* awaiter = nullptr;
    };
    Semaphore& semaphore_;
    Node waiter_;
    bool granted_ = false;
  };

  Awaiter acquire() { return Awaiter(*this); }
  /// An empty permit when none is free.
  Permit try_acquire();
  size_t available() const { return permits_; }

 private:
  void give_back();
  size_t permits_;
  WaitList waiters_;
};

/// Mutual exclusion between coroutines across their suspensions, e.g. of the operations on one container.
class Mutex {
 public:
  using Guard = Semaphore::Permit;
  /// Guard guard = co_await mutex.lock();
  Semaphore::Awaiter lock() { return semaphore_.acquire(); }
  Guard try_lock() { return semaphore_.try_acquire(); }
  bool locked() const { return semaphore_.available() == 0; }

 private:
  Semaphore semaphore_{1};
};

/// Values from producers to one consumer. close() lets the consumer drain and then see the end.
template <class T>
class Queue {
 public:
  void push(T value) {
    if (closed_) return;
    values_.push_back(std::move(value));
    changed_.notify_one();
  }
  void close() {
    closed_ = true;
    changed_.notify_all();
  }
  bool closed() const { return closed_; }
  size_t size() const { return values_.size(); }
  /// The next value; nullopt after close() when all are taken.
  Task<std::optional<T>> pop() {
    while (values_.empty() && !closed_) co_await changed_.wait();
    if (values_.empty()) co_return std::nullopt;
    std::optional<T> value(std::move(values_.front()));
    values_.pop_front();
    co_return value;
  }

 private:
  std::deque<T> values_;
  bool closed_ = false;
  Condition changed_;
};

}  // namespace berth::io
