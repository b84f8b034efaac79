// WorkerPool: the threads behind EventLoop::on_worker. Threads start when a job finds none idle and end after
// a while without work, so that an idle daemon has one thread. Private to io/.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>

#include "io/event_loop.h"

namespace berth::io::detail {

class WorkerPool {
 public:
  /// `wake` is called from a worker when a finished job waits to be collected.
  WorkerPool(const LoopOptions& options, std::function<void()> wake);
  WorkerPool(const WorkerPool&) = delete;
  /// Waits for the running jobs; queued ones never run.
  ~WorkerPool();

  void submit(Job& job);
  /// After this no thread knows the job: a queued one is taken back, a running one is asked to stop and
  /// awaited.
  void withdraw(Job& job);
  /// Finished jobs, as a chain through next(); to be called on the loop thread.
  Job* take_finished();
  static Job* next(Job& job) { return job.next_; }
  static Waiter& waiter(Job& job) { return job.waiter_; }

 private:
  static void* thread_main(void* pool);
  void work();
  void start_thread();
  void run_first(std::unique_lock<std::mutex>& lock);
  void remove_from(Job*& list, Job& job);
  void append_to(Job*& list, Job& job);

  LoopOptions options_;
  std::function<void()> wake_;
  std::mutex mutex_;
  std::condition_variable work_ready_;
  std::condition_variable job_done_;
  std::condition_variable thread_gone_;
  Job* queued_ = nullptr;
  Job* finished_ = nullptr;
  size_t queued_count_ = 0;
  unsigned threads_ = 0;
  unsigned idle_ = 0;
  bool closing_ = false;
};

}  // namespace berth::io::detail
