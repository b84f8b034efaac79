// Mount stubs: the empty files and directories that have to be made in a root so that something can be
// mounted over them. They are no part of what a step has done, and are taken out again before its layer is
// committed.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "sys/root_dir.h"

namespace berth::build {

/// Which of the targets (and directories above them) do not exist in a root before the step: paths, parents
/// before children.
std::vector<std::string> find_missing(const sys::RootDir& root, const std::vector<std::string>& targets);

/// Removes those that are there now as empty files or directories, and directories that were copied up for
/// nothing else. `upper` is the step's writable layer, `below` the root before the step. No link is followed:
/// what a step puts in a stub's place stays (CVE-2024-23652).
Result<void> remove_stubs(const std::string& upper, const sys::RootDir* below,
                          const std::vector<std::string>& missing, const std::vector<std::string>& targets);

}  // namespace berth::build
