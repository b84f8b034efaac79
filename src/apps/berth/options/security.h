// --security-opt: seccomp profiles are files of the caller, so their contents are sent.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace berth::cli::options {

struct SecurityOptions {
  std::vector<std::string> options;
  bool unconfined_paths = false;  ///< systempaths=unconfined: neither masked nor read-only paths
};

Result<SecurityOptions> read_security_options(const std::vector<std::string>& flags);

}  // namespace berth::cli::options
