// A limit on a directory tree's disk use, where the file system has project quotas (ext4 and xfs mounted with
// prjquota): the tree gets a project of its own, and what is made in it later belongs to it as well.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace berth::sys {

/// Limits what the directory may take on disk, in bytes. Unsupported: the file system has no project quotas,
/// or they are not switched on; the directory is then as it was.
Result<void> limit_directory(const std::string& path, uint64_t bytes);

}  // namespace berth::sys
