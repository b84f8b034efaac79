// EngineClient: requests to the engine over its socket, by libcurl. Blocking; each thread may use it.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::buildkit {

struct EngineRequest {
  std::string method;
  std::string path;  ///< "/images/json"
  std::vector<std::pair<std::string, std::string>> query = {};
  std::vector<std::string> headers = {};  ///< "Name: value"
  std::string body = {};                  ///< JSON, unless `read` gives the body
  /// Bytes of a body of unknown length into the buffer; 0 is the end. An error ends the request.
  std::function<Result<size_t>(char* buffer, size_t size)> read = {};
  /// What a successful answer brings, as it comes; without it EngineAnswer::body has it.
  std::function<Result<void>(std::string_view bytes)> write = {};
  /// Asked now and then: true ends the request.
  std::function<bool()> cancelled = {};
};

struct EngineAnswer {
  int status = 0;
  std::string body;
};

class EngineClient {
 public:
  explicit EngineClient(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  const std::string& socket_path() const { return socket_path_; }

  /// An answer of 400 and more is an Error with the engine's message. Cancelled: by `cancelled`.
  Result<EngineAnswer> send(EngineRequest request) const;

 private:
  std::string socket_path_;
};

}  // namespace berth::buildkit
