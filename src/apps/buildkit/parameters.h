// What a client's frontend attributes ask for, as the engine's build takes it. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::buildkit {

using Attributes = std::map<std::string, std::string>;

struct BuildParameters {
  std::string dockerfile = "Dockerfile";            ///< path in the client's directory of that name
  std::string dockerfile_directory = "dockerfile";  ///< the client's names for its directories
  std::string context_directory = "context";
  std::string remote = {};  ///< a context by URL instead of the client's directory
  std::map<std::string, std::string> named_images = {};       ///< --build-context NAME=docker-image://IMAGE
  std::map<std::string, std::string> named_directories = {};  ///< NAME -> the client's name for the directory
  std::string upload = {};  ///< path of an archive that the client's session offers: the context
  std::vector<std::pair<std::string, std::string>> query = {};  ///< of POST /berth/build
};

/// Attributes that nobody knows are left alone, as clients send many of their own; those that would change
/// the result and are not supported are Unsupported and named.
Result<BuildParameters> parse_attributes(const Attributes& attributes);

/// Ids of the secrets that RUN instructions of this Dockerfile mount.
std::vector<std::string> secret_ids(std::string_view dockerfile);

/// Hosts of registries that its FROM and COPY --from name; "docker.io" for names without one.
std::vector<std::string> registry_hosts(std::string_view dockerfile);

}  // namespace berth::buildkit
