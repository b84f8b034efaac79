// Waiter and WaitList: the intrusive queue behind everything a coroutine can wait for. A Waiter lives inside
// the coroutine frame that waits; destroying the frame unlinks it, and so a suspended Task may be destroyed
// at any time. Loop thread only.
#pragma once

#include <coroutine>

namespace berth::io {

class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() { unlink(); }

  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (!linked()) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    previous_ = next_ = nullptr;
  }

  std::coroutine_handle<> handle = {};

 private:
  friend class WaitList;
  Waiter* previous_ = nullptr;
  Waiter* next_ = nullptr;
};

/// First in, first out. Destroying a list that still has waiters leaves them waiting for ever (until their
/// frames are destroyed).
class WaitList {
 public:
  WaitList() { head_.previous_ = head_.next_ = &head_; }
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;
  ~WaitList() {
    while (pop_front() != nullptr) {
    }
    head_.previous_ = head_.next_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  void push_back(Waiter& waiter) {
    waiter.unlink();
    waiter.previous_ = head_.previous_;
    waiter.next_ = &head_;
    head_.previous_->next_ = &waiter;
    head_.previous_ = &waiter;
  }
  /// Null when empty.
  Waiter* pop_front() {
    if (empty()) return nullptr;
    Waiter* first = head_.next_;
    first->unlink();
    return first;
  }
  /// Takes over all waiters of `other`, behind the own ones.
  void take(WaitList& other) {
    while (Waiter* waiter = other.pop_front()) push_back(*waiter);
  }

 private:
  Waiter head_;
};

}  // namespace berth::io
