// Context: one API request as the route handlers see it: typed parameters, bounded bodies, JSON answers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/docker/container_json.h"
#include "api/docker/docker_api.h"
#include "base/json_fwd.h"
#include "base/result.h"
#include "engine/events.h"

namespace berth::api {

constexpr size_t max_json_body = size_t{8} << 20;

class Context {
 public:
  Context(DockerApi& api, io::Exchange& exchange, ApiVersion version, std::vector<std::string> captures)
      : api_(api), exchange_(exchange), version_(version), captures_(std::move(captures)) {}

  engine::Engine& engine() { return api_.engine(); }
  build::Builder& builder() { return api_.builder(); }
  io::EventLoop& loop() { return api_.loop(); }
  const Metrics& metrics() const { return api_.metrics(); }
  BuildkitGate* buildkit() const { return api_.buildkit(); }
  io::Exchange& exchange() { return exchange_; }
  ApiVersion version() const { return version_; }
  bool since(int major, int minor) const { return version_ >= ApiVersion{major, minor}; }
  /// The value of the pattern's n-th {placeholder}.
  const std::string& capture(size_t index = 0) const { return captures_[index]; }

  // Query parameters. Absent and empty differ where a default exists.
  std::string text(std::string_view name, std::string_view fallback = {}) const;
  /// "", 0, no, false, none are false; everything else true; absent: the fallback.
  bool flag(std::string_view name, bool fallback = false) const;
  Result<std::optional<int64_t>> integer(std::string_view name) const;
  /// Unsigned 16-bit and required: terminal sizes.
  Result<uint16_t> terminal_size(std::string_view name) const;
  /// filters={"key":{"value":true}} or {"key":["value"]}.
  Result<engine::Filters> filters() const;

  /// The body of a JSON request: checks Content-Type, refuses what is too large. Empty when there is none.
  io::Task<Result<std::string>> json_body();

  io::Task<Result<void>> json(int status, Json value);
  io::Task<Result<void>> empty(int status);

 private:
  DockerApi& api_;
  io::Exchange& exchange_;
  ApiVersion version_;
  std::vector<std::string> captures_;
};

/// The HTTP status that an error kind stands for.
int http_status(const Error& error);
/// {"message": "..."}
std::string error_body(const Error& error);
/// Parses filters as Context::filters() does.
Result<engine::Filters> parse_filters(std::string_view text);

}  // namespace berth::api
