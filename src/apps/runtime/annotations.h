// The few annotations that mean something here. Engines copy annotations of images into configurations, so
// that none may give a container more than it has without: what they take away, or what concerns an ordinary
// user's own groups, is all.
#pragma once

#include "base/result.h"
#include "spec/runtime.h"

namespace berth::runtime {

/// "run.oci.keep_original_groups" (podman's --group-add keep-groups): the process keeps the groups of the
/// user who starts it. An ordinary user's alone: root's groups are nothing that an image may ask for.
bool keeps_groups(const spec::RuntimeSpec& spec);

/// "run.oci.seccomp_fail_unknown_syscall": InvalidArgument for a filter that names a system call which this
/// runtime does not know, and which is passed over otherwise.
Result<void> check_known_calls(const spec::RuntimeSpec& spec);

}  // namespace berth::runtime
