// The other registry of a pull-through cache, asked with the client's code: anonymously, or with the
// credentials that whoever serves the cache has given for it; never with those of the cache's clients, for a
// cache shows everyone who may read it what it holds.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "registry/client/credentials.h"
#include "registry/server/server.h"

namespace berth::registry::server {

/// "https://registry-1.docker.io", "http://127.0.0.1:5000": scheme and host, no path. The credentials are for
/// that registry and its token server (realm_policy.h).
Result<std::shared_ptr<Upstream>> open_upstream(const std::string& url, registry::Credentials credentials);

}  // namespace berth::registry::server
