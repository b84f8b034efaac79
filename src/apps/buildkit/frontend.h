// The Dockerfile frontend: fetches what the engine's builder needs from the client's session, and turns the
// builder's events into the vertices that clients show.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "apps/buildkit/engine_client.h"
#include "apps/buildkit/parameters.h"
#include "apps/buildkit/progress.h"
#include "apps/buildkit/session.h"
#include "base/result.h"

namespace berth::buildkit {

/// What a build has from whoever asks for it.
struct ClientSide {
  std::shared_ptr<Session> session = {};           ///< null: none is connected
  std::function<Result<std::string>()> body = {};  ///< the context as an archive, empty at its end
  std::string registries = {};                     ///< X-Registry-Config, when the session has no credentials
  CachePlaces caches = {};
};

struct BuiltImage {
  std::string id = {};  ///< empty: a call was answered
  /// Of a call: "result.json", "result.txt", "result.statuscode", "version".
  std::map<std::string, std::string> metadata = {};
  /// Descriptor (JSON) of the manifest of the cache that was left in a directory of the client's.
  std::string cache_manifest = {};
};

/// Builds, untagged. No session is needed when the context is a URL or the body.
Result<BuiltImage> build_dockerfile(const EngineClient& engine, const ClientSide& client,
                                    BuildParameters parameters, Progress& progress,
                                    const Cancelled& cancelled);

/// BuildKit's words for the failure of a RUN, from docker's.
std::string failure_words(const std::string& message);

}  // namespace berth::buildkit
