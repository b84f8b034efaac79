// docker update.
#include "base/format.h"
#include "engine/container_limits.h"
#include "engine/core.h"
#include "engine/plan_container.h"
#include "engine/validate.h"

namespace berth::engine {
namespace {

/// Fields that were given replace; zero and empty ones leave things as they are (docker's UpdateContainer).
spec::ContainerResources updated(const spec::ContainerResources& present,
                                 const spec::ContainerResources& change) {
  spec::ContainerResources next = present;
  auto take = [](auto& field, const auto& value) {
    if (value != std::decay_t<decltype(value)>{}) field = value;
  };
  take(next.blkio_weight, change.blkio_weight);
  take(next.cpu_shares, change.cpu_shares);
  take(next.cpu_period, change.cpu_period);
  take(next.cpu_quota, change.cpu_quota);
  take(next.cpuset_cpus, change.cpuset_cpus);
  take(next.cpuset_mems, change.cpuset_mems);
  take(next.memory, change.memory);
  take(next.memory_swap, change.memory_swap);
  take(next.memory_reservation, change.memory_reservation);
  take(next.cpu_realtime_period, change.cpu_realtime_period);
  take(next.cpu_realtime_runtime, change.cpu_realtime_runtime);
  if (change.nano_cpus != 0) {
    next.nano_cpus = change.nano_cpus;
    next.cpu_period = 0;
    next.cpu_quota = 0;
  }
  // 0 and less: no limit any more, which `inspect` shows as 0.
  if (change.pids_limit) next.pids_limit = std::max<int64_t>(0, *change.pids_limit);
  return next;
}

Result<void> check_conflicts(const spec::ContainerResources& present,
                             const spec::ContainerResources& change) {
  if (change.nano_cpus != 0 && (change.cpu_period != 0 || change.cpu_quota != 0)) {
    return Error(Kind::InvalidArgument,
                 "Conflicting options: Nano CPUs and CPU Period/Quota cannot both be set.");
  }
  if (present.nano_cpus != 0 && change.cpu_period != 0) {
    return Error(Kind::InvalidArgument,
                 "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set");
  }
  if (present.nano_cpus != 0 && change.cpu_quota != 0) {
    return Error(Kind::InvalidArgument,
                 "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set");
  }
  bool beyond_swap = change.memory != 0 && change.memory_swap == 0 && present.memory_swap > 0 &&
                     change.memory > present.memory_swap;
  if (beyond_swap) {
    return Error(
        Kind::InvalidArgument,
        "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same "
        "time");
  }
  return {};
}

}  // namespace

io::Task<Result<std::vector<std::string>>> Containers::update(std::string reference,
                                                              spec::UpdateRequest request) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  io::Mutex::Guard guard = co_await container->operation.lock();
  ContainerRecord& record = container->record;
  if (container->removed || record.state.status == Status::Removing || record.state.status == Status::Dead) {
    co_return failure(Kind::WrongState,
                      "Cannot update container {}: container is marked for removal and cannot be \"update\"",
                      record.id);
  }
  if (request.restart_policy) {
    CO_CHECK(validate_restart_policy(*request.restart_policy));
    bool restarts = !request.restart_policy->name.empty() && request.restart_policy->name != "no";
    if (record.host_config.auto_remove && restarts) {
      co_return Error(Kind::WrongState,
                      "Restart policy cannot be updated because AutoRemove is enabled for the container");
    }
  }
  CO_CHECK(check_conflicts(record.host_config.resources, request.resources));
  spec::ContainerResources next = updated(record.host_config.resources, request.resources);
  // Device rules do not change with an update: none are written.
  CO_TRY(sys::CgroupLimits limits, limits_of(next, {}));
  if (request.resources.pids_limit && *request.resources.pids_limit <= 0) limits.pids = -1;
  std::vector<std::string> warnings;
  if (container->run != nullptr && container->run->cgroup != nullptr) {
    auto applied = container->run->cgroup->apply(limits);
    if (!applied) co_return std::move(applied).error().in("Cannot update container " + record.id);
    warnings = std::move(*applied);
  } else {
    CO_TRY(warnings, sys::check_limits(core_.cgroups->features(), limits));
  }
  std::vector<std::string> rounded = rounding_warnings(next);
  warnings.insert(warnings.end(), rounded.begin(), rounded.end());
  record.host_config.resources = std::move(next);
  if (request.restart_policy && !request.restart_policy->name.empty()) {
    record.host_config.restart_policy = *request.restart_policy;
  }
  core_.save_definition(record);
  core_.publish(record, "update");
  co_return warnings;
}

}  // namespace berth::engine
