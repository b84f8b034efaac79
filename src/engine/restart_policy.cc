// Restart policies.
#include "engine/restart_policy.h"

#include <algorithm>

namespace berth::engine {
namespace {

constexpr std::chrono::milliseconds kFirstDelay{100};
constexpr std::chrono::milliseconds kLongestDelay{60'000};
constexpr std::chrono::seconds kStableAfter{10};

bool wants_restart(const spec::RestartPolicy& policy, const Ending& ending, int restarts) {
  if (ending.stopped_by_user) return false;
  if (policy.name == "always" || policy.name == "unless-stopped") return true;
  bool failed = (policy.name == "on-failure" && ending.exit_code != 0) ||
                (policy.name == "on-unhealthy" && (ending.exit_code != 0 || ending.was_unhealthy));
  if (!failed) return false;
  return policy.maximum_retry_count == 0 || restarts < policy.maximum_retry_count;
}

}  // namespace

std::optional<std::chrono::milliseconds> next_restart(const spec::RestartPolicy& policy, const Ending& ending,
                                                      RestartHistory& history) {
  if (!wants_restart(policy, ending, history.count)) return std::nullopt;
  bool fresh = history.delay.count() == 0 || ending.ran_for >= kStableAfter;
  history.delay = fresh ? kFirstDelay : std::min(history.delay * 2, kLongestDelay);
  ++history.count;
  return history.delay;
}

bool restarts_with_daemon(const spec::RestartPolicy& policy, bool stopped_by_user, bool was_running,
                          int exit_code) {
  if (policy.name == "always") return true;
  if (policy.name == "unless-stopped") return !stopped_by_user;
  if (policy.name == "on-failure" || policy.name == "on-unhealthy") return was_running && exit_code != 0;
  return false;
}

}  // namespace berth::engine
