// Configuration: the user's config.json, in docker's form, so that berth and docker can share one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/berth/client/http.h"
#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::cli {

struct Configuration {
  std::string folder;
  std::string detach_keys;
  client::Headers http_headers;
  /// Default --format per command ("ps", "images", "stats", ...).
  std::map<std::string, std::string, std::less<>> formats;
  /// Proxy variables for containers and builds, by engine address or "default": HTTP_PROXY and so on.
  std::map<std::string, std::map<std::string, std::string>, std::less<>> proxies;
  std::vector<std::string> plugin_folders;

  std::string format_of(std::string_view command) const;
  /// "HTTP_PROXY=..." and "http_proxy=..." for variables that `given` (KEY or KEY=value) does not set.
  std::vector<std::string> proxy_variables(std::string_view host,
                                           const std::vector<std::string>& given) const;
};

/// --config, $BERTH_CONFIG, $DOCKER_CONFIG, ~/.berth if it is there, else ~/.docker.
std::string configuration_folder(const std::string& from_flag);
/// Reads config.json of that folder; a missing file is an empty configuration.
Result<Configuration> load_configuration(const std::string& folder_from_flag);

}  // namespace berth::cli
