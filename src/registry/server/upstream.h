// The other registry of a pull-through cache, asked with the client's code. Anonymous: a cache shows everyone
// what it holds, so it must not fetch with somebody's rights.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "registry/server/server.h"

namespace berth::registry::server {

/// "https://registry-1.docker.io", "http://127.0.0.1:5000": scheme and host, no path.
Result<std::shared_ptr<Upstream>> open_upstream(const std::string& url);

}  // namespace berth::registry::server
