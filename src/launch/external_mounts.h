// Mounts of a container that criu neither dumps nor makes again, but is told the place of: what is bound from
// the host. criu knows each by a name, which here is where the configuration has it. Pure.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "spec/runtime.h"

namespace berth::launch {

/// A line of mountinfo.
struct SeenMount {
  std::string device;  ///< "254:0"
  std::string root;    ///< what of its filesystem is mounted
  std::string at;
  std::string type;
};

/// Lines that are none are passed over; octal escapes are resolved.
std::vector<SeenMount> parse_mountinfo(std::string_view text);

/// Where a destination of the configuration is when links of the container's root have been followed.
using ResolveDestination = std::function<std::string(const std::string& destination)>;

/// For a dump, as criu's --external has them ("mnt[/data]:/data"): binds of the configuration with what is
/// mounted below their sources, groups of hosts with cgroup v1, and whatever else is the host's or, as device
/// nodes in user namespaces, a part of what is nowhere in the container. `inside` is what the container's
/// first process sees, `host` what we see. Unsupported: a mount whose owners are mapped, or with a
/// "]" in its path. The same for mounts_to_give().
Result<std::vector<std::string>> mounts_to_leave_out(const spec::RuntimeSpec& spec,
                                                     const std::vector<SeenMount>& inside,
                                                     const std::vector<SeenMount>& host,
                                                     const ResolveDestination& resolve);

/// The container's group in a hierarchy, and that hierarchy's name in the container ("cpu").
struct GroupInHierarchy {
  std::string name;
  std::string directory;
};

/// For a restore: what each of those names stands for on this host ("mnt[/data]:/srv/data"). `groups`: on
/// hosts with cgroup v1 alone. Bind sources are absolute paths without links.
Result<std::vector<std::string>> mounts_to_give(const spec::RuntimeSpec& spec,
                                                const std::vector<SeenMount>& host,
                                                const std::vector<GroupInHierarchy>& groups,
                                                const ResolveDestination& resolve);

/// A mount of the configuration that binds something of the host.
bool is_bind_mount(const spec::Mount& mount);

}  // namespace berth::launch
