// A container's control group by systemd: a scope of its own (--systemd-cgroup), on hosts with cgroup v2
// alone.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>

#include "apps/runtime/container.h"
#include "apps/runtime/settings.h"
#include "base/result.h"
#include "spec/runtime.h"
#include "sys/cgroup.h"

namespace berth::runtime {

/// A scope begins with a process and ends with its last one: this one stands in until the container's is in
/// it. Goes when destroyed, and with its maker.
class StandIn {
 public:
  StandIn() = default;
  static Result<StandIn> make();
  StandIn(StandIn&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  StandIn& operator=(StandIn&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }
  ~StandIn();
  pid_t pid() const { return pid_; }

 private:
  explicit StandIn(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
};

/// The scope that a new container's configuration asks for, with its limits; in the record, and saved.
/// `stand_in` must live until a process is in the group. Unsupported: this host has cgroup v1. Unavailable:
/// no systemd answers.
Result<std::unique_ptr<sys::Cgroup>> make_scope(const Settings& settings, Container& container,
                                                const spec::RuntimeSpec& spec,
                                                const sys::CgroupLimits& limits, StandIn& stand_in);

/// The group of a scope, by its path in the hierarchy. Null when it is gone.
Result<std::unique_ptr<sys::Cgroup>> open_scope_group(const std::string& path);

/// An ordinary user may move a process only within what he owns of the hierarchy, and a login's session is
/// not in it: from there this process goes to a scope of its own beside the container's, from which its
/// children can enter that.
Result<void> come_near_scope(const Record& record);

/// systemd's limits of a container that has a scope follow. The group's own are the caller's affair.
Result<void> change_scope(const Record& record, const sys::CgroupLimits& limits);
/// Ends a scope, if the container has one.
Result<void> end_scope(const Record& record);

}  // namespace berth::runtime
