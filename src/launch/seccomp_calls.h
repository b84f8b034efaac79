// System calls by name and number, per architecture: libseccomp's tables, and what is newer than they are.
#pragma once

#include <linux/audit.h>
#include <seccomp.h>

#include <cstdint>
#include <optional>
#include <string>

#include "launch/host_facts.h"

namespace berth::launch {

constexpr uint32_t kX32Bit = 0x40000000;

/// An architecture that a filter can be for.
struct SeccompTarget {
  const char* name;  ///< as profiles have it
  Architecture host;
  uint32_t audit;
  uint32_t seccomp;  ///< libseccomp's token
};

constexpr SeccompTarget kSeccompTargets[] = {
    {"SCMP_ARCH_X86_64", Architecture::X86_64, AUDIT_ARCH_X86_64, SCMP_ARCH_X86_64},
    {"SCMP_ARCH_X86", Architecture::X86_64, AUDIT_ARCH_I386, SCMP_ARCH_X86},
    {"SCMP_ARCH_X32", Architecture::X86_64, AUDIT_ARCH_X86_64, SCMP_ARCH_X32},
    {"SCMP_ARCH_AARCH64", Architecture::Aarch64, AUDIT_ARCH_AARCH64, SCMP_ARCH_AARCH64},
    {"SCMP_ARCH_ARM", Architecture::Aarch64, AUDIT_ARCH_ARM, SCMP_ARCH_ARM},
};

/// Nothing when the architecture does not have it.
std::optional<uint32_t> call_number(const std::string& name, const SeccompTarget& target);

}  // namespace berth::launch
