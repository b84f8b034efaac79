// UpstreamThreads: threads for work that waits for another registry. Not the loop's workers: those few are
// needed by the whole engine, and another registry may take its time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <stop_token>
#include <thread>

#include "base/result.h"
#include "io/event_loop.h"
#include "io/sync.h"
#include "io/task.h"

namespace berth::registry::server {

class UpstreamThreads {
 public:
  explicit UpstreamThreads(io::EventLoop& loop) : loop_(loop), slots_(kThreads) {}
  UpstreamThreads(const UpstreamThreads&) = delete;
  /// Asks what runs to stop, and waits for it.
  ~UpstreamThreads() = default;

  /// Runs `work` on a thread of its own, a few at a time. The task may be destroyed meanwhile, so `work` owns
  /// what it uses, or that outlives this object.
  io::Task<Result<void>> run(std::function<Result<void>(std::stop_token)> work);

 private:
  static constexpr size_t kThreads = 8;
  io::EventLoop& loop_;
  io::Semaphore slots_;
  uint64_t next_ = 0;
  std::map<uint64_t, std::jthread> threads_;
};

}  // namespace berth::registry::server
