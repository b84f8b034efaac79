// The images of a project: built, pulled, or found missing, before containers are made of them.
#pragma once

#include <string>
#include <vector>

#include "apps/berth/compose/session.h"

namespace berth::cli::compose {

struct BuildOptions {
  bool no_cache = false;
  bool pull = false;
  bool quiet = false;
  bool push = false;
  std::vector<std::string> arguments = {};  ///< --build-arg
  std::string memory = {};
  std::vector<std::string> ssh = {};       ///< agents besides those of the file
  std::string provenance = {}, sbom = {};  ///< over what the file says
  bool check = false;                      ///< only the Dockerfiles
  bool every_platform = false;             ///< of build.platforms; else the one that is run here
};
/// Builds the services of `names` that have a build section, one after the other.
Outcome<void> build_images(Session& session, const std::vector<std::string>& names,
                           const BuildOptions& options);

struct ImageOptions {
  bool build = false;     ///< build also what is there
  bool no_build = false;  ///< never build
  std::string pull = {};  ///< --pull: "always", "missing", "never", "build"; empty: as the service says
  bool quiet_pull = false;
  bool quiet_build = false;
};
/// Every image that `names` need is there afterwards.
Outcome<void> ensure_images(Session& session, const std::vector<std::string>& names,
                            const ImageOptions& options);

/// Of services that are built and whose image has a name.
Outcome<void> push_images(Session& session, const std::vector<std::string>& names, bool ignore_failures);

struct PullOptions {
  bool ignore_failures = false;
  bool ignore_buildable = false;
  bool quiet = false;
  std::string policy = {};  ///< "missing" or "always"
};
Outcome<void> pull_images(Session& session, const std::vector<std::string>& names,
                          const PullOptions& options);

/// The image's name with the digest that its registry tells.
Outcome<std::string> pinned_image(Context& context, const std::string& image);

/// Performs another command of this program as if its words had been typed.
Outcome<int> perform(Context& context, const grammar::Command& command, std::string_view path,
                     const std::vector<std::string>& words);

}  // namespace berth::cli::compose
