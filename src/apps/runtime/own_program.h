// Keeping containers from this very program: through /proc/<pid>/exe a container could write to the file that
// the host runs as root (CVE-2019-5736).
#pragma once

#include "base/result.h"

namespace berth::runtime {

/// Goes on in a copy that nobody can write to: a read-only mount of its own that is attached nowhere, or
/// where mounts are not ours to make, a sealed file in memory. Returns at once when that is so already.
Result<void> run_from_safe_copy(char** arguments, char** environment);

}  // namespace berth::runtime
