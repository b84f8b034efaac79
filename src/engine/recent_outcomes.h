// RecentOutcomes: how containers ended that removed themselves (--rm) a moment ago. Clients that wait only
// after the start (dockerode's run) would otherwise find nothing left to wait for: quick programs end, and
// berth removes them, within a millisecond or two of their start.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "engine/containers.h"

namespace berth::engine {

class RecentOutcomes {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kMemory{2};
  static constexpr size_t kMost = 256;

  void add(std::string id, WaitOutcome outcome, Time now);
  /// By full id; nullopt when there is none, or it is too long ago.
  std::optional<WaitOutcome> find(std::string_view id, Time now) const;

 private:
  struct Entry {
    std::string id;
    WaitOutcome outcome;
    Time when;
  };
  std::deque<Entry> entries_;  ///< oldest first
};

}  // namespace berth::engine
