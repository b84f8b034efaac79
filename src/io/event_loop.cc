// The loop: epoll, an eventfd for other threads, a heap of timers, the queue of coroutines to resume.
#include "io/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/log.h"
#include "io/task_group.h"
#include "io/worker_pool.h"
#include "sys/fd.h"

namespace berth::io {
namespace {

constexpr int kEventsPerTurn = 64;
thread_local EventLoop* current_loop = nullptr;

}  // namespace

/// Sleepers ordered by time: a binary heap in which each sleeper knows its place, so that it can leave.
class EventLoop::SleepQueue {
 public:
  bool empty() const { return heap_.empty(); }
  SteadyTime first() const { return heap_.front()->time_; }

  void push(SleepAwaiter& sleeper) {
    sleeper.index_ = heap_.size();
    heap_.push_back(&sleeper);
    up(sleeper.index_);
  }

  void remove(SleepAwaiter& sleeper) {
    size_t index = sleeper.index_;
    sleeper.index_ = SleepAwaiter::kNotQueued;
    SleepAwaiter* last = heap_.back();
    heap_.pop_back();
    if (last == &sleeper) return;
    place(index, last);
    up(index);
    down(last->index_);
  }

  /// Schedules all whose time has come.
  void expire(SteadyTime now, EventLoop& loop) {
    while (!heap_.empty() && heap_.front()->time_ <= now) {
      SleepAwaiter& sleeper = *heap_.front();
      remove(sleeper);
      loop.schedule(sleeper.waiter_);
    }
  }

 private:
  void place(size_t index, SleepAwaiter* sleeper) {
    heap_[index] = sleeper;
    sleeper->index_ = index;
  }
  void up(size_t index) {
    SleepAwaiter* moving = heap_[index];
    while (index > 0 && moving->time_ < heap_[(index - 1) / 2]->time_) {
      place(index, heap_[(index - 1) / 2]);
      index = (index - 1) / 2;
    }
    place(index, moving);
  }
  void down(size_t index) {
    SleepAwaiter* moving = heap_[index];
    for (size_t child; (child = 2 * index + 1) < heap_.size(); index = child) {
      if (child + 1 < heap_.size() && heap_[child + 1]->time_ < heap_[child]->time_) ++child;
      if (moving->time_ <= heap_[child]->time_) break;
      place(index, heap_[child]);
    }
    place(index, moving);
  }

  std::vector<SleepAwaiter*> heap_;
};

namespace {

/// The waits of readable() and writable() for one descriptor.
struct FdWaits final : detail::Pollable {
  int fd = -1;
  uint32_t interest = 0;
  WaitList readers;
  WaitList writers;
  EventLoop* loop = nullptr;

  uint32_t wanted() const {
    return (readers.empty() ? 0u : uint32_t{EPOLLIN | EPOLLRDHUP}) |
           (writers.empty() ? 0u : uint32_t{EPOLLOUT});
  }
  void on_events(uint32_t events) override;
};

struct Wakeup final : detail::Pollable {
  sys::UniqueFd fd;
  void on_events(uint32_t) override {
    uint64_t count;
    [[maybe_unused]] ssize_t got = ::read(fd.get(), &count, sizeof count);
  }
  void notify() const {
    uint64_t one = 1;
    [[maybe_unused]] ssize_t written = ::write(fd.get(), &one, sizeof one);
  }
};

}  // namespace

struct EventLoop::Impl {
  explicit Impl(const LoopOptions& options) : workers(options, [this] { wakeup.notify(); }) {}

