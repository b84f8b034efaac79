// Project: a loaded Compose application: files merged, interpolated and checked. Values in their long form.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "apps/berth/compose/value.h"
#include "base/result.h"

namespace berth::cli::compose {

using Environment = std::map<std::string, std::string, std::less<>>;

struct Service {
  std::string name;
  Value config;  ///< normalised; environment and label files resolved
  /// `environment`, `env_file` and `label_file` as the files have them: what hashes are taken of.
  Value declared = Value::map();
  struct Dependency {
    std::string condition = "service_started";
    bool required = true;
    bool restart = false;
  };
  std::map<std::string, Dependency> depends_on;  ///< links, volumes_from and shared namespaces included
  int64_t replicas = 1;

  std::string path() const { return "services." + name; }
};

struct Resource {
  std::string key;   ///< name within the file
  std::string name;  ///< name in the engine
  bool external = false;
  Value config;
};

struct Project {
  std::string name;
  std::string separator = "-";     ///< between the parts of names
  std::string directory;           ///< working directory, absolute
  std::vector<std::string> files;  ///< absolute, in order; "-" is standard input
  std::vector<std::string> env_files;
  Environment environment;  ///< of the process and of .env
  std::map<std::string, Service> services;
  std::map<std::string, Service> disabled;  ///< by profiles
  std::map<std::string, Resource> networks, volumes, secrets, configs;
  Value models = Value::map();
  Value extensions = Value::map();  ///< x-... of the file itself
  std::vector<std::string> warnings;
  std::vector<std::string> remote;  ///< files from elsewhere that it is made of
  /// Values of secrets and configs ("secrets.NAME") whose variable an included file's own .env has.
  std::map<std::string, std::string> included_values;

  /// "NAME-web-1", or the service's container_name.
  std::string container_name(const Service& service, int64_t number) const;
  /// Names in an order in which every service comes behind what it depends on.
  std::vector<std::string> in_order() const;
  /// `names` and all that they depend on.
  std::set<std::string> with_dependencies(const std::vector<std::string>& names) const;
  enum class Format { Yaml, Json };
  /// The project as one file, as `config` shows it.
  Value canonical(Format format) const;
  /// Whether a variable says yes ("1", "true", ...).
  bool is_on(std::string_view variable) const;
  /// The value of a secret's or config's variable (`section`: "secrets" or "configs"); none: it is not set.
  std::optional<std::string> value_of(std::string_view section, const Resource& resource) const;
  /// Forgets networks, volumes, secrets, configs and models that no service uses.
  void drop_unused();
};

struct LoadOptions {
  std::vector<std::string> files =
      {};                      ///< -f; empty: $COMPOSE_FILE, else found from the working directory upwards
  std::string name = {};       ///< -p
  std::string directory = {};  ///< --project-directory
  std::vector<std::string> env_files = {};  ///< --env-file; empty: .env
  std::vector<std::string> profiles = {};
  std::vector<std::string> selected =
      {};                      ///< services that the command names: their profiles count as chosen
  bool compatibility = false;  ///< names with "_", as docker-compose 1 had them; also $COMPOSE_COMPATIBILITY
  bool interpolate = true;
  bool all_resources = false;  ///< also those that no service uses
  bool resolve_paths = true;
  bool check = true;      ///< whether what services refer to is there
  bool normalise = true;  ///< defaults, and what follows from something else
  /// Whether env files are read, for `selected` (all without) and what it depends on; nothing else needs
  /// them.
  bool resolve_environment = true;
  Environment environment = {};  ///< of the process
  /// An artifact's files by name, from a registry; none: they are refused.
  std::function<Result<std::map<std::string, std::string>>(const std::string& reference)> artifacts = {};
};

/// NotFound "no configuration file provided: not found"; malformed input: InvalidArgument with file, line and
/// path.
Result<Project> load_project(const LoadOptions& options);

/// A service's configuration as canonical() has it in JSON.
Value canonical_service(Value config);

/// The merged file alone, with names and default networks: for templates, whose variables are left in.
Result<Value> load_model(LoadOptions options);

/// The key's form of a project name: lower case, [a-z0-9_-], starting with a letter or digit; may end empty.
std::string normalise_project_name(std::string_view text);

}  // namespace berth::cli::compose
