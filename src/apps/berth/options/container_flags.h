// The flags that `run` and `create` share.
#pragma once

#include "apps/berth/grammar/flag.h"

namespace berth::cli::options {

grammar::Flags container_flags();

}  // namespace berth::cli::options
