// Bodies between the loop thread and a worker: storage reads and writes blocking streams on worker threads,
// HTTP bodies belong to the loop. A pipe lies between the two, so each side waits in its own way.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "io/event_loop.h"
#include "io/http_server.h"
#include "io/task.h"
#include "io/task_group.h"
#include "storage/byte_stream.h"
#include "sys/fd.h"

namespace berth::api {

/// A request body as a ByteSource for a worker thread.
class BodySource : public storage::ByteSource {
 public:
  /// Starts pumping at once.
  static Result<std::unique_ptr<BodySource>> create(io::EventLoop& loop, io::Exchange& exchange);
  ~BodySource() override;
  Result<size_t> read(std::span<char> buffer) override;

 private:
  BodySource(io::EventLoop& loop, io::Exchange& exchange, sys::Pipe pipe);
  io::Task<void> pump();

  io::EventLoop& loop_;
  io::Exchange& exchange_;
  sys::UniqueFd read_;                // the worker's end, blocking
  sys::UniqueFd write_;               // the loop's end, non-blocking
  std::atomic<bool> broken_ = false;  // the client went away before the body's end
  io::TaskGroup tasks_;
};

/// A response body as a ByteSink for a worker thread. The answer's head goes out with the first byte (or with
/// finish()), so that a failure before that can still choose its status.
class BodySink : public storage::ByteSink {
 public:
  static Result<std::unique_ptr<BodySink>> create(io::EventLoop& loop, io::Exchange& exchange,
                                                  std::string content_type);
  ~BodySink() override;
  Result<void> write(std::string_view bytes) override;

  /// Runs `work`, which writes to this sink, and sends what it writes. Ends the body when it succeeded.
  io::Task<Result<void>> run(io::Task<Result<void>> work);

 private:
  BodySink(io::EventLoop& loop, io::Exchange& exchange, std::string content_type, sys::Pipe pipe);
  io::Task<void> pump();

  io::EventLoop& loop_;
  io::Exchange& exchange_;
  std::string content_type_;
  sys::UniqueFd read_;   // the loop's end, non-blocking
  sys::UniqueFd write_;  // the worker's end, blocking
  Result<void> sent_;
  io::TaskGroup tasks_;
};

}  // namespace berth::api
