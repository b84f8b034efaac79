// Build caches, as a build's client names them: what is asked before a step is done again (CacheFrom), and
// where what the build has made is left for others (CacheTo): in registries, in directories of the client's,
// and in images.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/docker/context.h"
#include "base/json_fwd.h"
#include "build/builder.h"
#include "build/cache_source.h"
#include "build/client_transfers.h"

namespace berth::api {

struct CacheOrigin {
  std::string name;           ///< a reference, or what the client calls a directory of its own
  std::string manifest = {};  ///< of a cache in a directory, which the client sends; layers come when wanted
  std::string config = {};    ///< that the manifest names
  bool is_of_client() const { return !manifest.empty(); }
};

struct CacheTarget {
  std::string name;         ///< a reference, or a directory of the client's
  bool of_client = false;   ///< a directory
  bool all_stages = false;  ///< mode=max: not only the steps of the image's own stage
};

struct BuildCaches {
  std::vector<CacheOrigin> from = {};
  std::vector<CacheTarget> to = {};
};

/// {"CacheFrom": [{"ref"} or {"directory", "manifest", "config"}], "CacheTo": [{"ref" or "directory",
/// "mode"}]} of a build's first line. InvalidArgument names what is wrong.
Result<BuildCaches> parse_build_caches(const Json& object);

/// What a build's client is told of work with caches.
struct CacheObserver {
  /// A piece of work begins, and has ended (why it failed, or nothing).
  std::function<void(const std::string& name)> begun;
  std::function<void(const std::string& name, const std::string& error)> ended;
  /// {"event": "want" or "cache", ...}: the client is to do something (docs/extensions.md).
  std::function<void(Json request)> ask;
};

/// Fetches what the caches say. One that cannot be had is told of and left out.
io::Task<std::shared_ptr<build::CacheSource>> open_build_caches(Context& context,
                                                                std::vector<CacheOrigin> origins,
                                                                std::string registry_config,
                                                                const CacheObserver& observer);
/// Pushes what a build has made, or has the client take it.
io::Task<Result<void>> export_build_cache(Context& context, CacheTarget target,
                                          std::vector<build::SharedStep> steps, std::string registry_config,
                                          const CacheObserver& observer);

}  // namespace berth::api
