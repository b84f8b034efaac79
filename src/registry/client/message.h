// Message: one step of a pull or push, in docker's words, for whoever shows it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/digest.h"

namespace berth::registry {

/// A tag that a push has written.
struct PushedTag {
  std::string tag;
  Digest digest;
  uint64_t size = 0;  ///< of the manifest
};

struct Message {
  std::string id = {};  ///< a layer's short digest, a tag, or empty
  std::string status = {};
  uint64_t current = 0;  ///< with total: bytes
  uint64_t total = 0;
  std::optional<PushedTag> pushed = {};  ///< instead of a status
};

/// Called from threads of the client, one at a time for each pull or push.
using MessageCallback = std::function<void(const Message&)>;

}  // namespace berth::registry
