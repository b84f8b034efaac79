// JsonLines: progress as docker streams it, one JSON object per line, from callbacks that must not wait to a
// client that may be slow. The answer's head goes out with the first line.
#pragma once

#include <functional>
#include <string>

#include "base/json_fwd.h"
#include "base/result.h"
#include "io/http_server.h"
#include "io/sync.h"
#include "io/task.h"
#include "io/task_group.h"

namespace berth::api {

class JsonLines {
 public:
  explicit JsonLines(io::Exchange& exchange) : exchange_(exchange) {}
  ~JsonLines() { tasks_.destroy_all(); }

  /// Queues a line. What a client that does not read leaves unread is bounded: beyond some 4 MiB lines that
  /// are mere progress are dropped.
  enum class Weight { Progress, Message };
  void push(const Json& object, Weight weight = Weight::Message);
  /// errorDetail's code when the work fails: docker's client exits with it. 0: none.
  void set_error_code(int code) { error_code_ = code; }

  /// Errors go in-band even when nothing else has been sent: docker's answer to a bad archive to load.
  void answer_in_band() { always_in_band_ = true; }

  /// Runs `work`, which pushes lines, while sending them. Its error is sent in-band as docker does, or
  /// returned when nothing has been sent yet.
  io::Task<Result<void>> run(io::Task<Result<void>> work);

 private:
  io::Task<void> send();

  io::Exchange& exchange_;
  std::string pending_;
  int error_code_ = 0;
  bool always_in_band_ = false;
  bool closed_ = false;
  bool broken_ = false;
  io::Condition changed_;
  io::TaskGroup tasks_;
};

}  // namespace berth::api