  sys::UniqueFd epoll;
  Wakeup wakeup;
  std::atomic<bool> stop = false;
  std::mutex posted_mutex;
  std::vector<std::function<void()>> posted;
  std::atomic<bool> has_posted = false;
  SleepQueue sleepers;
  std::unordered_map<int, std::unique_ptr<FdWaits>> fd_waits;
  // The events of the current turn; an entry is nulled when its Pollable goes away meanwhile.
  epoll_event events[kEventsPerTurn];
  int event_count = 0;
  detail::WorkerPool workers;
  TaskGroup tasks;
};

namespace {

void update_fd_waits(EventLoop& loop, std::unordered_map<int, std::unique_ptr<FdWaits>>& all,
                     FdWaits& waits) {
  uint32_t wanted = waits.wanted();
  if (wanted == waits.interest) return;
  if (wanted != 0) {
    waits.interest = wanted;
    loop.change(waits.fd, wanted, waits);
    return;
  }
  int fd = waits.fd;
  loop.unwatch(fd, waits);
  all.erase(fd);
}

}  // namespace

void FdWaits::on_events(uint32_t events) {
  constexpr uint32_t kBroken = EPOLLERR | EPOLLHUP;
  auto wake = [this](WaitList& list) {
    while (Waiter* waiter = list.pop_front()) loop->schedule(*waiter);
  };
  if (events & (EPOLLIN | EPOLLRDHUP | kBroken)) wake(readers);
  if (events & (EPOLLOUT | kBroken)) wake(writers);
}

Result<std::unique_ptr<EventLoop>> EventLoop::create(LoopOptions options) {
  auto impl = std::make_unique<Impl>(options);
  impl->epoll.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!impl->epoll) return Error::from_errno("create epoll", {}, errno);
  impl->wakeup.fd.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!impl->wakeup.fd) return Error::from_errno("create eventfd", {}, errno);
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(impl)));
  Impl& made = *loop->impl_;
  CHECK(loop->watch(made.wakeup.fd.get(), EPOLLIN, made.wakeup));
  return loop;
}

EventLoop::EventLoop(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  current_loop = this;
}

EventLoop::EventLoop(LoopOptions options) : impl_(std::make_unique<Impl>(options)) {
  impl_->epoll.reset(::epoll_create1(EPOLL_CLOEXEC));
  impl_->wakeup.fd.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Result<void> watched;
  if (impl_->epoll && impl_->wakeup.fd) watched = watch(impl_->wakeup.fd.get(), EPOLLIN, impl_->wakeup);
  if (!impl_->epoll || !impl_->wakeup.fd || !watched) {
    log::error("the event loop cannot start: {}", Error::from_errno("epoll", {}, errno).message());
    std::_Exit(1);
  }
  current_loop = this;
}

EventLoop::~EventLoop() {
  impl_->tasks.destroy_all();
  if (current_loop == this) current_loop = nullptr;
}

EventLoop* EventLoop::current() {
  return current_loop;
}

void EventLoop::stop() {
  impl_->stop = true;
  impl_->wakeup.notify();
}

void EventLoop::post(std::function<void()> work) {
  {
    std::lock_guard lock(impl_->posted_mutex);
    impl_->posted.push_back(std::move(work));
    impl_->has_posted = true;
  }
  impl_->wakeup.notify();
}

void EventLoop::spawn(Task<void> task) {
  impl_->tasks.spawn(std::move(task));
}
void EventLoop::destroy_tasks() {
  impl_->tasks.destroy_all();
}

void EventLoop::run_ready() {
  // Only what is ready now: a coroutine that yields lets I/O in between.
  WaitList batch;
  batch.take(ready_);
  while (Waiter* waiter = batch.pop_front()) waiter->handle.resume();
}

