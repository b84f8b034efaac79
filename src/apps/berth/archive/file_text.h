// Whole small files: configuration, env files, profiles, Dockerfiles.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli::archive {

/// The bytes of a file or, for "-", of standard input. Worded as Go does ("open x: no such file or
/// directory"); more than `limit` bytes is an error.
Result<std::string> read_text(const std::string& path, size_t limit);
/// Replaces or makes the file in one step (temporary name, rename), with these permissions.
Result<void> write_text(const std::string& path, std::string_view text, unsigned mode = 0644);

}  // namespace berth::cli::archive
