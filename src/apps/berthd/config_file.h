// The daemon's configuration file: dockerd's daemon.json, whose keys are the flags' names ("hosts" for -H,
// "log-opts" for --log-opt). Pure.
#pragma once

#include <string_view>

#include "apps/berthd/options.h"
#include "base/result.h"

namespace berth::berthd {

/// Sets the options that the file names. InvalidArgument in dockerd's words: not a JSON object, keys that
/// berth does not have, and those that the command line gives as well.
Result<void> apply_config_file(std::string_view text, Options& options);

}  // namespace berth::berthd
