// Files that exist in memory only (memfd): plans handed to the keeper, and the keeper's own program.
#pragma once

#include <string_view>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::sys {

/// A memfd with these bytes, read-only and sealed against any change.
Result<UniqueFd> make_sealed_file(const char* name, std::string_view content);
/// The same from a file on disk, fit to be executed through its descriptor: nobody can write to it.
Result<UniqueFd> load_sealed_program(const char* path);

}  // namespace berth::sys
