// -v SOURCE:TARGET:idmap: the owners of a mount's files are others inside than on the disk (idmapped mounts,
// Linux 5.12), in podman's notation:
//
//   idmap                                    the container's own user namespace (--userns auto)
//   idmap=uids=1000-0-1;gids=1000-0-1        1000 of the disk is root inside, and what root makes is 1000's
//   there idmap=uids=0-@0-65536                    relative to the container's user namespace
//
// Ranges are disk-inside-length, several with '#' between. What is in no range belongs to nobody and cannot
// be made. Without one of uids and gids, those stay as they are.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/user_namespace.h"

namespace berth::engine {

/// A range of ids: `disk` and the following are `inside` and the following.
struct IdRange {
  uint32_t disk = 0;
  uint32_t inside = 0;
  uint32_t size = 0;
  bool relative = false;  ///< `inside` counts within the container's user namespace
};

struct MountIdMap {
  std::vector<IdRange> uids, gids;  ///< both empty: the container's own maps
  bool is_containers_own() const { return uids.empty() && gids.empty(); }
};

/// Whether the word is this option, well formed or not.
bool is_id_map_option(std::string_view word);
/// InvalidArgument names what is wrong with it. Pure.
Result<MountIdMap> parse_id_map_option(std::string_view word);
/// The map that a -v's options ("ro,idmap") ask for, if any. Pure.
Result<std::optional<MountIdMap>> id_map_of_mode(std::string_view mode);
/// At create: a container's own maps need it to have some. Pure.
Result<void> check_id_map(const MountIdMap& map, std::string_view userns_mode, std::string_view destination);

/// Whether any of the mounts is mapped: then remove_placed_mounts() is due after the launch.
bool has_id_maps(const std::vector<MountPoint>& mounts);
/// Before the launch: makes mapped copies of the mounts that ask for it, in the container's folder beneath
/// /run, and has the specification bind those. Only directories; what is mounted below them is not part of
/// it.
Result<void> place_id_mapped_mounts(const std::string& exec_dir, const std::vector<MountPoint>& mounts,
                                    const UserMaps& container, std::vector<spec::Mount>& planned);

}  // namespace berth::engine
