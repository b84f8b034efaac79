// Unpacking of an image's layer that does not ask for the layers beneath until it needs them, so that several
// layers of an image can be unpacked at a time. Most never do: only hard links to files that they do not
// bring themselves, and directories that they use without naming them, lead into layers beneath.
#pragma once

#include <functional>
#include <vector>

#include "base/result.h"
#include "storage/archive.h"
#include "sys/root_dir.h"

namespace berth::storage {

/// The roots of the layers beneath, top first. They outlive the unpacking. Asked once, at the first need.
using FindLowers = std::function<Result<std::vector<const sys::RootDir*>>()>;

/// unpack() with `find_lowers` in place of UnpackOptions::lowers; an error of it ends the unpacking.
Result<UnpackResult> unpack_layer(ByteSource& archive, const sys::RootDir& root, const UnpackOptions& options,
                                  const FindLowers& find_lowers);

}  // namespace berth::storage
