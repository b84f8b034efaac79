// docker's checks of Config and HostConfig.
#include "engine/validate.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/format.h"
#include "base/id.h"
#include "engine/container_ports.h"
#include "engine/log_drivers.h"
#include "engine/paths.h"
#include "engine/plan_container.h"
#include "engine/signals.h"
#include "engine/user_namespace.h"
#include "launch/defaults.h"
#include "sys/ip_address.h"

namespace berth::engine {
namespace {

constexpr int64_t kMillisecond = 1'000'000;

Error invalid(std::string message) {
  return Error(Kind::InvalidArgument, std::move(message));
}

/// `--network container:X` leaves nothing to configure.
Result<void> check_container_network(const spec::ContainerConfig& config, const spec::HostConfig& host) {
  if (host.network_mode != "container" && !host.network_mode.starts_with("container:")) return {};
  if (host.network_mode.size() <= std::string_view("container:").size()) {
    return invalid("invalid network mode: invalid container format container:<name|id>");
  }
  if (!config.hostname.empty()) return invalid("conflicting options: hostname and the network mode");
  if (!host.links.empty()) {
    return invalid(
        "conflicting options: container type network can't be used with links. This would result in "
        "undefined "
        "behavior");
  }
  if (!host.dns.empty()) return invalid("conflicting options: dns and the network mode");
  if (!host.extra_hosts.empty()) {
    return invalid("conflicting options: custom host-to-IP mapping and the network mode");
  }
  if (!host.port_bindings.empty() || host.publish_all_ports) {
    return invalid("conflicting options: port publishing and the container type network mode");
  }
  if (!config.exposed_ports.empty()) {
    return invalid("conflicting options: port exposing and the container type network mode");
  }
  if (!config.mac_address.empty()) return invalid("conflicting options: mac-address and the network mode");
  return {};
}

Result<void> check_extra_hosts(const spec::StringList& hosts) {
  for (const std::string& entry : hosts) {
    size_t split = entry.find_first_of(":=");
    if (split == std::string::npos || split == 0) {
      return failure(Kind::InvalidArgument, "bad format for add-host: \"{}\"", entry);
    }
    std::string address = entry.substr(split + 1);
    if (address.size() > 2 && address.front() == '[' && address.back() == ']') {
      address = address.substr(1, address.size() - 2);
    }
    if (address != "host-gateway" && !sys::IpAddress::parse(address)) {
      return failure(Kind::InvalidArgument, "invalid IP address in add-host: \"{}\"", address);
    }
  }
  return {};
}

Result<void> check_modes(const spec::HostConfig& host) {
  CHECK(parse_namespace_mode(host.ipc_mode, "IPC mode"));
  CHECK(parse_namespace_mode(host.pid_mode, "PID mode"));
  CHECK(parse_namespace_mode(host.uts_mode, "UTS mode"));
  CHECK(parse_namespace_mode(host.cgroupns_mode, "cgroup namespace mode"));
  CHECK(parse_user_mode(host.userns_mode));
  constexpr std::array<std::string_view, 6> runtimes = {"",     "berth",  "runc",
                                                        "crun", "nvidia", "io.containerd.runc.v2"};
  if (std::find(runtimes.begin(), runtimes.end(), host.runtime) == runtimes.end()) {
    return failure(Kind::InvalidArgument, "unknown or invalid runtime name: {}", host.runtime);
  }
  if (!host.isolation.empty() && host.isolation != "default") {
    return failure(Kind::InvalidArgument, "invalid isolation ({}): linux only supports 'default'",
                   host.isolation);
  }
  return {};
}

/// docker asks for names that it knows when the container is created, not when it starts.
Result<void> check_capabilities(const spec::HostConfig& host) {
  for (auto [field, names] : {std::pair{"CapAdd", &host.cap_add}, {"CapDrop", &host.cap_drop}}) {
    if (auto unknown = launch::unknown_capability(*names))
      return failure(Kind::InvalidArgument, "invalid {}: unknown capability: \"{}\"", field, *unknown);
  }
  return {};
}

bool is_number(std::string_view text, int64_t& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Result<void> validate_config(spec::ContainerConfig& config) {
  if (!config.working_dir.empty()) {
    if (!is_absolute(config.working_dir)) {
      return failure(Kind::InvalidArgument,
                     "the working directory '{}' is invalid, it needs to be an absolute path",
                     config.working_dir);
    }
    config.working_dir = clean_path(config.working_dir);
  }
  if (!config.stop_signal.empty()) CHECK(parse_signal(config.stop_signal));
  for (const std::string& variable : config.env) {
    if (variable.empty() || variable.front() == '=') {
      return failure(Kind::InvalidArgument, "invalid environment variable: {}", variable);
    }
    if (variable.find('\0') != std::string::npos)
      return invalid("invalid environment variable: contains a NUL byte");
  }
  if (config.hostname.size() > 63) {
    return failure(Kind::InvalidArgument, "invalid hostname \"{}\": longer than 63 characters",
                   config.hostname);
  }
  if (config.healthcheck) CHECK(validate_healthcheck(*config.healthcheck));
  return {};
}

Result<void> validate_healthcheck(const spec::Healthcheck& check) {
  auto too_short = [](int64_t duration) { return duration != 0 && duration < kMillisecond; };
  if (too_short(check.interval)) return invalid("Interval in Healthcheck cannot be less than 1ms");
  if (too_short(check.timeout)) return invalid("Timeout in Healthcheck cannot be less than 1ms");
  if (check.retries < 0) return invalid("Retries in Healthcheck cannot be negative");
  if (too_short(check.start_period)) return invalid("StartPeriod in Healthcheck cannot be less than 1ms");
  if (too_short(check.start_interval)) return invalid("StartInterval in Healthcheck cannot be less than 1ms");
  return {};
}

Result<void> validate_restart_policy(const spec::RestartPolicy& policy) {
  if (policy.name.empty()) return {};
  if (policy.name == "on-failure" || policy.name == "on-unhealthy") {
    if (policy.maximum_retry_count >= 0) return {};
    return invalid("invalid restart policy: maximum retry count cannot be negative");
  }
  if (policy.name != "no" && policy.name != "always" && policy.name != "unless-stopped") {
    return failure(Kind::InvalidArgument,
                   "invalid restart policy: unknown policy '{}'; use one of 'no', 'always', 'on-failure', or "
                   "'unless-stopped'",
                   policy.name);
  }
  if (policy.maximum_retry_count == 0) return {};
  return invalid(
      fmt::format("invalid restart policy: maximum retry count can only be used with 'on-failure'{}",
                  policy.maximum_retry_count < 0 ? " and cannot be negative" : ""));
}

Result<void> validate_host_config(const spec::ContainerConfig& config, const spec::HostConfig& host) {
  CHECK(check_container_network(config, host));
  if (host.uts_mode == "host" && !config.hostname.empty()) {
    return invalid("conflicting options: hostname and the UTS mode");
  }
  if (host.network_mode == "host" && !config.mac_address.empty())
    return invalid("conflicting options: mac-address and the network mode");
  if (host.network_mode == "host" && !host.links.empty()) {
    return invalid(
        "conflicting options: host type networking can't be used with links. This would result in undefined "
        "behavior");
  }
  CHECK(validate_restart_policy(host.restart_policy));
  bool restarts = !host.restart_policy.name.empty() && host.restart_policy.name != "no";
  if (host.auto_remove && restarts) return invalid("can't create 'AutoRemove' container with restart policy");
  CHECK(check_extra_hosts(host.extra_hosts));
  CHECK(port_requests(host.port_bindings));
  CHECK(check_modes(host));
  CHECK(check_capabilities(host));
  CHECK(parse_security_options(host.security_opt));
  CHECK(validate_log_config(host.log_config));
  if (host.shm_size < 0) return invalid("SHM size can not be less than 0");
  if (host.oom_score_adj < -1000 || host.oom_score_adj > 1000) {
    return failure(Kind::InvalidArgument, "Invalid value {}, range for oom score adj is [-1000, 1000].",
                   host.oom_score_adj);
  }
  if (host.annotations.contains("")) {
    return invalid("invalid Annotations: the empty string is not permitted as an annotation key");
  }
  if (!host.storage_opt.empty()) {
    return failure(Kind::InvalidArgument, "--storage-opt is not supported: unknown option \"{}\"",
                   host.storage_opt.begin()->first);
  }
  return {};
}

Result<void> validate_name(std::string_view name) {
  if (is_valid_name(name)) return {};
  return failure(Kind::InvalidArgument,
                 "Invalid container name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name);
}

Result<void> validate_log_config(const spec::LogConfig& config) {
  CHECK(parse_log_driver(config));
  CHECK(log_limits(config));
  return {};
}

Result<LogLimits> log_limits(const spec::LogConfig& config) {
  LogLimits limits;
  bool is_copy = config.type != "json-file" && config.type != "local" && !config.type.empty();
  if (auto size = config.config.find(is_copy ? "cache-max-size" : "max-size"); size != config.config.end()) {
    if (size->second == "-1") {
      limits.max_size = -1;
    } else {
      auto bytes = parse_size(size->second);
      if (!bytes || *bytes <= 0)
        return failure(Kind::InvalidArgument, "invalid value for max-size: {}", size->second);
      limits.max_size = *bytes;
    }
  }
  if (auto files = config.config.find(is_copy ? "cache-max-file" : "max-file");
      files != config.config.end()) {
    int64_t count = 0;
    if (!is_number(files->second, count)) {
      return failure(Kind::InvalidArgument, "invalid value for max-file: {}", files->second);
    }
    if (count < 1 || count > 1000) return invalid("max-file must be a number from 1 to 1000");
    limits.max_files = static_cast<uint32_t>(count);
  }
  return limits;
}

Result<int64_t> parse_size(std::string_view text) {
  auto bad = [&] { return failure(Kind::InvalidArgument, "invalid size: '{}'", text); };
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || number < 0) return bad();
  std::string unit(end, text.data() + text.size());
  std::erase(unit, ' ');
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return std::tolower(c); });
  if (unit.size() > 1 && unit.back() == 'b') unit.pop_back();
  if (unit.size() > 1 && unit.back() == 'i') unit.pop_back();
  constexpr std::string_view units = "bkmgtp";
  size_t power = unit.empty() ? 0 : units.find(unit);
  if (power == std::string_view::npos || unit.size() > 1) return bad();
  double bytes = number * std::pow(1024.0, static_cast<double>(power));
  if (bytes > 9e18) return bad();
  return static_cast<int64_t>(bytes);
}

}  // namespace berth::engine
