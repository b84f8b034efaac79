// Annotations with a meaning.
#include "apps/runtime/annotations.h"

#include <unistd.h>

#include "base/format.h"
#include "launch/seccomp_filter.h"
#include "sys/sub_ids.h"

namespace berth::runtime {
namespace {

bool is_set(const spec::RuntimeSpec& spec, const char* name) {
  auto found = spec.annotations.find(name);
  return found != spec.annotations.end() && found->second != "0" && found->second != "false";
}

}  // namespace

bool keeps_groups(const spec::RuntimeSpec& spec) {
  bool ordinary_user = ::geteuid() != 0 || !sys::in_initial_user_namespace();
  return ordinary_user && is_set(spec, "run.oci.keep_original_groups");
}

Result<void> check_known_calls(const spec::RuntimeSpec& spec) {
  if (!spec.seccomp || !is_set(spec, "run.oci.seccomp_fail_unknown_syscall")) return {};
  for (const auto& rule : spec.seccomp->syscalls)
    for (const auto& name : rule.names)
      if (!launch::is_known_call(name))
        return failure(Kind::InvalidArgument,
                       "seccomp: there is no system call \"{}\", and the annotation "
                       "run.oci.seccomp_fail_unknown_syscall forbids to pass over it",
                       name);
  return {};
}

}  // namespace berth::runtime
