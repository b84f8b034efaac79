// Finding a program as execvp and Go's LookPath do, without libc. Used by the executor and by berth's init.
#pragma once

#include <string_view>

#include "launch/executor/fixed_buffer.h"

namespace berth::launch {

/// 0 and the path to execute, or -errno: for a name with a slash what is wrong with it (-EISDIR, -EACCES,
/// -ENOENT, ...), otherwise -ENOENT when no directory of `search_path` has an executable of that name.
/// Relative and empty entries of the search path are passed over.
long find_program(std::string_view name, std::string_view search_path, PathBuffer& path);

}  // namespace berth::launch
