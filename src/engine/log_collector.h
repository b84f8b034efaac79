// Sending lines over HTTP, to Splunk's event collector. Internal to engine/.
#pragma once

#include <memory>
#include <string>

#include "engine/log_drivers.h"

namespace berth::engine {

/// A connection that is kept between posts. One thread at a time.
class LogCollector {
 public:
  explicit LogCollector(const RemoteLog& remote);
  ~LogCollector();
  LogCollector(const LogCollector&) = delete;
  LogCollector& operator=(const LogCollector&) = delete;

  /// Events in one request; blocks for a minute at most. Unavailable: to be tried again. InvalidArgument: the
  /// collector takes these events never (400).
  Result<void> post(const std::string& events);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::engine
