// When a container that has ended is started again. Pure; docker's policies and back-off: 100 ms, doubled
// each time up to a minute, and back to 100 ms when the container ran for ten seconds. Beyond docker's,
// "on-unhealthy[:n]": as on-failure, and a container whose health check fails is ended and started again.
#pragma once

#include <chrono>
#include <optional>

#include "spec/container.h"

namespace berth::engine {

/// What is remembered from one end to the next, per container, until a user starts it again.
struct RestartHistory {
  int count = 0;
  std::chrono::milliseconds delay{0};  ///< of the last restart
};

struct Ending {
  int exit_code = 0;
  std::chrono::nanoseconds ran_for{0};
  bool stopped_by_user = false;  ///< stop, or kill with a signal that ends it
  bool was_unhealthy = false;    ///< berth ended it, as its health check asked for that (on-unhealthy)
};

/// The delay until the restart, which `history` then counts; nothing: it stays down.
std::optional<std::chrono::milliseconds> next_restart(const spec::RestartPolicy& policy, const Ending& ending,
                                                      RestartHistory& history);

/// Whether a daemon that starts should start a container that is down. `was_running`: it was up when the last
/// daemon (or the machine) went away.
bool restarts_with_daemon(const spec::RestartPolicy& policy, bool stopped_by_user, bool was_running,
                          int exit_code);

}  // namespace berth::engine
