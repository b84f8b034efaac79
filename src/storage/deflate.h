// Bytes in memory, compressed as one piece: for messages, where a sink of compression.h would be too much.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::storage {

enum class DeflateFormat { Gzip, Zlib };

/// `level` 0 to 9, or -1 for zlib's own choice. Exhausted: out of memory.
Result<std::string> deflate_whole(std::string_view bytes, DeflateFormat format, int level);

}  // namespace berth::storage
