// From resources to limits.
#include "apps/runtime/resources.h"

#include <algorithm>

#include "base/format.h"

namespace berth::runtime {
namespace {

std::vector<sys::DeviceThrottle> throttles(const std::vector<spec::ThrottleDevice>& devices) {
  std::vector<sys::DeviceThrottle> result;
  for (const auto& device : devices) result.push_back({device.major, device.minor, device.rate});
  return result;
}

}  // namespace

sys::CgroupLimits limits_of(const spec::Resources& resources) {
  sys::CgroupLimits limits;
  limits.memory = resources.memory.limit;
  limits.memory_reservation = resources.memory.reservation;
  limits.memory_swap = resources.memory.swap;
  limits.swappiness = resources.memory.swappiness;
  limits.oom_kill_disable = resources.memory.disable_oom_killer;
  // Go's encoders write zeros for what was not asked for.
  if (resources.cpu.shares.value_or(0) != 0) limits.cpu_shares = resources.cpu.shares;
  if (resources.cpu.quota.value_or(0) != 0) limits.cpu_quota = resources.cpu.quota;
  if (resources.cpu.period.value_or(0) != 0) limits.cpu_period = resources.cpu.period;
  if (resources.cpu.realtime_runtime.value_or(0) != 0)
    limits.cpu_realtime_runtime = resources.cpu.realtime_runtime;
  if (resources.cpu.realtime_period.value_or(0) != 0)
    limits.cpu_realtime_period = resources.cpu.realtime_period;
  limits.cpu_burst = resources.cpu.burst;
  limits.cpu_idle = resources.cpu.idle;
  limits.cpuset_cpus = resources.cpu.cpus;
  limits.cpuset_mems = resources.cpu.mems;
  // A limit of zero is a limit (1.3), and the smallest with which anything can run is one.
  limits.pids = resources.pids_limit;
  if (limits.pids == 0) limits.pids = 1;
  if (resources.block_io.weight.value_or(0) != 0) limits.blkio_weight = resources.block_io.weight;
  if (resources.block_io.leaf_weight.value_or(0) != 0)
    limits.blkio_leaf_weight = resources.block_io.leaf_weight;
  for (const auto& device : resources.block_io.weight_device) {
    if (device.weight) limits.blkio_weight_device.push_back({device.major, device.minor, *device.weight});
  }
  limits.read_bps = throttles(resources.block_io.read_bps);
  limits.write_bps = throttles(resources.block_io.write_bps);
  limits.read_iops = throttles(resources.block_io.read_iops);
  limits.write_iops = throttles(resources.block_io.write_iops);
  for (const auto& rule : resources.devices)
    limits.devices.push_back({rule.allow, rule.type, rule.major, rule.minor, rule.access});
  limits.hugepages = resources.hugepage_limits;
  limits.unified = resources.unified;
  if (resources.network.class_id.value_or(0) != 0) limits.network_class = resources.network.class_id;
  limits.network_priorities = resources.network.priorities;
  for (const auto& [device, rdma] : resources.rdma) {
    std::string values;
    if (rdma.handles) values += fmt::format("hca_handle={}", *rdma.handles);
    if (rdma.objects) values += fmt::format("{}hca_object={}", values.empty() ? "" : " ", *rdma.objects);
    if (!values.empty()) limits.rdma[device] = values;
  }
  return limits;
}

Result<const sys::CgroupHost*> group_host() {
  static auto host = sys::CgroupHost::detect();
  if (!host) return host.error();
  return &*host;
}

void remove_own_parent(const std::string& group) {
  if (!group.starts_with(std::string(kOwnParent) + "/")) return;
  if (auto host = group_host()) (*host)->remove_parent(kOwnParent);
}

Result<std::string> group_path(const std::string& cgroups_path, const std::string& id) {
  if (cgroups_path.empty()) return fmt::format("{}/{}", kOwnParent, id);
  bool systemd_form = std::count(cgroups_path.begin(), cgroups_path.end(), ':') == 2 &&
                      cgroups_path.find('/') == std::string::npos;
  if (systemd_form)
    return failure(
        Kind::Unsupported,
        "cgroupsPath \"{}\" is of the systemd driver's form: call with --systemd-cgroup, or let the "
        "caller use the cgroupfs driver",
        cgroups_path);
  std::string path;
  std::string_view rest = cgroups_path;
  while (!rest.empty()) {
    size_t slash = rest.find('/');
    std::string_view part = rest.substr(0, slash);
    rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..")
      return failure(Kind::InvalidArgument, "cgroupsPath \"{}\" must not contain \"..\"", cgroups_path);
    path.append("/").append(part);
  }
  if (path.empty()) return failure(Kind::InvalidArgument, "invalid cgroupsPath \"{}\"", cgroups_path);
  return path;
}

}  // namespace berth::runtime
