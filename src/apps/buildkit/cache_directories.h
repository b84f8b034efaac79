// CacheDirectories: build caches in directories of the client's. Their documents go with a build's request;
// layers go to the engine when a step wants them, and what the build leaves comes from there.
#pragma once

#include <memory>
#include <string>

#include "apps/buildkit/client_store.h"
#include "apps/buildkit/engine_client.h"
#include "apps/buildkit/parameters.h"
#include "apps/buildkit/session.h"
#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::buildkit {

class CacheDirectories {
 public:
  /// `session` may be null: then there is none.
  CacheDirectories(const EngineClient& engine, std::shared_ptr<Session> session, Cancelled cancelled)
      : engine_(engine), session_(std::move(session)), cancelled_(std::move(cancelled)) {}

  /// What CacheFrom has for that directory.
  Result<Json> describe(const CachePlaces::Source& source) const;
  /// Answers an event {"event": "want" or "cache", ...} of a build.
  Result<void> serve(const Json& event);
  /// The descriptor, as JSON, of the manifest that was left in a directory; empty: none was.
  const std::string& manifest() const { return manifest_; }

 private:
  Result<void> bring(const ClientStore& store, const std::string& token, const Json& event) const;
  Result<void> take(const ClientStore& store, const std::string& token, const Json& event);

  const EngineClient& engine_;
  std::shared_ptr<Session> session_;
  Cancelled cancelled_;
  std::string manifest_;
};

}  // namespace berth::buildkit
