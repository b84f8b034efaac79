// One archive of several: each one's entries below a directory of its own, as builds for several platforms
// leave their files ("linux_arm64/etc/...").
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/byte_stream.h"

namespace berth::buildkit {

struct ArchivePart {
  std::string directory;                      ///< "linux_arm64"; empty: at the top
  std::function<Result<std::string>()> read;  ///< a tar, piece by piece, empty at the end
};

/// "linux/arm/v7" -> "linux_arm_v7".
std::string platform_directory(std::string platform);

/// Entries keep what they are; names that lead out of their part are an error.
Result<void> merge_archives(const std::vector<ArchivePart>& parts, storage::ByteSink& out);

}  // namespace berth::buildkit
