// Whether a configuration makes sense: docker's rules, in docker's words. Pure; what depends on the host is
// checked by container_limits.h and at start.
#pragma once

#include <string_view>

#include "base/result.h"
#include "spec/container.h"

namespace berth::engine {

/// Also cleans the working directory.
Result<void> validate_config(spec::ContainerConfig& config);
/// The host's side, and what contradicts the container's.
Result<void> validate_host_config(const spec::ContainerConfig& config, const spec::HostConfig& host);
Result<void> validate_restart_policy(const spec::RestartPolicy& policy);
Result<void> validate_healthcheck(const spec::Healthcheck& check);
/// Without '/'. "Invalid container name (x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
Result<void> validate_name(std::string_view name);
/// Log drivers berth serves, and their options.
Result<void> validate_log_config(const spec::LogConfig& config);

/// What a container's log may grow to.
struct LogLimits {
  int64_t max_size = int64_t{10} << 20;  ///< bytes per file; -1: no bound
  uint32_t max_files = 3;
};
/// From max-size and max-file. InvalidArgument.
Result<LogLimits> log_limits(const spec::LogConfig& config);

/// "64m", "1.5g", "1024": docker's sizes in bytes.
Result<int64_t> parse_size(std::string_view text);

}  // namespace berth::engine
