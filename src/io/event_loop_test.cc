// Tests of the loop: timers, descriptors, workers, waiting, cancelling, and destruction of suspended tasks.
#include "io/event_loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "io/byte_pipe.h"
#include "io/cancel.h"
#include "io/peer_reading.h"
#include "io/sync.h"
#include "io/task_group.h"
#include "sys/fd.h"

namespace berth::io {
namespace {

using namespace std::chrono_literals;

Task<int> immediate(int value) {
  co_return value;
}

Task<long> add_up(int count) {
  long sum = 0;
  for (int i = 0; i < count; ++i) sum += co_await immediate(1);
  co_return sum;
}

TEST(Task, ManyTasksThatEndAtOnceDoNotGrowTheStack) {
  EventLoop loop;
  EXPECT_EQ(loop.run_until_complete(add_up(300'000)), 300'000);
}

Task<void> append_after(EventLoop& loop, nanoseconds delay, char letter, std::string& order) {
  co_await loop.sleep_for(delay);
  order.push_back(letter);
}

Task<void> sleep_in_order(EventLoop& loop, std::string& order) {
  TaskGroup group;
  group.spawn(append_after(loop, 30ms, 'c', order));
  group.spawn(append_after(loop, 1ms, 'a', order));
  group.spawn(append_after(loop, 15ms, 'b', order));
  group.spawn(append_after(loop, 1h, 'x', order));
  while (group.size() > 1) co_await loop.sleep_for(1ms);
}

TEST(EventLoop, SleepersWakeInOrderAndMayBeDestroyed) {
  EventLoop loop;
  std::string order;
  loop.run_until_complete(sleep_in_order(loop, order));
  EXPECT_EQ(order, "abc");
}

Task<int> read_byte(EventLoop& loop, int fd) {
  auto ready = co_await loop.readable(fd);
  if (!ready) co_return -1;
  char byte = 0;
  co_return ::read(fd, &byte, 1) == 1 ? byte : 0;
}

TEST(EventLoop, WaitsForDescriptors) {
  EventLoop loop;
  auto pipe = sys::make_pipe().value();
  std::thread writer([&] { EXPECT_EQ(::write(pipe.write.get(), "x", 1), 1); });
  EXPECT_EQ(loop.run_until_complete(read_byte(loop, pipe.read.get())), 'x');
  writer.join();
  EXPECT_EQ(loop.run_until_complete(read_byte(loop, -1)), -1);
  pipe.write.reset();
  EXPECT_EQ(loop.run_until_complete(read_byte(loop, pipe.read.get())), 0);
}

TEST(EventLoop, RegularFilesAreAlwaysReady) {
  EventLoop loop;
  auto file = sys::open_file("/proc/self/exe", O_RDONLY).value();
  EXPECT_EQ(loop.run_until_complete(read_byte(loop, file.get())), 0x7f);
}

TEST(EventLoop, ADestroyedWaitLeavesNothingBehind) {
  EventLoop loop;
  auto pipe = sys::make_pipe().value();
  {
    TaskGroup group;
    auto wait = [](EventLoop* on, int fd) -> Task<void> {
      [[maybe_unused]] auto r = co_await on->readable(fd);
    };
    group.spawn(wait(&loop, pipe.read.get()));
    group.spawn(wait(&loop, pipe.read.get()));
    loop.run_until_complete(append_after(loop, 1ms, '.', *std::make_unique<std::string>()));
    EXPECT_EQ(group.size(), 2u);
  }
  ASSERT_EQ(::write(pipe.write.get(), "y", 1), 1);
  EXPECT_EQ(loop.run_until_complete(read_byte(loop, pipe.read.get())), 'y');
}

Task<int> work_elsewhere(EventLoop& loop) {
  auto here = std::this_thread::get_id();
  int answers = 0;
  for (int i = 0; i < 50; ++i) {
    bool elsewhere = co_await loop.on_worker([here] { return std::this_thread::get_id() != here; });
    answers += elsewhere ? 1 : 0;
  }
  co_return answers;
}

TEST(EventLoop, WorkersRunBlockingWork) {
  EventLoop loop({.workers = 2});
  EXPECT_EQ(loop.run_until_complete(work_elsewhere(loop)), 50);
}

Task<std::string> work_with_objects(EventLoop& loop) {
  std::string word = "short";
  std::vector<std::string> list = {"a", std::string(100, 'b')};
  auto named = [word, list] { return word + list[0] + list[1]; };
  std::string first = co_await loop.on_worker(named);
  std::string second = co_await loop.on_worker(std::move(named));
  co_return first == second ? first : "different";
}

TEST(EventLoop, WorkMayHoldObjects) {
  EventLoop loop;
  EXPECT_EQ(loop.run_until_complete(work_with_objects(loop)), "shorta" + std::string(100, 'b'));
}

TEST(EventLoop, DestroyingATaskStopsItsWorkFirst) {
  EventLoop loop({.workers = 1});
  std::atomic<bool> started = false, stopped = false;
  auto work = [](EventLoop* on, std::atomic<bool>* begun, std::atomic<bool>* ended) -> Task<void> {
    co_await on->on_worker([begun, ended](std::stop_token stop) {
      *begun = true;
      while (!stop.stop_requested()) std::this_thread::yield();
      *ended = true;
    });
  };
  {
    TaskGroup group;
    group.spawn(work(&loop, &started, &stopped));
    group.spawn(work(&loop, &started, &stopped));  // stays queued
    auto until_started = [](EventLoop* on, std::atomic<bool>* begun) -> Task<void> {
      while (!*begun) co_await on->yield();
    };
    loop.run_until_complete(until_started(&loop, &started));
  }
  EXPECT_TRUE(stopped);
}

TEST(EventLoop, PostComesFromAnyThread) {
  EventLoop loop;
  int count = 0;
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) loop.post([&] { ++count; });
    loop.post([&] { loop.stop(); });
  });
  loop.run();
  other.join();
  EXPECT_EQ(count, 100);
}

Task<Result<int>> never(EventLoop& loop, bool& destroyed) {
  struct Mark {
    bool& flag;
    ~Mark() { flag = true; }
  } mark{destroyed};
  co_await loop.sleep_for(1h);
  co_return 1;
}
Task<Result<int>> soon(EventLoop& loop) {
  co_await loop.yield();
  co_return 7;
}

TEST(Cancel, DeadlineDestroysTheTask) {
  EventLoop loop;
  bool destroyed = false;
  auto late =
      loop.run_until_complete(with_deadline(never(loop, destroyed), std::chrono::steady_clock::now() + 1ms));
  EXPECT_EQ(late.error().kind(), Kind::DeadlineExceeded);
  EXPECT_TRUE(destroyed);
  auto in_time = loop.run_until_complete(with_deadline(soon(loop), std::chrono::steady_clock::now() + 1h));
  EXPECT_EQ(in_time.value(), 7);
}

Task<void> cancel_soon(EventLoop& loop, CancelSource& source) {
  co_await loop.yield();
  source.cancel();
}

TEST(Cancel, TokenDestroysTheTask) {
  EventLoop loop;
  CancelSource source;
  bool destroyed = false;
  loop.spawn(cancel_soon(loop, source));
  auto gone = loop.run_until_complete(unless_cancelled(never(loop, destroyed), source.token()));
  EXPECT_EQ(gone.error().kind(), Kind::Cancelled);
  EXPECT_TRUE(destroyed);
  auto kept = loop.run_until_complete(unless_cancelled(soon(loop), CancelToken()));
  EXPECT_EQ(kept.value(), 7);
}

Task<void> hold(EventLoop& loop, Mutex& mutex, int& inside, int& most) {
  auto guard = co_await mutex.lock();
  most = std::max(most, ++inside);
  co_await loop.yield();
  --inside;
}

TEST(Sync, MutexExcludesAndSurvivesDestroyedWaiters) {
  EventLoop loop;
  Mutex mutex;
  int inside = 0, most = 0;
  TaskGroup group;
  for (int i = 0; i < 5; ++i) group.spawn(hold(loop, mutex, inside, most));
  loop.run_until_complete(group.wait_until_empty());
  EXPECT_EQ(most, 1);
  auto guard = mutex.try_lock();
  {
    TaskGroup waiting;
    waiting.spawn(hold(loop, mutex, inside, most));
    waiting.spawn(hold(loop, mutex, inside, most));
    auto turn = [](EventLoop* on) -> Task<void> { co_await on->yield(); };
    loop.run_until_complete(turn(&loop));
    guard.release();  // granted to the first waiter, which never resumes
  }
  EXPECT_FALSE(mutex.locked());
}

Task<long> drain(BytePipe& pipe) {
  long total = 0;
  while (true) {
    auto bytes = co_await pipe.read();
    if (!bytes) co_return -1;
    if (bytes->empty()) co_return total;
    total += static_cast<long>(bytes->size());
  }
}

TEST(BytePipe, CarriesFromAWorkerToTheLoop) {
  EventLoop loop;
  BytePipe pipe(loop, 4096);
  std::thread worker([&] {
    std::string block(10'000, 'x');
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(pipe.write_blocking(block));
    pipe.close_writing();
  });
  EXPECT_EQ(loop.run_until_complete(drain(pipe)), 500'000);
  worker.join();
}

Task<bool> feed(BytePipe& pipe) {
  std::string block(10'000, 'x');
  for (int i = 0; i < 50; ++i) {
    auto written = co_await pipe.write(block);
    if (!written) co_return false;
  }
  pipe.close_writing(Error(Kind::Cancelled, "cut"));
  co_return true;
}

TEST(BytePipe, CarriesFromTheLoopToAWorkerAndPassesTheError) {
  EventLoop loop;
  BytePipe pipe(loop, 4096);
  size_t total = 0;
  std::thread worker([&] {
    char buffer[1000];
    while (true) {
      auto count = pipe.read_blocking(buffer);
      if (!count) {
        EXPECT_EQ(count.error().message(), "cut");
        return;
      }
      total += *count;
    }
  });
  EXPECT_TRUE(loop.run_until_complete(feed(pipe)));
  worker.join();
  EXPECT_EQ(total, 500'000u);
}

TEST(BytePipe, AReaderThatLeavesEndsTheWriter) {
  EventLoop loop;
  BytePipe pipe(loop, 4096);
  std::thread worker([&] { pipe.close_reading(); });
  EXPECT_FALSE(loop.run_until_complete(feed(pipe)));
  worker.join();
}

/// The delay is the fault: a client on a busy machine.
Task<void> read_late(EventLoop& loop, int socket, bool& has_read) {
  co_await loop.sleep_for(std::chrono::milliseconds(100));
  char bytes[8];
  has_read = ::read(socket, bytes, sizeof bytes) == 4;
}

TEST(PeerReading, WaitsUntilTheOtherSideHasRead) {
  EventLoop loop;
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  sys::UniqueFd ours(ends[0]);
  sys::UniqueFd theirs(ends[1]);
  ASSERT_EQ(::write(ours.get(), "head", 4), 4);
  std::thread reader([&] {
    char bytes[8];
    EXPECT_EQ(::read(theirs.get(), bytes, sizeof bytes), 4);
  });
  loop.run_until_complete(until_read(loop, ours.get()));
  reader.join();
  // Who never reads is not waited for without end.
  ASSERT_EQ(::write(ours.get(), "head", 4), 4);
  loop.run_until_complete(until_read(loop, ours.get()));
}

TEST(PeerReading, WaitsForWhoGetsNoProcessorForAWhile) {
  EventLoop loop;
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  sys::UniqueFd ours(ends[0]);
  sys::UniqueFd theirs(ends[1]);
  ASSERT_EQ(::write(ours.get(), "head", 4), 4);
  bool has_read = false;
  loop.spawn(read_late(loop, theirs.get(), has_read));
  loop.run_until_complete(until_read(loop, ours.get()));
  EXPECT_TRUE(has_read);
}

Task<int> sum_queue(Queue<int>& queue) {
  int sum = 0;
  while (true) {
    auto value = co_await queue.pop();
    if (!value) co_return sum;
    sum += *value;
  }
}

TEST(Sync, QueueDrainsAfterClose) {
  EventLoop loop;
  Queue<int> queue;
  loop.post([&] {
    queue.push(1);
    queue.push(2);
    queue.close();
  });
  EXPECT_EQ(loop.run_until_complete(sum_queue(queue)), 3);
}

}  // namespace
}  // namespace berth::io
