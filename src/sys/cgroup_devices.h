// Device access rules for cgroup v2: the list of rules becomes a BPF program of type CGROUP_DEVICE, which the
// kernel asks at every open and mknod of a device node. Building the program is pure.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "sys/cgroup.h"

namespace berth::sys {

/// What a list of rules comes to, under the semantics of the v1 controller: a default, and exceptions.
struct DeviceAccess {
  struct Exception {
    char type = 'c';
    std::optional<int64_t> major;
    std::optional<int64_t> minor;
    uint32_t access = 0;  ///< BPF_DEVCG_ACC_* bits
    bool operator==(const Exception&) const = default;
  };
  bool allow_by_default = true;
  std::vector<Exception> exceptions;
  bool operator==(const DeviceAccess&) const = default;
};

DeviceAccess reduce_device_rules(const std::vector<DeviceAccessRule>& rules);
std::vector<bpf_insn> device_program(const DeviceAccess& access);

/// Puts the rules in force for the group whose directory is given, in place of earlier ones. Loaded programs
/// are kept and shared, since most containers have the same rules. Unsupported on kernels before 4.15.
Result<void> attach_device_rules(int directory, const std::vector<DeviceAccessRule>& rules);

}  // namespace berth::sys
