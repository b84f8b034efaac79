// Users and groups by name, from the passwd and group files of a root filesystem. The files are the image's:
// bounded, read beneath the root, never through libc's name services.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "build/graph.h"
#include "sys/root_dir.h"

namespace berth::build {

struct OwnerIds {
  uint32_t uid = 0;
  uint32_t gid = 0;
  bool operator==(const OwnerIds&) const = default;
};

/// A number stands for itself (and, alone, for the group as well); a name must be in the root's files.
/// Unknown: InvalidArgument "unable to find user x: no matching entries in passwd file".
Result<OwnerIds> resolve_owner(const sys::RootDir& root, const Owner& owner);

}  // namespace berth::build
