// Names with a meaning in image layers and in overlayfs: whiteouts, opaque marks, which extended attributes
// travel, and how a tar entry's name becomes a path.
#pragma once

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::storage {

inline constexpr std::string_view whiteout_prefix = ".wh.";
inline constexpr std::string_view whiteout_meta_prefix = ".wh..wh.";
inline constexpr std::string_view opaque_marker = ".wh..wh..opq";

/// overlayfs' own attributes; the user.* form is what an unprivileged mount ("userxattr") reads.
inline constexpr const char* opaque_xattr = "trusted.overlay.opaque";
inline constexpr const char* user_opaque_xattr = "user.overlay.opaque";

/// Attributes that an image carries. Everything under trusted., overlayfs' own, and labels of the host's
/// security modules stay where they are: from an archive they could steer overlayfs or the host's policy.
bool is_portable_xattr(std::string_view name);

inline bool is_whiteout(const struct stat& status) {
  return S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
}

/// "./a//b/../c" -> "a/c", "/" -> ".": the path relative to the root. A name that climbs out of it:
/// InvalidArgument.
Result<std::string> clean_entry_path(std::string_view name);

/// "a/b" -> {"a", "b"}; "b" -> {"", "b"}.
struct PathParts {
  std::string_view parent;
  std::string_view name;
};
PathParts split_path(std::string_view path);

}  // namespace berth::storage
