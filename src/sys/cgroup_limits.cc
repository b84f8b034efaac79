// check_limits(): what is asked for against what the host can hold, in the words docker's users know.
#include <algorithm>

#include "base/format.h"
#include "sys/cgroup.h"
#include "sys/cgroup_plan.h"

namespace berth::sys {
namespace {

constexpr int64_t kMinimumMemory = 6 * 1024 * 1024;

using Warnings = std::vector<std::string>;

Error invalid(std::string message) {
  return {Kind::InvalidArgument, std::move(message)};
}

void not_supported(Warnings& warnings, std::string_view what, std::string_view consequence) {
  warnings.push_back(
      fmt::format("Your kernel does not support {} or the cgroup is not mounted. {}", what, consequence));
}

Result<void> check_memory(const CgroupFeatures& features, CgroupLimits& limits, Warnings& warnings) {
  bool limited = limits.memory && *limits.memory > 0;
  if (limits.memory && *limits.memory != 0 && !features.memory) {
    not_supported(warnings, "memory limit capabilities", "Limitation discarded.");
    limits.memory.reset();
    limits.memory_swap.reset();
    limited = false;
  }
  if (limited && *limits.memory < kMinimumMemory) return invalid("Minimum memory limit allowed is 6MB");
  if (limited && limits.memory_swap && *limits.memory_swap != -1 && !features.swap) {
    not_supported(warnings, "swap limit capabilities", "Memory limited without swap.");
    limits.memory_swap.reset();
  }
  if (limited && limits.memory_swap && *limits.memory_swap > 0 && *limits.memory_swap < *limits.memory) {
    return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  if (!limited && limits.memory_swap && *limits.memory_swap > 0) {
    return invalid("You should always set the Memory limit when using Memoryswap limit, see usage");
  }
  if (limits.memory_swap && !features.swap) limits.memory_swap.reset();
  if (limits.memory_reservation && *limits.memory_reservation != 0 && !features.memory_reservation) {
    not_supported(warnings, "memory soft limit capabilities", "Limitation discarded.");
    limits.memory_reservation.reset();
  }
  if (!limits.memory_reservation || *limits.memory_reservation <= 0) return {};
  if (*limits.memory_reservation < kMinimumMemory)
    return invalid("Minimum memory reservation allowed is 6MB");
  if (limited && *limits.memory < *limits.memory_reservation) {
    return invalid("Minimum memory limit can not be less than memory reservation limit, see usage");
  }
  return {};
}

Result<void> check_memory_behaviour(const CgroupFeatures& features, CgroupLimits& limits,
                                    Warnings& warnings) {
  if (limits.swappiness && *limits.swappiness > 100) {
    return invalid(
        fmt::format("invalid value: {}, valid memory swappiness range is 0-100", *limits.swappiness));
  }
  if (limits.swappiness && !features.swappiness) {
    not_supported(warnings, "memory swappiness capabilities", "Memory swappiness discarded.");
    limits.swappiness.reset();
  }
  if (!limits.oom_kill_disable) return {};
  if (!features.oom_kill_disable) {
    // Asking for the kernel's own behaviour is no loss.
    if (*limits.oom_kill_disable) {
      warnings.push_back("Your kernel does not support OomKillDisable. OomKillDisable discarded.");
    }
    limits.oom_kill_disable.reset();
  } else if (*limits.oom_kill_disable && (!limits.memory || *limits.memory <= 0)) {
    warnings.push_back(
        "OOM killer is disabled for the container, but no memory limit is set, this can result in the system "
        "running out of resources.");
  }
  return {};
}

Result<void> check_cpu(const CgroupFeatures& features, CgroupLimits& limits, Warnings& warnings) {
  if (limits.cpu_shares && *limits.cpu_shares > 0 && !features.cpu_shares) {
    not_supported(warnings, "CPU shares", "Shares discarded.");
    limits.cpu_shares.reset();
  }
  if (limits.cpu_shares) {
    if (*limits.cpu_shares == 0)
      limits.cpu_shares.reset();
    else
      limits.cpu_shares = std::clamp<uint64_t>(*limits.cpu_shares, 2, 262144);
  }
  bool cfs = (limits.cpu_period && *limits.cpu_period > 0) || (limits.cpu_quota && *limits.cpu_quota > 0);
  if (cfs && !features.cpu_quota) {
    warnings.push_back(
        "Your kernel does not support CPU CFS scheduler or the cgroup is not mounted. CPU period/quota "
        "discarded.");
    limits.cpu_period.reset();
    limits.cpu_quota.reset();
  }
  if (limits.cpu_period && *limits.cpu_period == 0) limits.cpu_period.reset();
  if (limits.cpu_period && (*limits.cpu_period < 1000 || *limits.cpu_period > 1000000)) {
    return invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  }
  if (limits.cpu_quota && *limits.cpu_quota == 0) limits.cpu_quota.reset();
  if (limits.cpu_quota && *limits.cpu_quota > 0 && *limits.cpu_quota < 1000) {
    return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  }
  bool realtime = (limits.cpu_realtime_period && *limits.cpu_realtime_period != 0) ||
                  (limits.cpu_realtime_runtime && *limits.cpu_realtime_runtime != 0);
  if (!realtime) {
    limits.cpu_realtime_period.reset();
    limits.cpu_realtime_runtime.reset();
    return {};
  }
  if (!features.cpu_realtime) {
    return Error(Kind::Unsupported, "kernel does not support CPU real-time scheduler");
  }
  if (limits.cpu_realtime_period && limits.cpu_realtime_runtime && *limits.cpu_realtime_runtime > 0 &&
      static_cast<uint64_t>(*limits.cpu_realtime_runtime) > *limits.cpu_realtime_period) {
    return invalid("cpu real-time runtime cannot be higher than cpu real-time period");
  }
  return {};
}

Result<void> check_cpuset(const CgroupFeatures& features, CgroupLimits& limits, Warnings& warnings) {
  if (limits.cpuset_cpus.empty() && limits.cpuset_mems.empty()) return {};
  if (!features.cpuset) {
    not_supported(warnings, "cpuset", "CPUset discarded.");
    limits.cpuset_cpus.clear();
    limits.cpuset_mems.clear();
    return {};
  }
  for (const std::string* list : {&limits.cpuset_cpus, &limits.cpuset_mems}) {
    if (parse_cpu_list(*list)) continue;
    return invalid(
        fmt::format("Invalid value {} for cpuset {}", *list, list == &limits.cpuset_cpus ? "cpus" : "mems"));
  }
  if (!is_cpu_subset(limits.cpuset_cpus, features.available_cpus)) {
    return invalid(fmt::format("Requested CPUs are not available - requested {}, available: {}",
                               limits.cpuset_cpus, features.available_cpus));
  }
  if (!is_cpu_subset(limits.cpuset_mems, features.available_mems)) {
    return invalid(fmt::format("Requested memory nodes are not available - requested {}, available: {}",
                               limits.cpuset_mems, features.available_mems));
  }
  return {};
}

Result<void> check_block_io(const CgroupFeatures& features, CgroupLimits& limits, Warnings& warnings) {
  if (limits.blkio_weight && *limits.blkio_weight == 0) limits.blkio_weight.reset();
  if (limits.blkio_weight && !features.blkio_weight) {
    not_supported(warnings, "Block I/O weight", "Weight discarded.");
    limits.blkio_weight.reset();
  }
  if (limits.blkio_weight && (*limits.blkio_weight < 10 || *limits.blkio_weight > 1000)) {
    return invalid("range of blkio weight is from 10 to 1000");
  }
  if (!limits.blkio_weight_device.empty() && !features.blkio_weight_device) {
    not_supported(warnings, "Block I/O weight_device", "Weight-device discarded.");
    limits.blkio_weight_device.clear();
  }
  for (const auto& device : limits.blkio_weight_device) {
    if (device.weight < 10 || device.weight > 1000)
      return invalid("range of blkio weight is from 10 to 1000");
  }
  auto throttle = [&](std::vector<DeviceThrottle>& devices, std::string_view what, std::string_view kind) {
    if (devices.empty() || features.blkio_throttle) return;
    not_supported(warnings, what, fmt::format("Block I/O {} limit discarded.", kind));
    devices.clear();
  };
  throttle(limits.read_bps, "BPS Block I/O read limit", "BPS read");
  throttle(limits.write_bps, "BPS Block I/O write limit", "BPS write");
  throttle(limits.read_iops, "IOPS Block read limit", "IOPS read");
  throttle(limits.write_iops, "IOPS Block write limit", "IOPS write");
  return {};
}

Result<void> check_devices(const CgroupFeatures& features, CgroupLimits& limits, Warnings& warnings) {
  for (const auto& rule : limits.devices) {
    bool known_type = rule.type == 'a' || rule.type == 'b' || rule.type == 'c';
    bool known_access = !rule.access.empty() && rule.access.find_first_not_of("rwm") == std::string::npos;
    bool in_range = (!rule.major || (*rule.major >= 0 && *rule.major <= UINT32_MAX)) &&
                    (!rule.minor || (*rule.minor >= 0 && *rule.minor <= UINT32_MAX));
    if (!known_type || (rule.type != 'a' && !known_access) || !in_range) {
      return invalid(
          fmt::format("invalid device cgroup rule: type '{}', access '{}'", rule.type, rule.access));
    }
  }
  if (!limits.devices.empty() && !features.devices) {
    not_supported(warnings, "device access rules", "Devices are guarded by capabilities alone.");
    limits.devices.clear();
  }
  return {};
}

/// What docker has no words for: an OCI configuration asks for it, and gets it or a refusal.
Result<void> check_network_and_rdma(const CgroupFeatures& features, const CgroupLimits& limits) {
  auto missing = [](std::string_view what, std::string_view controller) {
    return failure(Kind::Unsupported, "{} needs the cgroup controller {}, which this host has not mounted",
                   what, controller);
  };
  if (limits.network_class && !features.network_class) return missing("network.classID", "net_cls");
  if (!limits.network_priorities.empty() && !features.network_priorities)
    return missing("network.priorities", "net_prio");
  if (!limits.rdma.empty() && !features.rdma) return missing("rdma", "rdma");
  for (const auto& [interface, priority] : limits.network_priorities)
    if (interface.empty() || interface.find_first_of(" \n") != interface.npos)
      return invalid(fmt::format("invalid interface name \"{}\" in network.priorities", interface));
  for (const auto& [device, values] : limits.rdma)
    if (device.empty() || device.find_first_of(" \n") != device.npos)
      return invalid(fmt::format("invalid device name \"{}\" in rdma", device));
  return {};
}

Result<void> check_rest(const CgroupFeatures& features, CgroupLimits& limits, Warnings& warnings) {
  if (limits.pids && *limits.pids != 0 && !features.pids) {
    // Unlimited is what an absent controller gives.
    if (*limits.pids > 0) not_supported(warnings, "PIDs limit capabilities", "PIDs limit discarded.");
    limits.pids.reset();
  }
  if (!limits.hugepages.empty() && !features.hugepages) {
    not_supported(warnings, "huge page limits", "Limitation discarded.");
    limits.hugepages.clear();
  }
  for (const auto& [size, bytes] : limits.hugepages) {
    bool plain = !size.empty() && std::all_of(size.begin(), size.end(), [](unsigned char c) {
      return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
    });
    if (!plain) return invalid(fmt::format("invalid huge page size: {}", size));
  }
  CHECK(check_network_and_rdma(features, limits));
  if (limits.unified.empty()) return {};
  if (features.version != CgroupVersion::V2) {
    return Error(Kind::Unsupported,
                 "invalid configuration: cgroup \"unified\" settings need a host with cgroup v2 alone");
  }
  for (const auto& [file, value] : limits.unified) {
    if (file.find('/') != file.npos || file.find('.') == file.npos || file.starts_with("cgroup.")) {
      return invalid(
          fmt::format("unified resource \"{}\" must be a file name, with a controller's prefix", file));
    }
  }
  return {};
}

}  // namespace

void CgroupLimits::set_nano_cpus(int64_t nano_cpus) {
  if (nano_cpus <= 0) return;
  constexpr int64_t kPeriod = 100'000;
  constexpr int64_t kLongestPeriod = 1'000'000;
  constexpr int64_t kLeastQuota = 1000;
  // The kernel takes no quota below a millisecond: what is smaller gets a longer period instead.
  int64_t quota = nano_cpus / (1'000'000'000 / kPeriod);
  int64_t period = quota >= kLeastQuota ? kPeriod : kLeastQuota * 1'000'000'000 / nano_cpus;
  cpu_period = static_cast<uint64_t>(std::min(period, kLongestPeriod));
  cpu_quota = std::max(quota, kLeastQuota);
}

Result<std::vector<std::string>> check_limits(const CgroupFeatures& features, CgroupLimits& limits) {
  Warnings warnings;
  CHECK(check_memory(features, limits, warnings));
  CHECK(check_memory_behaviour(features, limits, warnings));
  CHECK(check_cpu(features, limits, warnings));
  CHECK(check_cpuset(features, limits, warnings));
  CHECK(check_block_io(features, limits, warnings));
  CHECK(check_devices(features, limits, warnings));
  CHECK(check_rest(features, limits, warnings));
  return warnings;
}

}  // namespace berth::sys
