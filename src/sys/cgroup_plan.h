// From limits to file writes: pure. What is asked for becomes an ordered list of {controller, file, value}
// for v1 or v2; cgroup_v1.cc and cgroup_v2.cc perform it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sys/cgroup.h"

namespace berth::sys {

/// One write(2) to one file of a group.
struct CgroupWrite {
  std::string_view controller;  ///< v1: decides the hierarchy; "" in v2
  std::string file;
  std::string value;
  /// Where `file` does not exist, this one is written instead (blkio.bfq.weight for blkio.weight).
  std::string alternative;
  std::string alternative_value;
  /// With neither file there: told to the user instead of failing. Empty: failing.
  std::string warning_if_missing;
};

/// Memory limits in force, for the order in which v1 accepts new ones (memory <= memory+swap at all times).
struct MemoryInForce {
  uint64_t memory = UINT64_MAX;
  uint64_t memory_swap = UINT64_MAX;
};

std::vector<CgroupWrite> plan_v1_limits(const CgroupLimits& limits, const MemoryInForce& in_force);
/// Device rules are not among the writes: v2 takes a BPF program (cgroup_devices.h).
std::vector<CgroupWrite> plan_v2_limits(const CgroupLimits& limits);

/// cpu.weight (1..10000) for cpu.shares (2..262144): 2 -> 1, 1024 -> 100, 262144 -> 10000. The curve of
/// runc 1.3.2 and crun 1.23, under which docker's default keeps the kernel's default.
uint64_t cpu_weight_of_shares(uint64_t shares);
/// io.weight (1..10000) for blkio.weight (10..1000).
uint64_t io_weight_of_blkio(uint16_t weight);

/// The numbers of a kernel list like "0-2,7"; nullopt when malformed or beyond 65535.
std::optional<std::vector<unsigned>> parse_cpu_list(std::string_view text);
/// Whether every number of `wanted` is in `available`.
bool is_cpu_subset(std::string_view wanted, std::string_view available);

}  // namespace berth::sys
