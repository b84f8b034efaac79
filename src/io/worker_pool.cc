// Threads for blocking work.
#include "io/worker_pool.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace berth::io::detail {

WorkerPool::WorkerPool(const LoopOptions& options, std::function<void()> wake)
    : options_(options), wake_(std::move(wake)) {}

WorkerPool::~WorkerPool() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  queued_ = nullptr;
  queued_count_ = 0;
  work_ready_.notify_all();
  thread_gone_.wait(lock, [&] { return threads_ == 0; });
}

void WorkerPool::append_to(Job*& list, Job& job) {
  job.next_ = nullptr;
  Job** end = &list;
  while (*end != nullptr) end = &(*end)->next_;
  *end = &job;
}

void WorkerPool::remove_from(Job*& list, Job& job) {
  for (Job** link = &list; *link != nullptr; link = &(*link)->next_) {
    if (*link != &job) continue;
    *link = job.next_;
    job.next_ = nullptr;
    return;
  }
}

void WorkerPool::submit(Job& job) {
  std::unique_lock lock(mutex_);
  job.state_ = Job::State::Queued;
  append_to(queued_, job);
  ++queued_count_;
  if (queued_count_ > idle_ && threads_ < options_.workers) start_thread();
  if (threads_ > 0) {
    work_ready_.notify_one();
    return;
  }
  // The system gives no thread (EAGAIN): slow is better than never.
  run_first(lock);
}

void WorkerPool::run_first(std::unique_lock<std::mutex>& lock) {
  Job* job = queued_;
  queued_ = job->next_;
  --queued_count_;
  job->next_ = nullptr;
  job->state_ = Job::State::Running;
  lock.unlock();
  job->run(job->stop_.get_token());
  lock.lock();
  job->state_ = Job::State::Done;
  append_to(finished_, *job);
  job_done_.notify_all();
  wake_();
}

void WorkerPool::start_thread() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, options_.worker_stack_bytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // Signals belong to the loop thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  bool started = pthread_create(&thread, &attributes, thread_main, this) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (started) ++threads_;
}

void* WorkerPool::thread_main(void* pool) {
  pthread_setname_np(pthread_self(), "worker");
  static_cast<WorkerPool*>(pool)->work();
  return nullptr;
}

void WorkerPool::work() {
  std::unique_lock lock(mutex_);
  while (!closing_) {
    if (queued_ != nullptr) {
      run_first(lock);
      continue;
    }
    ++idle_;
    bool busy =
        work_ready_.wait_for(lock, options_.worker_idle, [&] { return queued_ != nullptr || closing_; });
    --idle_;
    if (!busy) break;
  }
  --threads_;
  thread_gone_.notify_all();
}

void WorkerPool::withdraw(Job& job) {
  std::unique_lock lock(mutex_);
  if (job.state_ == Job::State::Idle) return;
  if (job.state_ == Job::State::Queued) {
    remove_from(queued_, job);
    --queued_count_;
  } else {
    if (job.state_ == Job::State::Running) {
      job.stop_.request_stop();
      job_done_.wait(lock, [&] { return job.state_ == Job::State::Done; });
    }
    remove_from(finished_, job);
  }
  job.state_ = Job::State::Idle;
}

Job* WorkerPool::take_finished() {
  std::unique_lock lock(mutex_);
  Job* chain = finished_;
  finished_ = nullptr;
  for (Job* job = chain; job != nullptr; job = job->next_) job->state_ = Job::State::Idle;
  return chain;
}

}  // namespace berth::io::detail
