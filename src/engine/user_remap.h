// dockerd's --userns-remap: one range of subordinate ids that all containers' users are mapped to, unless
// they say otherwise (--userns host, auto, keep-id).
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/sub_ids.h"

namespace berth::engine {

struct UserRemap {
  std::vector<sys::IdRange> uids;  ///< none: containers are not mapped
  std::vector<sys::IdRange> gids;
  explicit operator bool() const { return !uids.empty(); }
};

/// "default", USER[:GROUP] by name or number, as /etc/subuid and /etc/subgid have them; empty: none.
/// "default" is the user dockremap where these files name it, else berth's own reserve. NotFound: the user,
/// or its ranges.
Result<UserRemap> find_user_remap(std::string_view text);

/// The ranges that an administrator has set aside for containers in one of these files.
std::vector<sys::IdRange> reserved_ranges(const char* file);

}  // namespace berth::engine
