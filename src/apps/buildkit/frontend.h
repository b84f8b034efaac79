// The Dockerfile frontend: fetches what the engine's builder needs from the client's session, and turns the
// builder's events into the vertices that clients show.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "apps/buildkit/engine_client.h"
#include "apps/buildkit/parameters.h"
#include "apps/buildkit/progress.h"
#include "apps/buildkit/provenance.h"
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
  std::string platform = {};  ///< "linux/arm64"
  std::string id = {};
  Timestamp started;
  Timestamp finished = {};
  std::vector<Material> materials = {};
};

struct BuiltImages {
  std::vector<BuiltImage> images = {};  ///< in the order of the platforms; empty: a call was answered
  std::string dockerfile = {};          ///< its text, where that came apart from the context
  /// Of a call: "result.json", "result.txt", "result.statuscode", "version".
  std::map<std::string, std::string> metadata = {};
  /// Descriptor (JSON) of the manifest of the cache that was left in a directory of the client's.
  std::string cache_manifest = {};
};

/// Builds for each platform that is asked for, untagged. No session is needed when the context is a URL or
/// the body.
Result<BuiltImages> build_dockerfile(const EngineClient& engine, const ClientSide& client,
                                     BuildParameters parameters, Progress& progress,
                                     const Cancelled& cancelled);

}  // namespace berth::buildkit
