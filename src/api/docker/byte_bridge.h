// Bodies between the loop thread and a worker: storage reads and writes blocking streams on worker threads,
// HTTP bodies belong to the loop; an io::BytePipe lies between the two.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "io/byte_pipe.h"
#include "io/http_server.h"
#include "io/task.h"
#include "io/task_group.h"
#include "storage/byte_stream.h"

namespace berth::api {

/// A request body as a ByteSource for a worker thread. Pumps as long as it lives.
class BodySource : public storage::ByteSource {
 public:
  BodySource(io::EventLoop& loop, io::Exchange& exchange);
  ~BodySource() override;
  Result<size_t> read(std::span<char> buffer) override { return pipe_.read_blocking(buffer); }

 private:
  io::Task<void> pump();
  io::Exchange& exchange_;
  io::BytePipe pipe_;
  io::TaskGroup tasks_;
};

/// A response body as a ByteSink for a worker thread. The answer's head goes out with the first byte (or at
/// the end of run()), so that a failure before that can still choose its status.
class BodySink : public storage::ByteSink {
 public:
  BodySink(io::EventLoop& loop, io::Exchange& exchange, std::string content_type);
  ~BodySink() override;
  Result<void> write(std::string_view bytes) override { return pipe_.write_blocking(bytes); }

  /// Runs `work`, which writes to this sink, and sends what it writes. Ends the body when it succeeded.
  io::Task<Result<void>> run(io::Task<Result<void>> work);

 private:
  io::Task<void> pump();
  io::Task<Result<void>> send_all();
  io::Exchange& exchange_;
  std::string content_type_;
  io::BytePipe pipe_;
  Result<void> sent_;
  io::TaskGroup tasks_;
};

}  // namespace berth::api
