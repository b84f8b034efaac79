// Devices, limits and other resources of containers as flags take them. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::cli::options {

/// --device host[:container[:rwm]]: {PathOnHost, PathInContainer, CgroupPermissions}.
Result<Json> parse_device(std::string_view value);
/// --gpus all | N | driver=...,count=...,device=...,capabilities=...,options=...: a DeviceRequest.
Result<Json> parse_gpus(std::string_view value);
/// --ulimit name=soft[:hard]: {Name, Soft, Hard}.
Result<Json> parse_ulimit(std::string_view value);
/// --blkio-weight-device path:weight: {Path, Weight}.
Result<Json> parse_weight_device(std::string_view value);
/// --device-read-bps path:rate (bytes, with unit): {Path, Rate}.
Result<Json> parse_throttle_bytes(std::string_view value);
/// --device-read-iops path:rate: {Path, Rate}.
Result<Json> parse_throttle_operations(std::string_view value);

Result<std::string> check_gpus(std::string_view value);
Result<std::string> check_ulimit(std::string_view value);
Result<std::string> check_weight_device(std::string_view value);
Result<std::string> check_throttle_bytes(std::string_view value);
Result<std::string> check_throttle_operations(std::string_view value);
/// "c 1:3 rwm", "a *:* rwm".
Result<std::string> check_device_cgroup_rule(std::string_view value);
Result<std::string> check_sysctl(std::string_view value);
/// STDIN, STDOUT, STDERR in any case.
Result<std::string> check_stream(std::string_view value);

}  // namespace berth::cli::options
