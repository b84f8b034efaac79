// TelemetryFeed: what subscribers of the Telemetry API (2022-07-01) and the Logs API (2020-08-15) inside a
// sandbox are told: the platform's events, the function's and the extensions' lines, in batches over HTTP or
// TCP to a port inside the sandbox. Bounded: a subscriber that does not keep up loses events and is told how
// many.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/event_loop.h"
#include "io/sync.h"
#include "io/task_group.h"
#include "sys/fd.h"

namespace berth::functions {

enum class TelemetryType : uint8_t { Platform = 1, Function = 2, Extension = 4 };

/// One PUT of a subscription, checked.
struct TelemetrySubscription {
  std::string subscriber;
  uint8_t types = 0;
  bool tcp = false;
  uint16_t port = 0;
  std::string path = "/";
  size_t max_items = 10'000;
  size_t max_bytes = 256u << 10;
  std::chrono::milliseconds timeout{1000};
};
/// InvalidArgument names what is wrong with the document.
Result<TelemetrySubscription> parse_telemetry_subscription(std::string_view body);
std::vector<std::string> telemetry_type_names(uint8_t types);

class TelemetryFeed {
 public:
  /// A stream socket inside the sandbox's network namespace, not connected, non-blocking.
  using MakeSocket = std::function<Result<sys::UniqueFd>()>;
  TelemetryFeed(io::EventLoop& loop, MakeSocket make_socket);
  ~TelemetryFeed();

  /// Replaces the subscriber's earlier one. It also gets what happened before, from the start of init.
  void subscribe(TelemetrySubscription subscription);
  /// A document {"time", "type", "record"}.
  void publish(TelemetryType type, std::string document);
  /// A line that was printed.
  void publish_line(TelemetryType type, std::string_view time, std::string_view line);
  /// Nobody can subscribe any more: what was kept for them goes, and without subscribers nothing is kept.
  void close_subscriptions();
  bool wants(TelemetryType type) const;

 private:
  struct Subscriber;
  io::Task<void> deliver(std::shared_ptr<Subscriber> subscriber);
  io::Task<Result<void>> send(const Subscriber& subscriber, std::string batch);

  io::EventLoop& loop_;
  MakeSocket make_socket_;
  bool open_ = true;
  std::vector<std::pair<TelemetryType, std::string>> early_;
  std::vector<std::shared_ptr<Subscriber>> subscribers_;
  io::TaskGroup tasks_;
};

}  // namespace berth::functions
