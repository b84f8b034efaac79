// Planning how the kernel runs a process: scheduler, I/O priority, cpus, memory policy, execution domain.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "launch/plan_builder.h"
#include "spec/runtime.h"

namespace berth::launch {

/// A list as cpusets have it ("0-3,7") as bits in words of eight bytes. InvalidArgument.
Result<std::string> parse_number_set(std::string_view list);

/// Scheduler and I/O priority of a process; InvalidArgument for names that the kernel does not have.
Result<void> plan_scheduling(PlanBuilder& builder, const spec::Process& process);
/// Empty: nothing.
Result<void> plan_affinity(PlanBuilder& builder, std::string_view cpus);
/// All cpus that the process's groups allow: it does not inherit what its creator was bound to.
void plan_every_cpu(PlanBuilder& builder);
Result<void> plan_memory_policy(PlanBuilder& builder, const spec::MemoryPolicy& policy);
/// "LINUX", "LINUX32"; empty: nothing.
Result<void> plan_personality(PlanBuilder& builder, std::string_view domain);

}  // namespace berth::launch
