// What a service's container is created from: the Docker API's body. Pure.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/berth/compose/project.h"
#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::cli::compose {

// Labels by which docker's compose, and this one, find what belongs to a project.
inline constexpr std::string_view label_project = "com.docker.compose.project";
inline constexpr std::string_view label_service = "com.docker.compose.service";
inline constexpr std::string_view label_number = "com.docker.compose.container-number";
inline constexpr std::string_view label_one_off = "com.docker.compose.oneoff";
inline constexpr std::string_view label_hash = "com.docker.compose.config-hash";
inline constexpr std::string_view label_image = "com.docker.compose.image";
inline constexpr std::string_view label_depends_on = "com.docker.compose.depends_on";
inline constexpr std::string_view label_network = "com.docker.compose.network";
inline constexpr std::string_view label_volume = "com.docker.compose.volume";
inline constexpr std::string_view label_version = "com.docker.compose.version";
inline constexpr std::string_view label_directory = "com.docker.compose.project.working_dir";
inline constexpr std::string_view label_files = "com.docker.compose.project.config_files";
inline constexpr std::string_view label_env_file = "com.docker.compose.project.environment_file";
inline constexpr std::string_view label_replace = "com.docker.compose.replace";
/// Of what docker's compose does not look at: what the service's secrets and configs are made of.
inline constexpr std::string_view label_grants = "berth.compose.grants";
/// What is written into label_version: the version of docker compose whose labels these are.
inline constexpr std::string_view compose_version = "2.40.3";

/// "host=address" as the API writes it: "host:address".
std::string host_line(std::string line);
/// The image that a service runs: `image`, else "PROJECT-SERVICE".
std::string image_of(const Project& project, const Service& service);

/// The id of a service's container, if it has one.
using ContainerOf = std::function<std::optional<std::string>(const std::string& service)>;

/// What `run` says over the service.
struct OneOff {
  std::optional<std::vector<std::string>> command = {};
  std::optional<std::vector<std::string>> entrypoint = {};
  std::map<std::string, std::string> environment = {};
  std::vector<std::string> labels = {};   ///< KEY=value
  std::vector<std::string> publish = {};  ///< further ports
  std::vector<std::string> volumes = {};  ///< further binds, "source:target[:options]"
  std::string user = {}, working_directory = {};
  std::vector<std::string> cap_add = {}, cap_drop = {};
  bool service_ports = false;
  bool use_aliases = false;
  bool tty = false;
  bool interactive = false;
  bool auto_remove = false;
};

struct CreateInput {
  int64_t number = 1;
  std::string image_id = {};
  std::string hash = {}, grants = {};
  std::string replaces = {};  ///< name of the container that this one replaces
  /// Anonymous volumes of the container that this one replaces: target to volume.
  std::map<std::string, std::string> kept_volumes = {};
  /// Container of another service, for links and shared namespaces.
  ContainerOf container_of = {};
  std::optional<OneOff> one_off = {};
};

/// What POST /networks/{id}/connect gets for a container of the service.
Result<Json> endpoint_body(const Project& project, const Service& service, const Value* settings,
                           const CreateInput& input);
Result<Json> create_body(const Project& project, const Service& service, const CreateInput& input);

/// Networks of a service by engine name, the one with the highest priority first; empty with network_mode.
std::vector<std::pair<std::string, const Value*>> networks_of(const Project& project, const Service& service);

/// A secret or config whose content is not a file of the host: it is written into the container before it
/// starts.
struct InjectedFile {
  std::string target;  ///< absolute path in the container
  std::string content;
  uint32_t mode = 0444;
  int64_t uid = 0, gid = 0;
};
Result<std::vector<InjectedFile>> injected_files(const Project& project, const Service& service);

/// Bodies of POST /networks/create and /volumes/create.
Result<Json> network_body(const Project& project, const Resource& network);
Result<Json> volume_body(const Project& project, const Resource& volume);

}  // namespace berth::cli::compose
