// Build caches in registries, as a build's client names them: what is asked before a step is done again
// (CacheFrom), and where what the build has made is left for others (CacheTo).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/docker/context.h"
#include "build/builder.h"
#include "build/cache_source.h"

namespace berth::api {

struct CacheTarget {
  std::string reference;
  bool all_stages = false;  ///< mode=max: not only the steps of the image's own stage
};

struct BuildCaches {
  std::vector<std::string> from = {};  ///< references
  std::vector<CacheTarget> to = {};
};

/// {"CacheFrom": [{"ref"}], "CacheTo": [{"ref", "mode"}]} of a build's first line. InvalidArgument names what
/// is wrong.
Result<BuildCaches> parse_build_caches(const Json& object);

/// Called when a piece of work with a cache begins, and when it has ended (why it failed, or nothing).
struct CacheObserver {
  std::function<void(const std::string& name)> begun;
  std::function<void(const std::string& name, const std::string& error)> ended;
};

/// Fetches what the caches say. One that cannot be had is told of and left out.
io::Task<std::shared_ptr<build::CacheSource>> open_build_caches(engine::Engine& engine,
                                                                std::vector<std::string> references,
                                                                std::string registry_config,
                                                                const CacheObserver& observer);
/// Pushes what a build has made.
io::Task<Result<void>> export_build_cache(engine::Engine& engine, CacheTarget target,
                                          std::vector<build::SharedStep> steps, std::string registry_config,
                                          const CacheObserver& observer);

}  // namespace berth::api
