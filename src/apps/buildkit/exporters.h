// Exporters: where a client wants what its builds have made.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "apps/buildkit/engine_client.h"
#include "apps/buildkit/product.h"
#include "apps/buildkit/progress.h"
#include "apps/buildkit/session.h"
#include "base/result.h"

namespace berth::buildkit {

struct ExportRequest {
  std::string
      type;  ///< "moby" and "image" (the engine's store), "tar", "local", "oci", "docker", "cacheonly"
  std::map<std::string, std::string> attributes = {};
  int number = 0;  ///< among the request's exporters
};

/// What an export works with.
struct Exporting {
  const EngineClient& engine;
  std::shared_ptr<Session> session;  ///< null: the client's is not connected
  Progress& progress;
  const Cancelled& cancelled;
};

/// Adds to `answer` what clients read: digests, descriptors and names. The product has one image at least.
Result<void> export_to(const Exporting& exporting, const ExportRequest& request, const Product& product,
                       std::map<std::string, std::string>& answer);

/// Removes an image that only was a step to a file.
void remove_unnamed(const EngineClient& engine, const std::string& image);

}  // namespace berth::buildkit
