// Compose files from elsewhere: git repositories ("https://github.com/x/y.git#ref:dir") and artifacts of
// registries as `docker compose publish` makes them ("oci://registry/name:tag"), fetched into the user's
// cache by their content's name, so that the same content is fetched once.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "apps/berth/compose/project.h"
#include "base/result.h"
#include "spec/git_place.h"

namespace berth::cli::compose {

/// An artifact's files by name, from a registry.
using FetchArtifact = std::function<Result<std::map<std::string, std::string>>(const std::string& reference)>;

class RemoteFiles {
 public:
  /// `environment` names the cache (XDG_CACHE_HOME, HOME) and what git sees.
  RemoteFiles(const Environment& environment, FetchArtifact artifacts)
      : environment_(environment), artifacts_(std::move(artifacts)) {}

  /// Whether the text names something elsewhere, of whatever kind.
  static bool is_remote(std::string_view text);
  /// The Compose file's path here. What cannot be fetched is told with the way out.
  Result<std::string> fetch(const std::string& text);
  /// All that has been fetched.
  const std::set<std::string>& fetched() const { return fetched_; }

 private:
  Result<std::string> fetch_git(const spec::GitPlace& place);
  Result<std::string> commit_of(const std::string& git, const spec::GitPlace& place);
  Result<void> check_out(const std::string& git, const spec::GitPlace& place, const std::string& commit,
                         const std::string& folder);
  Result<std::string> run_git(const std::vector<std::string>& words);
  Result<std::string> fetch_artifact(const std::string& reference);
  Result<std::string> cache_folder(const char* kind) const;

  const Environment& environment_;
  FetchArtifact artifacts_;
  std::map<std::string, std::string> known_;  ///< by what was asked for
  std::set<std::string> fetched_;
};

}  // namespace berth::cli::compose
