// Rules of health checks.
#include "engine/health.h"

#include "base/format.h"

namespace berth::engine {
namespace {

constexpr size_t kProbesKept = 5;

std::chrono::nanoseconds or_default(int64_t nanoseconds, std::chrono::nanoseconds fallback) {
  return nanoseconds > 0 ? std::chrono::nanoseconds(nanoseconds) : fallback;
}

std::vector<std::string> probe_command(const spec::Healthcheck& check, const spec::StringList& shell) {
  if (check.test.empty() || check.test[0] == "NONE") return {};
  std::vector<std::string> command(check.test.begin() + 1, check.test.end());
  if (check.test[0] != "CMD-SHELL") return command;
  std::vector<std::string> through = shell.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : shell;
  through.insert(through.end(), command.begin(), command.end());
  return through;
}

/// As Go writes durations: "50ms", "1.5s", "1m30s", "1h0m0s".
std::string duration_text(std::chrono::nanoseconds duration) {
  using std::chrono::duration_cast;
  using std::chrono::nanoseconds;
  auto scaled = [duration](int64_t unit, const char* name) {
    return fmt::format("{}{}", static_cast<double>(duration.count()) / static_cast<double>(unit), name);
  };
  if (duration < std::chrono::microseconds(1)) return scaled(1, "ns");
  if (duration < std::chrono::milliseconds(1)) return scaled(1'000, "µs");
  if (duration < std::chrono::seconds(1)) return scaled(1'000'000, "ms");
  auto hours = duration_cast<std::chrono::hours>(duration);
  auto minutes = duration_cast<std::chrono::minutes>(duration - hours);
  auto rest = std::chrono::duration<double>(duration - hours - minutes).count();
  if (hours.count() > 0) return fmt::format("{}h{}m{}s", hours.count(), minutes.count(), rest);
  if (minutes.count() > 0) return fmt::format("{}m{}s", minutes.count(), rest);
  return fmt::format("{}s", rest);
}

}  // namespace

HealthPlan health_plan(const spec::ContainerConfig& config) {
  HealthPlan plan;
  if (!config.healthcheck) return plan;
  const spec::Healthcheck& check = *config.healthcheck;
  plan.command = probe_command(check, config.shell);
  plan.interval = or_default(check.interval, plan.interval);
  plan.timeout = or_default(check.timeout, plan.timeout);
  plan.start_period = or_default(check.start_period, plan.start_period);
  plan.start_interval = or_default(check.start_interval, plan.start_interval);
  if (check.retries > 0) plan.retries = check.retries;
  return plan;
}

std::string timeout_text(std::chrono::nanoseconds timeout, std::string_view output) {
  return fmt::format("Health check exceeded timeout ({}){}{}", duration_text(timeout),
                     output.empty() ? "" : ": ", output);
}

std::chrono::nanoseconds probe_delay(const HealthPlan& plan, HealthStatus status,
                                     std::chrono::nanoseconds since_start) {
  bool starting = status == HealthStatus::Starting && since_start < plan.start_period;
  return starting ? plan.start_interval : plan.interval;
}

bool apply_probe(const HealthPlan& plan, Timestamp container_started, HealthProbe probe, Health& health) {
  HealthStatus before = health.status;
  if (probe.exit_code == 0) {
    health.failing_streak = 0;
    health.status = HealthStatus::Healthy;
  } else {
    bool grace =
        health.status == HealthStatus::Starting && probe.start < container_started + plan.start_period;
    if (!grace && ++health.failing_streak >= plan.retries) health.status = HealthStatus::Unhealthy;
  }
  health.log.push_back(std::move(probe));
  while (health.log.size() > kProbesKept) health.log.pop_front();
  return health.status != before;
}

}  // namespace berth::engine
