// Exporters: where a client wants its image.
#pragma once

#include <map>
#include <string>

#include "apps/buildkit/engine_client.h"
#include "apps/buildkit/progress.h"
#include "apps/buildkit/session.h"
#include "base/result.h"

namespace berth::buildkit {

struct ExportRequest {
  std::string type;  ///< "moby" and "image" (the engine's store), "tar", "local", "docker", "cacheonly"
  std::map<std::string, std::string> attributes = {};
  int number = 0;  ///< among the request's exporters
};

/// Adds to `answer` what clients read: digests and names.
Result<void> export_to(const EngineClient& engine, const Session* session, const ExportRequest& request,
                       const std::string& image, Progress& progress, const Cancelled& cancelled,
                       std::map<std::string, std::string>& answer);

/// Removes an image that only was a step to a file.
void remove_unnamed(const EngineClient& engine, const std::string& image);

}  // namespace berth::buildkit
