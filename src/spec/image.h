// The OCI image specification (v1.1) and docker's image formats as types: descriptor, manifest, index, image
// configuration, and the manifest.json of `docker save`. Parsers take hostile bytes: bounded, validated,
// never throwing. Serialisers give stable bytes, since an image's id is the digest of its configuration.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::spec {

namespace media_type {
inline constexpr std::string_view oci_index = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view oci_manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view oci_config = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view oci_layer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view oci_layer_gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view oci_layer_zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view docker_manifest_list =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view docker_manifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view docker_config = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view docker_layer = "application/vnd.docker.image.rootfs.diff.tar";
inline constexpr std::string_view docker_layer_gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}  // namespace media_type

bool is_index_type(std::string_view type);
bool is_manifest_type(std::string_view type);
bool is_config_type(std::string_view type);
bool is_layer_type(std::string_view type);

/// What an image runs on: "linux/amd64", "linux/arm64/v8".
struct Platform {
  std::string architecture;
  std::string os;
  std::string os_version;
  std::vector<std::string> os_features;
  std::string variant;

  /// "os/architecture[/variant]"
  static Result<Platform> parse(std::string_view text);
  /// The machine berth runs on, in Go's names ("linux", "amd64").
  static Platform host();
  std::string str() const;
  bool operator==(const Platform&) const = default;
};

/// True when an image for `offered` runs on `wanted` (an empty variant matches any).
bool matches(const Platform& wanted, const Platform& offered);

struct Descriptor {
  std::string media_type;
  Digest digest;
  int64_t size = 0;  ///< bytes, never negative
  std::vector<std::string> urls = {};
  std::map<std::string, std::string> annotations = {};
  std::string artifact_type = {};
  std::optional<Platform> platform = {};
};

struct Manifest {
  std::string media_type = std::string(media_type::oci_manifest);
  std::string artifact_type = {};
  Descriptor config;
  std::vector<Descriptor> layers = {};
  std::optional<Descriptor> subject = {};
  std::map<std::string, std::string> annotations = {};
};

struct Index {
  std::string media_type = std::string(media_type::oci_index);
  std::vector<Descriptor> manifests;
  std::map<std::string, std::string> annotations;
};

/// HEALTHCHECK; durations are nanoseconds, 0 means inherit.
struct Healthcheck {
  std::vector<std::string> test;  ///< {} inherit, {"NONE"}, {"CMD", ...}, {"CMD-SHELL", command}
  int64_t interval = 0;
  int64_t timeout = 0;
  int64_t start_period = 0;
  int64_t start_interval = 0;
  int retries = 0;
  bool operator==(const Healthcheck&) const = default;
};

/// The "config" object: what a container of the image runs by default.
struct ExecutionConfig {
  std::string user;
  std::set<std::string> exposed_ports;  ///< "80/tcp"
  std::vector<std::string> env;         ///< "NAME=value", always with '='
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::set<std::string> volumes;
  std::string working_dir;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  std::optional<int> stop_timeout;  ///< seconds
  bool args_escaped = false;
  std::optional<Healthcheck> healthcheck;
  std::vector<std::string> on_build;
  std::vector<std::string> shell;
  bool operator==(const ExecutionConfig&) const = default;
};

struct HistoryEntry {
  std::optional<Timestamp> created;
  std::string created_by;
  std::string author;
  std::string comment;
  bool empty_layer = false;
};

struct ImageConfig {
  std::optional<Timestamp> created;
  std::string author;
  Platform platform;
  ExecutionConfig config;
  std::vector<Digest> diff_ids;  ///< rootfs, bottom layer first
  std::vector<HistoryEntry> history;
  std::string comment;         ///< docker's, of commit
  std::string docker_version;  ///< docker's
};

/// One image of a docker archive's manifest.json. Paths are names of entries of the same archive.
struct ArchiveManifestEntry {
  std::string config;
  std::vector<std::string> repo_tags;
  std::vector<std::string> layers;  ///< bottom first
};

/// Limits that every parser below holds to; beyond them: InvalidArgument.
struct ImageLimits {
  size_t max_document_bytes = 8u << 20;
  size_t max_layers = 500;  ///< what the kernel's overlayfs stacks at most
  size_t max_manifests = 1024;
  size_t max_strings = 65536;  ///< of one list or map
};

Result<Manifest> parse_manifest(std::string_view text, const ImageLimits& limits = {});
Result<Index> parse_index(std::string_view text, const ImageLimits& limits = {});
/// Refuses a rootfs type other than "layers" and malformed digests. Env entries that are not NAME=value are
/// left out: a launcher could take "NAME" for "copy the host's" (CVE-2026-57231).
Result<ImageConfig> parse_image_config(std::string_view text, const ImageLimits& limits = {});
Result<std::vector<ArchiveManifestEntry>> parse_archive_manifest(std::string_view text,
                                                                 const ImageLimits& limits = {});
/// The "config" object alone, in either docker's API or OCI spelling (they are the same keys).
Result<ExecutionConfig> parse_execution_config(const Json& object);
Json to_json_value(const ExecutionConfig& config);
Json to_json_value(const Platform& platform);
Json to_json_value(const Descriptor& descriptor);

std::string serialise(const Manifest& manifest);
std::string serialise(const Index& index);
std::string serialise(const ImageConfig& config);
std::string serialise(const std::vector<ArchiveManifestEntry>& entries);

/// ChainID of OCI image-spec config.md: names a layer together with everything beneath it.
Digest chain_id(const std::optional<Digest>& parent_chain, const Digest& diff_id);
/// Chain ids of a list of diff ids, bottom first; as long as `diff_ids`.
std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids);

}  // namespace berth::spec
