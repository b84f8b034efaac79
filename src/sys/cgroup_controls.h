// CgroupControls: what is done to one group again and again while its processes work (freeze, thaw, read its
// peak memory and its CPU time), by descriptors that are opened once: one system call each, no path look-ups.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "sys/cgroup.h"
#include "sys/fd.h"

namespace berth::sys {

class CgroupControls {
 public:
  /// Files that this host does not have are left out: their counts are 0, freeze() is Unsupported.
  static CgroupControls open(const Cgroup& group);

  /// Asks for it and returns; the kernel stops the processes within microseconds.
  Result<void> freeze();
  Result<void> thaw();
  /// Bytes, since the group was made.
  uint64_t memory_peak() const;
  uint64_t cpu_microseconds() const;

 private:
  Result<void> write_state(const char* value) const;
  UniqueFd freezer_;
  UniqueFd memory_peak_;
  UniqueFd cpu_;
  bool unified_freezer_ = false;
  bool unified_cpu_ = false;
};

/// Bytes of the group's memory that are pages of a tmpfs; 0 where that is not told.
uint64_t shared_memory_of(const Cgroup& group);

/// Tells when a group's memory in use passes a bound (cgroup v1: memory.usage_in_bytes behind
/// cgroup.event_control).
class MemoryWatch {
 public:
  /// Opens what it takes; nothing is told before arm(). Unsupported on hosts without cgroup v1.
  static Result<MemoryWatch> prepare(const Cgroup& group, uint64_t bytes);
  /// Takes the kernel an RCU grace period (5 to 12 ms): on a worker thread.
  Result<void> arm() const;
  /// An eventfd: readable when the bound is passed, and when the group goes.
  int fd() const { return event_.get(); }

 private:
  UniqueFd event_, usage_, control_;
  std::string order_;
};

}  // namespace berth::sys
