// The builds of services as a file for docker's bake (`build --print`). Pure but for links in paths.
#pragma once

#include "apps/berth/compose/images.h"
#include "base/json_fwd.h"

namespace berth::cli::compose {

/// Targets for all services that are built; the group "default" has `names`.
Result<Json> bake_file(const Project& project, const std::vector<std::string>& names,
                       const BuildOptions& options);

/// A build section's limits as `--ulimit` has them: "nofile=1024:2048".
Result<std::vector<std::string>> ulimit_words(const Value& build, const std::string& path);

}  // namespace berth::cli::compose
