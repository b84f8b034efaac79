// Subordinate ids (subuid(5), subgid(5)): ranges that the administrator lets a user map into user namespaces,
// and the maps made of them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::sys {

struct IdRange {
  uint32_t first = 0;
  uint32_t count = 0;
  bool operator==(const IdRange&) const = default;
};

/// The ranges of a user, who is named by name or by number, in the file's order. Malformed lines, and ranges
/// that pass the end of the ids, are left out. Pure.
std::vector<IdRange> parse_sub_ids(std::string_view text, std::string_view name, uid_t uid);
/// The same of a file; nothing when it cannot be read.
std::vector<IdRange> read_sub_ids(const std::string& path, std::string_view name, uid_t uid);

/// Lines of uid_map: the user's own id becomes 0, and what follows from 1 on comes from the ranges. At most
/// as many lines as the kernel takes. Pure.
std::string id_map_of_user(uint32_t own, const std::vector<IdRange>& ranges);

/// Ids that the calling process's user namespace knows, from 0 on without a gap (/proc/self/uid_map or
/// gid_map); UINT32_MAX in the initial one.
uint32_t mapped_ids(const char* map_file);
/// False in a container and for an ordinary user's engine: some doors are closed there even to root. Looked
/// up at the first call: a process that changes its namespace asks afterwards.
bool in_initial_user_namespace();

}  // namespace berth::sys
