// Resource limits.
#include "engine/container_limits.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/format.h"

namespace berth::engine {
namespace {

constexpr int64_t smallest_memory = 6 << 20;

Result<std::pair<int64_t, int64_t>> device_numbers(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return Error::from_errno("block device", path, errno);
  if (!S_ISBLK(status.st_mode)) return failure(Kind::InvalidArgument, "{}: not a block device", path);
  return std::pair<int64_t, int64_t>(major(status.st_rdev), minor(status.st_rdev));
}

Result<std::vector<sys::DeviceThrottle>> throttles(const std::vector<spec::BlkioRateDevice>& devices) {
  std::vector<sys::DeviceThrottle> limits;
  for (const spec::BlkioRateDevice& device : devices) {
    TRY(auto numbers, device_numbers(device.path));
    limits.push_back({numbers.first, numbers.second, device.rate});
  }
  return limits;
}

Result<void> check_memory(const spec::ContainerResources& resources) {
  if (resources.memory != 0 && resources.memory < smallest_memory) {
    return Error(Kind::InvalidArgument, "Minimum memory limit allowed is 6MB");
  }
  if (resources.memory > 0 && resources.memory_swap > 0 && resources.memory_swap < resources.memory) {
    return Error(Kind::InvalidArgument,
                 "Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  if (resources.memory == 0 && resources.memory_swap > 0) {
    return Error(Kind::InvalidArgument,
                 "You should always set the Memory limit when using Memoryswap limit, see usage");
  }
  if (resources.memory_swappiness &&
      (*resources.memory_swappiness < -1 || *resources.memory_swappiness > 100)) {
    return failure(Kind::InvalidArgument, "Invalid value: {}, valid memory swappiness range is 0-100",
                   *resources.memory_swappiness);
  }
  if (resources.memory > 0 && resources.memory_reservation > resources.memory) {
    return Error(Kind::InvalidArgument,
                 "Minimum memory limit can not be less than memory reservation limit, see usage");
  }
  if (resources.memory_reservation != 0 && resources.memory_reservation < smallest_memory) {
    return Error(Kind::InvalidArgument, "Minimum memory reservation allowed is 6MB");
  }
  return {};
}

Result<void> check_cpu(const spec::ContainerResources& resources) {
  const int64_t cpus = std::max<int64_t>(1, ::sysconf(_SC_NPROCESSORS_ONLN));
  if (resources.nano_cpus < 0 || resources.nano_cpus > cpus * 1'000'000'000) {
    return failure(Kind::InvalidArgument,
                   "range of CPUs is from 0.01 to {0}.00, as there are only {0} CPUs available", cpus);
  }
  if (resources.nano_cpus > 0 && (resources.cpu_period != 0 || resources.cpu_quota != 0)) {
    std::string_view other = resources.cpu_period != 0 ? "CPU Period" : "CPU Quota";
    return failure(Kind::InvalidArgument, "Conflicting options: Nano CPUs and {} cannot both be set.", other);
  }
  if (resources.cpu_period != 0 && (resources.cpu_period < 1000 || resources.cpu_period > 1'000'000)) {
    return Error(Kind::InvalidArgument,
                 "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  }
  if (resources.cpu_quota > 0 && resources.cpu_quota < 1000) {
    return Error(Kind::InvalidArgument, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
  }
  if (resources.cpu_shares < 0)
    return failure(Kind::InvalidArgument, "invalid CPU shares ({}): value must be a positive integer",
                   resources.cpu_shares);
  return {};
}

Result<void> set_block_io(const spec::ContainerResources& resources, sys::CgroupLimits& limits) {
  if (resources.blkio_weight != 0) {
    if (resources.blkio_weight < 10 || resources.blkio_weight > 1000) {
      return Error(Kind::InvalidArgument, "Range of blkio weight is from 10 to 1000");
    }
    limits.blkio_weight = resources.blkio_weight;
  }
  for (const spec::BlkioWeightDevice& device : resources.blkio_weight_device) {
    TRY(auto numbers, device_numbers(device.path));
    limits.blkio_weight_device.push_back({numbers.first, numbers.second, device.weight});
  }
  TRY(limits.read_bps, throttles(resources.blkio_device_read_bps));
  TRY(limits.write_bps, throttles(resources.blkio_device_write_bps));
  TRY(limits.read_iops, throttles(resources.blkio_device_read_iops));
  TRY(limits.write_iops, throttles(resources.blkio_device_write_iops));
  return {};
}

bool take_device_number(std::string_view text, std::optional<int64_t>& number) {
  if (text == "*") return true;
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) return false;
  number = value;
  return true;
}

}  // namespace

Result<spec::DeviceRule> parse_device_rule(std::string_view text) {
  auto bad = [&] {
    return failure(Kind::InvalidArgument, "invalid device cgroup rule format: '{}'", text.substr(0, 64));
  };
  spec::DeviceRule rule;
  rule.allow = true;
  size_t first = text.find(' ');
  size_t second = first == std::string_view::npos ? first : text.find(' ', first + 1);
  if (first != 1 || second == std::string_view::npos) return bad();
  rule.type = text[0];
  std::string_view numbers = text.substr(2, second - 2);
  std::string_view access = text.substr(second + 1);
  size_t colon = numbers.find(':');
  bool type_ok = rule.type == 'a' || rule.type == 'b' || rule.type == 'c';
  bool access_ok =
      !access.empty() && access.size() <= 3 && access.find_first_not_of("rwm") == std::string_view::npos;
  if (!type_ok || !access_ok || colon == std::string_view::npos ||
      !take_device_number(numbers.substr(0, colon), rule.major) ||
      !take_device_number(numbers.substr(colon + 1), rule.minor)) {
    return bad();
  }
  rule.access = access;
  return rule;
}

std::vector<std::string> rounding_warnings(const spec::ContainerResources& resources) {
  constexpr int64_t least = 1'000'000;  // a millisecond of every second
  if (resources.nano_cpus <= 0 || resources.nano_cpus >= least) return {};
  return {fmt::format(
      "The kernel holds no less than 0.001 CPUs: {} nanoseconds of a second are rounded up to that.",
      resources.nano_cpus)};
}

Result<sys::CgroupLimits> limits_of(const spec::ContainerResources& resources,
                                    const std::vector<spec::DeviceRule>& rules) {
  CHECK(check_memory(resources));
  CHECK(check_cpu(resources));
  sys::CgroupLimits limits;
  if (resources.memory > 0) limits.memory = resources.memory;
  if (resources.memory_reservation > 0) limits.memory_reservation = resources.memory_reservation;
  if (resources.memory_swap != 0) {
    limits.memory_swap = resources.memory_swap;
  } else if (resources.memory > 0 && resources.memory <= INT64_MAX / 2) {
    limits.memory_swap = resources.memory * 2;  // docker: as much swap again as memory
  }
  if (resources.memory_swappiness && *resources.memory_swappiness >= 0) {
    limits.swappiness = static_cast<uint64_t>(*resources.memory_swappiness);
  }
  if (resources.oom_kill_disable.value_or(false)) limits.oom_kill_disable = true;
  if (resources.cpu_shares > 0) limits.cpu_shares = static_cast<uint64_t>(resources.cpu_shares);
  if (resources.nano_cpus > 0) limits.set_nano_cpus(resources.nano_cpus);
  if (resources.cpu_quota != 0) limits.cpu_quota = resources.cpu_quota;
  if (resources.cpu_period > 0) limits.cpu_period = static_cast<uint64_t>(resources.cpu_period);
  if (resources.cpu_realtime_runtime > 0) limits.cpu_realtime_runtime = resources.cpu_realtime_runtime;
  if (resources.cpu_realtime_period > 0)
    limits.cpu_realtime_period = static_cast<uint64_t>(resources.cpu_realtime_period);
  limits.cpuset_cpus = resources.cpuset_cpus;
  limits.cpuset_mems = resources.cpuset_mems;
  if (resources.pids_limit && *resources.pids_limit != 0) limits.pids = *resources.pids_limit;
  CHECK(set_block_io(resources, limits));
  for (const spec::DeviceRule& rule : rules) {
    limits.devices.push_back({rule.allow, rule.type, rule.major, rule.minor, rule.access});
  }
  return limits;
}

}  // namespace berth::engine
