// Limits as file writes.
#include "sys/cgroup_plan.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/format.h"

namespace berth::sys {
namespace {

constexpr char kNoSwapWarning[] =
    "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited "
    "without "
    "swap.";
constexpr char kNoWeightWarning[] =
    "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.";
constexpr char kNoWeightDeviceWarning[] =
    "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device "
    "discarded.";

constexpr char kNoReservationWarning[] =
    "Your kernel does not account huge page reservations. Their use is limited, their reservation is not.";

uint64_t as_limit(int64_t value) {
  return value < 0 ? UINT64_MAX : static_cast<uint64_t>(value);
}

std::string max_or(int64_t value) {
  return value < 0 ? "max" : fmt::to_string(value);
}

std::string device_value(int64_t major, int64_t minor, uint64_t value) {
  return fmt::format("{}:{} {}", major, minor, value);
}

class Writes {
 public:
  void add(std::string_view controller, std::string_view file, std::string value, std::string warning = {}) {
    writes_.push_back({controller, std::string(file), std::move(value), {}, {}, std::move(warning)});
  }
  void add_with_alternative(CgroupWrite write) { writes_.push_back(std::move(write)); }
  std::vector<CgroupWrite> take() { return std::move(writes_); }

 private:
  std::vector<CgroupWrite> writes_;
};

void plan_v1_memory(const CgroupLimits& limits, const MemoryInForce& in_force, Writes& writes) {
  auto memory = [&] {
    if (limits.memory) writes.add("memory", "memory.limit_in_bytes", fmt::to_string(*limits.memory));
  };
  auto swap = [&] {
    if (!limits.memory_swap) return;
    writes.add("memory", "memory.memsw.limit_in_bytes", fmt::to_string(*limits.memory_swap), kNoSwapWarning);
  };
  // The kernel refuses memory > memory+swap: raise the outer limit first, lower the inner one first.
  if (limits.memory && limits.memory_swap && as_limit(*limits.memory) > in_force.memory_swap) {
    swap();
    memory();
  } else {
    memory();
    swap();
  }
  if (limits.memory_reservation) {
    writes.add("memory", "memory.soft_limit_in_bytes", fmt::to_string(*limits.memory_reservation));
  }
  if (limits.swappiness) writes.add("memory", "memory.swappiness", fmt::to_string(*limits.swappiness));
  if (limits.oom_kill_disable) {
    writes.add("memory", "memory.oom_control", *limits.oom_kill_disable ? "1" : "0");
  }
}

void plan_v1_cpu(const CgroupLimits& limits, Writes& writes) {
  if (limits.cpu_idle) writes.add("cpu", "cpu.idle", fmt::to_string(*limits.cpu_idle));
  if (limits.cpu_shares) writes.add("cpu", "cpu.shares", fmt::to_string(*limits.cpu_shares));
  if (limits.cpu_period) writes.add("cpu", "cpu.cfs_period_us", fmt::to_string(*limits.cpu_period));
  if (limits.cpu_quota) writes.add("cpu", "cpu.cfs_quota_us", fmt::to_string(*limits.cpu_quota));
  if (limits.cpu_burst) writes.add("cpu", "cpu.cfs_burst_us", fmt::to_string(*limits.cpu_burst));
  if (limits.cpu_realtime_period) {
    writes.add("cpu", "cpu.rt_period_us", fmt::to_string(*limits.cpu_realtime_period));
  }
  if (limits.cpu_realtime_runtime) {
    writes.add("cpu", "cpu.rt_runtime_us", fmt::to_string(*limits.cpu_realtime_runtime));
  }
}

void plan_cpuset(std::string_view controller, const CgroupLimits& limits, Writes& writes) {
  if (!limits.cpuset_cpus.empty()) writes.add(controller, "cpuset.cpus", limits.cpuset_cpus);
  if (!limits.cpuset_mems.empty()) writes.add(controller, "cpuset.mems", limits.cpuset_mems);
}

void plan_v1_block_io(const CgroupLimits& limits, Writes& writes) {
  if (limits.blkio_weight) {
    std::string weight = fmt::to_string(*limits.blkio_weight);
    writes.add_with_alternative(
        {"blkio", "blkio.weight", weight, "blkio.bfq.weight", weight, kNoWeightWarning});
  }
  if (limits.blkio_leaf_weight)
    writes.add("blkio", "blkio.leaf_weight", fmt::to_string(*limits.blkio_leaf_weight),
               "Your kernel does not support Block I/O leaf weight. Leaf weight discarded.");
  for (const auto& device : limits.blkio_weight_device) {
    std::string value = device_value(device.major, device.minor, device.weight);
    writes.add_with_alternative(
        {"blkio", "blkio.weight_device", value, "blkio.bfq.weight_device", value, kNoWeightDeviceWarning});
  }
  auto throttle = [&](std::string_view file, const std::vector<DeviceThrottle>& devices) {
    for (const auto& device : devices) {
      writes.add("blkio", file, device_value(device.major, device.minor, device.rate));
    }
  };
  throttle("blkio.throttle.read_bps_device", limits.read_bps);
  throttle("blkio.throttle.write_bps_device", limits.write_bps);
  throttle("blkio.throttle.read_iops_device", limits.read_iops);
  throttle("blkio.throttle.write_iops_device", limits.write_iops);
}

void plan_v1_devices(const CgroupLimits& limits, Writes& writes) {
  auto number = [](const std::optional<int64_t>& value) { return value ? fmt::to_string(*value) : "*"; };
  for (const auto& rule : limits.devices) {
    std::string value = "a";
    if (rule.type != 'a') {
      value = fmt::format("{} {}:{} {}", rule.type, number(rule.major), number(rule.minor), rule.access);
    }
    writes.add("devices", rule.allow ? "devices.allow" : "devices.deny", std::move(value));
  }
}

void plan_v2_memory(const CgroupLimits& limits, Writes& writes) {
  if (limits.memory_swap) {
    // v2 counts swap apart from memory.
    int64_t swap = *limits.memory_swap;
    if (swap >= 0 && limits.memory && *limits.memory >= 0) swap = std::max<int64_t>(0, swap - *limits.memory);
    writes.add("", "memory.swap.max", max_or(swap), kNoSwapWarning);
  }
  if (limits.memory) writes.add("", "memory.max", max_or(*limits.memory));
  if (limits.memory_reservation) writes.add("", "memory.low", max_or(*limits.memory_reservation));
}

void plan_v2_cpu(const CgroupLimits& limits, Writes& writes) {
  if (limits.cpu_shares && *limits.cpu_shares != 0) {
    writes.add("", "cpu.weight", fmt::to_string(cpu_weight_of_shares(*limits.cpu_shares)));
  }
  if (limits.cpu_idle) writes.add("", "cpu.idle", fmt::to_string(*limits.cpu_idle));
  if (limits.cpu_burst) writes.add("", "cpu.max.burst", fmt::to_string(*limits.cpu_burst));
  if (!limits.cpu_quota && !limits.cpu_period) return;
  std::string value = limits.cpu_quota && *limits.cpu_quota > 0 ? fmt::to_string(*limits.cpu_quota) : "max";
  if (limits.cpu_period) value += fmt::format(" {}", *limits.cpu_period);
  writes.add("", "cpu.max", std::move(value));
}

void plan_v2_block_io(const CgroupLimits& limits, Writes& writes) {
  if (limits.blkio_weight) {
    writes.add_with_alternative({"", "io.bfq.weight", fmt::to_string(*limits.blkio_weight), "io.weight",
                                 fmt::format("default {}", io_weight_of_blkio(*limits.blkio_weight)),
                                 kNoWeightWarning});
  }
  for (const auto& device : limits.blkio_weight_device) {
    writes.add_with_alternative({"", "io.bfq.weight", device_value(device.major, device.minor, device.weight),
                                 "io.weight",
                                 device_value(device.major, device.minor, io_weight_of_blkio(device.weight)),
                                 kNoWeightDeviceWarning});
  }
  auto throttle = [&](std::string_view key, const std::vector<DeviceThrottle>& devices) {
    for (const auto& device : devices) {
      std::string rate = device.rate == 0 ? "max" : fmt::to_string(device.rate);
      writes.add("", "io.max", fmt::format("{}:{} {}={}", device.major, device.minor, key, rate));
    }
  };
  throttle("rbps", limits.read_bps);
  throttle("wbps", limits.write_bps);
  throttle("riops", limits.read_iops);
  throttle("wiops", limits.write_iops);
}

}  // namespace

std::vector<CgroupWrite> plan_v1_limits(const CgroupLimits& limits, const MemoryInForce& in_force) {
  Writes writes;
  plan_v1_memory(limits, in_force, writes);
  plan_v1_cpu(limits, writes);
  plan_cpuset("cpuset", limits, writes);
  if (limits.pids) writes.add("pids", "pids.max", *limits.pids <= 0 ? "max" : fmt::to_string(*limits.pids));
  plan_v1_block_io(limits, writes);
  plan_v1_devices(limits, writes);
  for (const auto& [size, bytes] : limits.hugepages) {
    writes.add("hugetlb", fmt::format("hugetlb.{}.limit_in_bytes", size), fmt::to_string(bytes));
    writes.add("hugetlb", fmt::format("hugetlb.{}.rsvd.limit_in_bytes", size), fmt::to_string(bytes),
               kNoReservationWarning);
  }
  if (limits.network_class) writes.add("net_cls", "net_cls.classid", fmt::to_string(*limits.network_class));
  for (const auto& [interface, priority] : limits.network_priorities)
    writes.add("net_prio", "net_prio.ifpriomap", fmt::format("{} {}", interface, priority));
  for (const auto& [device, values] : limits.rdma)
    writes.add("rdma", "rdma.max", fmt::format("{} {}", device, values));
  return writes.take();
}

std::vector<CgroupWrite> plan_v2_limits(const CgroupLimits& limits) {
  Writes writes;
  plan_v2_memory(limits, writes);
  plan_v2_cpu(limits, writes);
  plan_cpuset("", limits, writes);
  if (limits.pids) writes.add("", "pids.max", *limits.pids <= 0 ? "max" : fmt::to_string(*limits.pids));
  plan_v2_block_io(limits, writes);
  for (const auto& [size, bytes] : limits.hugepages) {
    writes.add("", fmt::format("hugetlb.{}.max", size), fmt::to_string(bytes));
    writes.add("", fmt::format("hugetlb.{}.rsvd.max", size), fmt::to_string(bytes), kNoReservationWarning);
  }
  for (const auto& [device, values] : limits.rdma)
    writes.add("", "rdma.max", fmt::format("{} {}", device, values));
  for (const auto& [file, value] : limits.unified) writes.add("", file, value);
  return writes.take();
}

uint64_t cpu_weight_of_shares(uint64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  double l = std::log2(static_cast<double>(shares));
  double exponent = (l * l + 125 * l) / 612.0 - 7.0 / 34.0;
  return std::clamp<uint64_t>(static_cast<uint64_t>(std::ceil(std::pow(10, exponent))), 1, 10000);
}

uint64_t io_weight_of_blkio(uint16_t weight) {
  uint64_t clamped = std::clamp<uint64_t>(weight, 10, 1000);
  return 1 + (clamped - 10) * 9999 / 990;
}

std::optional<std::vector<unsigned>> parse_cpu_list(std::string_view text) {
  constexpr unsigned kHighest = 65535;
  std::vector<unsigned> numbers;
  while (!text.empty()) {
    size_t comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
    if (comma != text.npos && text.empty() && part.empty()) return std::nullopt;
    unsigned first = 0;
    const char* end = part.data() + part.size();
    auto [after, status] = std::from_chars(part.data(), end, first);
    unsigned last = first;
    if (status == std::errc() && after != end && *after == '-') {
      auto second = std::from_chars(after + 1, end, last);
      after = second.ptr;
      status = second.ec;
    }
    if (status != std::errc() || after != end || last < first || last > kHighest) return std::nullopt;
    for (unsigned number = first; number <= last; ++number) numbers.push_back(number);
    if (numbers.size() > kHighest) return std::nullopt;
  }
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

bool is_cpu_subset(std::string_view wanted, std::string_view available) {
  auto wanted_numbers = parse_cpu_list(wanted);
  auto available_numbers = parse_cpu_list(available);
  if (!wanted_numbers || !available_numbers) return false;
  return std::includes(available_numbers->begin(), available_numbers->end(), wanted_numbers->begin(),
                       wanted_numbers->end());
}

}  // namespace berth::sys
