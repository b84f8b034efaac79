// Detach keys: the sequence that leaves a session without ending the container. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli::terminal {

/// "ctrl-p,ctrl-q", "a,b,ctrl-@": the bytes that the keys send.
Result<std::string> parse_detach_keys(std::string_view text);

/// Watches what is typed. The engine gets every key and detaches by itself; this only tells that it will.
class DetachWatch {
 public:
  /// An empty sequence never matches.
  explicit DetachWatch(std::string sequence) : sequence_(std::move(sequence)) {}
  /// True once the sequence is complete. Keys behind it are not looked at.
  bool feed(std::string_view typed);

 private:
  std::string sequence_;
  size_t matched_ = 0;
};

}  // namespace berth::cli::terminal
