// What a container's configuration means for criu: namespaces, mounts and control groups that are not its to
// make.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "apps/runtime/complaints.h"
#include "apps/runtime/container.h"
#include "base/result.h"
#include "launch/criu.h"
#include "spec/runtime.h"
#include "sys/cgroup.h"
#include "sys/fd.h"

namespace berth::runtime {

/// Unsupported: what criu cannot dump, or would restore as something else. The same for both ways.
Result<void> check_for_criu(const spec::RuntimeSpec& spec);

/// Fills in what a dump has to know of the container beside its pid.
Result<void> describe_dump(const Container& container, const spec::RuntimeSpec& spec,
                           launch::CriuOptions& options);

/// Fills in what a restore has to know but the control group. `passed` grows by the namespaces that the
/// configuration names. Bind sources are absolute.
Result<void> describe_restore(const Container& container, const spec::RuntimeSpec& spec,
                              const sys::Cgroup& group, launch::CriuRequest& request,
                              std::vector<sys::UniqueFd>& namespaces);

/// criu begins in the container's group, and what it restores stays there: the group's path in each
/// hierarchy, as /proc/<pid>/cgroup has it. Pure.
std::vector<std::pair<std::string, std::string>> cgroup_roots(std::string_view proc_cgroup);

/// The administrator's options for criu, where peers look for them. Annotations name none: engines copy those
/// of images, and criu's options name programs that it runs as root.
std::string criu_config_file();
void warn_of_criu_annotation(const Complaints& complaints, const spec::RuntimeSpec& spec);

}  // namespace berth::runtime
