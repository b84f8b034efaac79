// Metrics: what GET /metrics shows, in Prometheus' text format: the engine's state under dockerd's names, the
// API's requests, and the use of each running container under cAdvisor's names.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "engine/engine.h"
#include "engine/stats.h"
#include "io/task.h"

namespace berth::api {

class Metrics {
 public:
  /// Counts an answered request. Methods that are none of HTTP's count as "other".
  void count(std::string_view method, int status);
  /// The whole text as of now.
  io::Task<std::string> text(engine::Engine& engine) const;

 private:
  std::map<std::pair<std::string, int>, uint64_t> requests_;
};

/// `\`, `"` and line breaks as a label's value has them. Pure.
std::string escaped_label(std::string_view value);

}  // namespace berth::api
