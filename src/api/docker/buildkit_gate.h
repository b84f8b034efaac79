// BuildkitGate: where the connections of BuildKit's clients (buildx, compose's bake) go once they have left
// HTTP.
#pragma once

#include <string>

#include "base/result.h"
#include "io/http_server.h"

namespace berth::api {

class BuildkitGate {
 public:
  virtual ~BuildkitGate() = default;
  /// Starts what serves them when it does not run. Unsupported: it is not installed; nothing has been
  /// answered yet.
  virtual Result<void> prepare() = 0;
  /// Hands a connection over. `introduction` is a JSON object: {"kind": "grpc"}, the engine is the HTTP/2
  /// server; or
  /// {"kind": "session", "id", "name", "shared_key", "methods": []}, the client is.
  virtual Result<void> hand_over(const std::string& introduction, io::HijackedSocket connection) = 0;
};

}  // namespace berth::api