void EventLoop::run() {
  EventLoop* outer = current_loop;
  current_loop = this;
  Impl& impl = *impl_;
  while (!impl.stop) {
    run_ready();
    if (impl.stop) break;
    timespec timeout{};
    timespec* wait = &timeout;
    if (ready_.empty()) {
      if (impl.sleepers.empty()) {
        wait = nullptr;
      } else {
        auto left =
            std::max<nanoseconds>(impl.sleepers.first() - std::chrono::steady_clock::now(), nanoseconds(0));
        timeout.tv_sec = left.count() / 1'000'000'000;
        timeout.tv_nsec = left.count() % 1'000'000'000;
      }
    }
    impl.event_count = ::epoll_pwait2(impl.epoll.get(), impl.events, kEventsPerTurn, wait, nullptr);
    for (int i = 0; i < impl.event_count; ++i) {
      if (impl.events[i].data.ptr == nullptr) continue;
      static_cast<detail::Pollable*>(impl.events[i].data.ptr)->on_events(impl.events[i].events);
    }
    impl.event_count = 0;
    for (auto* job = impl.workers.take_finished(); job != nullptr; job = detail::WorkerPool::next(*job)) {
      schedule(detail::WorkerPool::waiter(*job));
    }
    if (!impl.sleepers.empty()) impl.sleepers.expire(std::chrono::steady_clock::now(), *this);
    if (impl.has_posted) {
      std::vector<std::function<void()>> posted;
      {
        std::lock_guard lock(impl.posted_mutex);
        posted.swap(impl.posted);
        impl.has_posted = false;
      }
      for (auto& work : posted) work();
    }
  }
  impl.stop = false;
  current_loop = outer;
}

Result<void> EventLoop::watch(int fd, uint32_t events, detail::Pollable& pollable) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &pollable;
  if (::epoll_ctl(impl_->epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return Error::from_errno("watch descriptor", {}, errno);
  }
  return {};
}

void EventLoop::change(int fd, uint32_t events, detail::Pollable& pollable) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &pollable;
  ::epoll_ctl(impl_->epoll.get(), EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::unwatch(int fd, detail::Pollable& pollable) {
  ::epoll_ctl(impl_->epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
  for (int i = 0; i < impl_->event_count; ++i) {
    if (impl_->events[i].data.ptr == &pollable) impl_->events[i].data.ptr = nullptr;
  }
}

EventLoop::SleepAwaiter EventLoop::sleep_for(nanoseconds duration) {
  auto now = std::chrono::steady_clock::now();
  // Far beyond any real wait, so that the sum cannot overflow.
  constexpr nanoseconds kFar = std::chrono::hours(24 * 365 * 50);
  return SleepAwaiter(*this, now + std::min(duration, kFar));
}

EventLoop::SleepAwaiter::~SleepAwaiter() {
  if (index_ != kNotQueued) loop_.impl_->sleepers.remove(*this);
}

void EventLoop::SleepAwaiter::await_suspend(std::coroutine_handle<> handle) {
  waiter_.handle = handle;
  loop_.impl_->sleepers.push(*this);
}

bool EventLoop::FdAwaiter::await_suspend(std::coroutine_handle<> handle) {
  waiter_.handle = handle;
  auto& waits = loop_.impl_->fd_waits[fd_];
  bool first = waits == nullptr;
  if (first) {
    waits = std::make_unique<FdWaits>();
    waits->fd = fd_;
    waits->loop = &loop_;
  }
  (want_ == Want::Read ? waits->readers : waits->writers).push_back(waiter_);
  armed_ = true;
  if (!first) {
    update_fd_waits(loop_, loop_.impl_->fd_waits, *waits);
    return true;
  }
  waits->interest = waits->wanted();
  if (auto watched = loop_.watch(fd_, waits->interest, *waits); !watched) {
    waiter_.unlink();
    armed_ = false;
    loop_.impl_->fd_waits.erase(fd_);
    // EPERM: a regular file, always ready.
    if (watched.error().errno_value() != EPERM) error_ = std::move(watched).error();
    return false;
  }
  return true;
}

EventLoop::FdAwaiter::~FdAwaiter() {
  if (!armed_) return;
  waiter_.unlink();
  auto found = loop_.impl_->fd_waits.find(fd_);
  if (found != loop_.impl_->fd_waits.end()) update_fd_waits(loop_, loop_.impl_->fd_waits, *found->second);
}

Result<void> EventLoop::FdAwaiter::await_resume() {
  if (error_) return std::move(*error_);
  return {};
}

void EventLoop::submit(detail::Job& job) {
  impl_->workers.submit(job);
}
void EventLoop::withdraw(detail::Job& job) {
  impl_->workers.withdraw(job);
}

}  // namespace berth::io
