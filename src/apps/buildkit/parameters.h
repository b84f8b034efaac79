// What a client's frontend attributes ask for, as the engine's build takes it. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::buildkit {

using Attributes = std::map<std::string, std::string>;

/// --cache-from or --cache-to.
struct CacheOption {
  std::string type;  ///< "registry"
  Attributes attributes = {};
};

/// --provenance: whether and how much is told of how an image was made.
struct ProvenanceRequest {
  bool wanted = false;
  bool by_default = false;   ///< nobody asked for it: only for images that leave the engine
  bool max = false;          ///< with build arguments and the Dockerfile
  std::string builder = {};  ///< id of who builds
};

struct BuildParameters {
  std::string dockerfile = "Dockerfile";            ///< path in the client's directory of that name
  std::string dockerfile_directory = "dockerfile";  ///< the client's names for its directories
  std::string context_directory = "context";
  std::string remote = {};  ///< a context by URL instead of the client's directory
  std::map<std::string, std::string> named_images = {};       ///< --build-context NAME=docker-image://IMAGE
  std::map<std::string, std::string> named_directories = {};  ///< NAME -> the client's name for the directory
  std::string upload = {};  ///< path of an archive that the client's session offers: the context
  std::string call = {};    ///< "lint", "targets", "outline": an answer about the Dockerfile, and no image
  std::vector<CacheOption> cache_imports = {};
  std::vector<std::string> platforms = {};  ///< "linux/arm64", each once; empty: the host's
  bool several = false;  ///< the result is one of several platforms, even if only one is named
  ProvenanceRequest provenance = {};
  std::vector<std::pair<std::string, std::string>> query = {};  ///< of POST /berth/build
};

/// Attributes that nobody knows are left alone, as clients send many of their own; those that would change
/// the result and are not supported are Unsupported and named.
Result<BuildParameters> parse_attributes(const Attributes& attributes);

/// Where caches are read from and written to.
struct CachePlaces {
  /// A reference, or a directory of the client's and the digest of the manifest in it.
  struct Source {
    std::string reference = {};
    std::string directory = {};  ///< the client's name for its store: "local:/path"
    std::string digest = {};
    bool operator==(const Source&) const = default;
  };
  struct Target {
    std::string reference = {};
    std::string directory = {};
    std::string mode = {};  ///< "min", "max"
    bool operator==(const Target&) const = default;
  };
  std::vector<Source> from = {};
  std::vector<Target> to = {};
  bool inline_cache = false;            ///< in the image
  std::vector<std::string> notes = {};  ///< what is passed over, and why
};
/// Sources of types that are not served are passed over with a note, as a cache that cannot be had is no
/// reason to fail; an export of another type is Unsupported, as it would be missed.
Result<CachePlaces> cache_places(const std::vector<CacheOption>& imports,
                                 const std::vector<CacheOption>& exports);

/// What a build of a Dockerfile needs of the client beside its files.
struct DockerfileNeeds {
  std::set<std::string> secrets = {};  ///< ids that RUN instructions mount
  std::set<std::string> agents = {};   ///< ids of SSH agents that RUN instructions mount
  std::set<std::string> registries =
      {};  ///< hosts of the images that it names; "docker.io" for names without one
  bool several_stages = false;
};
/// Nothing of a text that is no Dockerfile.
DockerfileNeeds needs_of(std::string_view dockerfile);

}  // namespace berth::buildkit
