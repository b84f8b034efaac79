// Compiles a seccomp profile to the kernel's filter language. The filter is a binary search over ranges of
// system call numbers per architecture, so that it stays small: short to load, quick for the program.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "launch/host_facts.h"
#include "spec/runtime.h"

namespace berth::launch {

struct SeccompFilter {
  std::string program;        ///< struct sock_filter[]
  uint32_t flags = 0;         ///< for seccomp(2)
  bool listens = false;       ///< it notifies: loading it gives a listener's descriptor
  uint16_t denial_error = 0;  ///< Denials::Notify: what the listener is to answer
};

/// What the filter does with a call that falls to a default action of SCMP_ACT_ERRNO.
enum class Denials {
  Answer,  ///< the error
  Notify,  ///< asks the listener, which answers the error and can tell which call it was
};

/// The name of a system call, or its number where it has none that we know. `audit`: AUDIT_ARCH_*.
std::string call_name(uint32_t audit, uint32_t number);

/// Whether any architecture has a system call of that name.
bool is_known_call(const std::string& name);

/// Pure, apart from a cache of the last few results. Names that this architecture does not have are passed
/// over; arguments that the kernel takes as 32-bit values are compared as such (CVE-2026-123876: the upper
/// half would be ignored by the kernel, not by a filter). Calls newer than any the profile knows fail with
/// ENOSYS rather than with the default action, so that programs fall back. InvalidArgument for unknown
/// actions, operators, architectures.
Result<std::shared_ptr<const SeccompFilter>> compile_seccomp(const spec::Seccomp& profile, Architecture host,
                                                             Denials denials = Denials::Answer);

}  // namespace berth::launch
