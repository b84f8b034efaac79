// What is said of a Compose file only once everything that it is merged from is known.
#pragma once

#include <string>

#include "apps/berth/compose/value.h"
#include "base/result.h"

namespace berth::cli::compose {

/// Gives a merged file's services the defaults of their builds and dependencies (`directory`: what a build's
/// context is where none is given) and checks what single files may leave to each other.
Result<void> complete_file(Value& file, const std::string& directory);

}  // namespace berth::cli::compose
