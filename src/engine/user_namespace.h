// User namespaces of containers (`--userns`): what the mode means, which range of ids a container gets, and
// what has to be mounted for it from outside.
//
//   host       none of its own (the default, unless the engine maps all: user_remap.h)
//   auto       a range of its own on the host; the image's layers are mapped, not changed
//   remap      what a container becomes that says nothing, where the engine has a range for all
//   (--userns-remap);
//              kept with the container, and not shown to clients
//   keep-id    for an ordinary user's engine: inside, the user has the same id as outside
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/records.h"
#include "spec/runtime.h"
#include "sys/sub_ids.h"

namespace berth::sys {
class NetworkNamespace;
}
namespace berth::launch {
struct LaunchRequest;
}

namespace berth::engine {

class Core;

struct UserMode {
  enum class Kind { Host, Auto, KeepId, Remap } kind = Kind::Host;
  // Auto: the range, 0: not chosen yet. KeepId: the ids that the user keeps, none: those outside.
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  uint32_t size = 65536;                 ///< Auto
  std::vector<sys::IdRange> uid_ranges;  ///< Remap
  std::vector<sys::IdRange> gid_ranges;
};

/// "", "host", "auto[:size=N]", "keep-id[:uid=N,gid=N]", and what settle_user_mode() makes of them.
/// InvalidArgument names what there is.
Result<UserMode> parse_user_mode(std::string_view text);

/// At create: refuses what does not go together with a user namespace, chooses the ids, and writes them into
/// the configuration, where they are kept with the container.
Result<void> settle_user_mode(Core& core, spec::ContainerConfig& config, spec::HostConfig& host);

/// The container's maps; empty without a user namespace of its own. Pure but for keep-id, which looks at the
/// engine's own namespace.
struct UserMaps {
  std::vector<spec::IdMapping> uids;
  std::vector<spec::IdMapping> gids;
  explicit operator bool() const { return !uids.empty(); }
};
Result<UserMaps> user_maps(const spec::HostConfig& host);
/// What root of the container is outside; an id as it stands without maps.
uint32_t outside_id(const std::vector<spec::IdMapping>& map, uint32_t inside);

/// Before the launch of a container with maps: mounts root, sysfs and volumes where the container finds them,
/// and changes specification and root accordingly.
Result<void> place_mounts(Core& core, const ContainerRecord& record, const UserMaps& maps,
                          const sys::NetworkNamespace& netns, launch::LaunchRequest& request);
/// After it, or when it failed, and at recovery.
void remove_placed_mounts(const std::string& exec_dir);

}  // namespace berth::engine
