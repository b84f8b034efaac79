// The way out of an ordinary user's network namespace: pasta or slirp4netns, which carry its packets through
// sockets of the user.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace berth::berthd::rootless {

struct Uplink {
  pid_t pid = -1;       ///< -1: there is none
  std::string program;  ///< "pasta"
  std::string dns;      ///< where the namespace finds the host's resolver
};

/// Starts the first of `programs` that comes up for the network namespace at `netns_path`; it dies with the
/// calling process. `directory` is for its files. NotFound or Unavailable with the programs' own words.
Result<Uplink> start_uplink(const std::vector<std::string>& programs, const std::string& netns_path,
                            const std::string& directory);

/// "auto" (pasta, then slirp4netns), "pasta", "slirp4netns" or "none". InvalidArgument.
Result<std::vector<std::string>> uplink_programs(const std::string& choice);

}  // namespace berth::berthd::rootless
