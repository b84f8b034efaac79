// The names of scheduling, as numbers.
#include "launch/scheduling_plan.h"

#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <sys/personality.h>

#include <charconv>
#include <cstring>
#include <span>

#include "base/format.h"

namespace berth::launch {
namespace {

struct Name {
  std::string_view name;
  uint64_t value;
};

constexpr Name kPolicies[] = {
    {"SCHED_OTHER", SCHED_NORMAL},     {"SCHED_FIFO", SCHED_FIFO}, {"SCHED_RR", SCHED_RR},
    {"SCHED_BATCH", SCHED_BATCH},      {"SCHED_ISO", 4},           {"SCHED_IDLE", SCHED_IDLE},
    {"SCHED_DEADLINE", SCHED_DEADLINE}};
constexpr Name kSchedulerFlags[] = {{"SCHED_FLAG_RESET_ON_FORK", 0x01}, {"SCHED_FLAG_RECLAIM", 0x02},
                                    {"SCHED_FLAG_DL_OVERRUN", 0x04},    {"SCHED_FLAG_KEEP_POLICY", 0x08},
                                    {"SCHED_FLAG_KEEP_PARAMS", 0x10},   {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
                                    {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40}};
constexpr Name kIoClasses[] = {{"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}};
constexpr Name kMemoryModes[] = {{"MPOL_DEFAULT", 0},
                                 {"MPOL_PREFERRED", 1},
                                 {"MPOL_BIND", 2},
                                 {"MPOL_INTERLEAVE", 3},
                                 {"MPOL_LOCAL", 4},
                                 {"MPOL_PREFERRED_MANY", 5},
                                 {"MPOL_WEIGHTED_INTERLEAVE", 6}};
constexpr Name kMemoryFlags[] = {{"MPOL_F_NUMA_BALANCING", 1u << 13},
                                 {"MPOL_F_RELATIVE_NODES", 1u << 14},
                                 {"MPOL_F_STATIC_NODES", 1u << 15}};

Result<uint64_t> value_of(std::span<const Name> names, std::string_view name, std::string_view what) {
  for (const Name& each : names)
    if (each.name == name) return each.value;
  return failure(Kind::InvalidArgument, "invalid {}: \"{}\"", what, name);
}

constexpr uint64_t kMostNumbers = 8192;

Result<uint64_t> take_number(std::string_view& text, std::string_view list) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || value >= kMostNumbers)
    return failure(Kind::InvalidArgument, "invalid list of numbers \"{}\"", list);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

}  // namespace

Result<std::string> parse_number_set(std::string_view list) {
  std::string bits;
  std::string_view rest = list;
  while (!rest.empty()) {
    TRY(uint64_t first, take_number(rest, list));
    uint64_t last = first;
    if (rest.starts_with('-')) {
      rest.remove_prefix(1);
      TRY(last, take_number(rest, list));
    }
    if (last < first || (!rest.empty() && rest[0] != ','))
      return failure(Kind::InvalidArgument, "invalid list of numbers \"{}\"", list);
    if (!rest.empty()) rest.remove_prefix(1);
    size_t words = static_cast<size_t>(last / 64 + 1);
    if (bits.size() < words * 8) bits.resize(words * 8);
    for (uint64_t n = first; n <= last; ++n) {
      auto& byte = bits[static_cast<size_t>(n / 8)];
      byte = static_cast<char>(static_cast<unsigned char>(byte) | (1u << (n % 8)));
    }
  }
  return bits;
}

Result<void> plan_scheduling(PlanBuilder& builder, const spec::Process& process) {
  if (process.scheduler) {
    const spec::Scheduler& wanted = *process.scheduler;
    step::SetScheduler step{.nice = wanted.nice,
                            .priority = static_cast<uint32_t>(wanted.priority),
                            .runtime = wanted.runtime,
                            .deadline = wanted.deadline,
                            .period = wanted.period};
    TRY(uint64_t policy, value_of(kPolicies, wanted.policy, "scheduler policy"));
    step.policy = static_cast<uint32_t>(policy);
    for (const auto& flag : wanted.flags) {
      TRY(uint64_t bit, value_of(kSchedulerFlags, flag, "scheduler flag"));
      step.flags |= bit;
    }
    builder.add(step);
  }
  if (process.io_priority) {
    const spec::IoPriority& wanted = *process.io_priority;
    TRY(uint64_t io_class, value_of(kIoClasses, wanted.io_class, "I/O priority class"));
    if (wanted.priority < 0 || wanted.priority > 7)
      return failure(Kind::InvalidArgument, "invalid I/O priority {}: it is a number from 0 to 7",
                     wanted.priority);
    constexpr int kClassShift = 13;
    builder.add(step::SetIoPriority{static_cast<uint32_t>(io_class << kClassShift) |
                                    static_cast<uint32_t>(wanted.priority)});
  }
  return {};
}

Result<void> plan_affinity(PlanBuilder& builder, std::string_view cpus) {
  if (cpus.empty()) return {};
  TRY(std::string mask, parse_number_set(cpus));
  builder.add(step::SetAffinity{builder.blob(mask)});
  return {};
}

void plan_every_cpu(PlanBuilder& builder) {
  constexpr size_t kMostCpus = 8192;
  builder.add(step::SetAffinity{builder.blob(std::string(kMostCpus / 8, '\xff'))});
}

Result<void> plan_memory_policy(PlanBuilder& builder, const spec::MemoryPolicy& policy) {
  TRY(uint64_t mode, value_of(kMemoryModes, policy.mode, "memory policy mode"));
  for (const auto& flag : policy.flags) {
    TRY(uint64_t bit, value_of(kMemoryFlags, flag, "memory policy flag"));
    mode |= bit;
  }
  TRY(std::string nodes, parse_number_set(policy.nodes));
  builder.add(step::SetMemoryPolicy{static_cast<uint32_t>(mode), builder.blob(nodes)});
  return {};
}

Result<void> plan_personality(PlanBuilder& builder, std::string_view domain) {
  if (domain.empty()) return {};
  if (domain != "LINUX" && domain != "LINUX32")
    return failure(Kind::InvalidArgument, "invalid personality domain \"{}\"", domain);
  builder.add(step::SetPersonality{static_cast<uint32_t>(domain == "LINUX" ? PER_LINUX : PER_LINUX32)});
  return {};
}

}  // namespace berth::launch
