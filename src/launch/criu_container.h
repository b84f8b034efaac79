// What a container's configuration means for criu: namespaces, mounts and control groups that are not its to
// make.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "launch/criu.h"
#include "spec/runtime.h"
#include "sys/cgroup.h"
#include "sys/fd.h"

namespace berth::launch {

/// A container as criu has to know it. References are held while it is described.
struct CriuSubject {
  const spec::RuntimeSpec& spec;  ///< a namespace with a path is only joined; sources of binds are absolute
  pid_t pid = 0;                  ///< of its first process; a dump's alone
  std::string root;  ///< of a dump: as the configuration names it; of a restore: where it can be looked at
  std::vector<std::string> stdio;  ///< what its first three descriptors were (stdio_record.h)
  const sys::Cgroup* group = nullptr;
  std::vector<sys::CgroupHierarchy> hierarchies;  ///< of the host
};

/// Unsupported: what criu cannot dump, or would restore as something else. The same for both ways.
Result<void> check_for_criu(const spec::RuntimeSpec& spec);

/// Fills in what a dump has to know of the container.
Result<void> describe_dump(const CriuSubject& container, CriuOptions& options);

/// Criu's own descriptors of what a restore gives it.
struct CriuPlaces {
  int streams = 0;  ///< of the container's stdin; stdout and stderr follow
  int namespaces = Criu::kFirstPassed;
};
/// Fills in what a restore has to know but the control group. Returns the namespaces that the configuration
/// names by path, in the order in which criu has to have them from `places.namespaces` on.
Result<std::vector<sys::UniqueFd>> describe_restore(const CriuSubject& container, CriuPlaces places,
                                                    CriuOptions& options);

/// criu begins in the container's group, and what it restores stays there: the group's path in each
/// hierarchy, as /proc/<pid>/cgroup has it. Pure.
std::vector<std::pair<std::string, std::string>> cgroup_roots(std::string_view proc_cgroup);

/// The administrator's options for criu, where peers look for them. Annotations name none: engines copy those
/// of images, and criu's options name programs that it runs as root.
std::string criu_config_file();

}  // namespace berth::launch
