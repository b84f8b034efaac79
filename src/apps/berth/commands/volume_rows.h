// The fields of `volume ls` and `system df -v`. Pure.
#pragma once

#include "apps/berth/commands/listing.h"
#include "base/json_fwd.h"

namespace berth::cli::commands {

extern const Headings volume_headings;
RowFields volume_row(const Json& volume);

}  // namespace berth::cli::commands
