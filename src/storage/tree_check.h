// Holding an unpacked layer against the archive it came from: every entry must be there as the archive says,
// and nothing else. Reads only. For trees that this store has unpacked; a tree that differs is named, entry
// by entry.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "storage/byte_stream.h"
#include "sys/root_dir.h"

namespace berth::storage {

/// One path of a tree and what is wrong with it: {"etc/passwd", "has other content"}.
struct TreeDifference {
  std::string path;
  std::string trouble;
};

struct TreeComparison {
  Digest diff_id;                           ///< SHA-256 of the uncompressed archive
  std::vector<TreeDifference> differences;  ///< by path; at most `most_differences`
  uint64_t left_out = 0;                    ///< differences beyond those
};

inline constexpr size_t most_differences = 100;

/// Compares types, contents, sizes, owners, modes, times of files, link targets, devices, attributes and
/// whiteouts. `archive` may be compressed. Damaged archive: Corrupt. Names and limits are those of unpack().
Result<TreeComparison> compare_tree(ByteSource& archive, const sys::RootDir& tree, std::stop_token stop = {});

}  // namespace berth::storage
