// Outcomes of the last moments.
#include "engine/recent_outcomes.h"

namespace berth::engine {

void RecentOutcomes::add(std::string id, WaitOutcome outcome, Time now) {
  while (!entries_.empty() && (entries_.size() >= kMost || now - entries_.front().when > kMemory)) {
    entries_.pop_front();
  }
  entries_.push_back({std::move(id), std::move(outcome), now});
}

std::optional<WaitOutcome> RecentOutcomes::find(std::string_view id, Time now) const {
  for (const Entry& entry : entries_) {
    if (entry.id == id && now - entry.when <= kMemory) return entry.outcome;
  }
  return std::nullopt;
}

}  // namespace berth::engine
