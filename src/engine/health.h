// Health checks: what the next probe is, when, and what a probe's outcome means. Pure; running probes is in
// health_checks.cc. Defaults and rules are docker's.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "engine/records.h"

namespace berth::engine {

struct HealthPlan {
  std::vector<std::string> command;  ///< empty: no health check
  std::chrono::nanoseconds interval{std::chrono::seconds(30)};
  std::chrono::nanoseconds timeout{std::chrono::seconds(30)};
  std::chrono::nanoseconds start_period{0};
  std::chrono::nanoseconds start_interval{std::chrono::seconds(5)};
  int retries = 3;
};
/// From Config.Healthcheck; CMD-SHELL goes through Config.Shell or /bin/sh.
HealthPlan health_plan(const spec::ContainerConfig& config);

/// Delay until the next probe, `since_start` after the container's start.
std::chrono::nanoseconds probe_delay(const HealthPlan& plan, HealthStatus status,
                                     std::chrono::nanoseconds since_start);

/// Takes a probe into account. True when the status changed (an event is due).
bool apply_probe(const HealthPlan& plan, Timestamp container_started, HealthProbe probe, Health& health);

/// What the log says of a probe that was ended, in docker's words: "Health check exceeded timeout (1m30s):
/// ..." with what it had written.
std::string timeout_text(std::chrono::nanoseconds timeout, std::string_view output);

}  // namespace berth::engine
