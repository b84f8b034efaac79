// Image documents to and from JSON: the small types, manifests and indexes. The image configuration is in
// image_config.cc.
#include "spec/image.h"

#include "base/format.h"
#include "base/json.h"
#include "base/sha256.h"
#include "spec/image_json.h"

namespace berth::spec {
namespace {

Result<std::vector<Descriptor>> parse_descriptors(const Json& object, std::string_view key, size_t limit) {
  std::vector<Descriptor> descriptors;
  TRY(const Json* list, find_array(object, key, limit));
  if (list == nullptr) return descriptors;
  for (const Json& element : *list) {
    TRY(Descriptor descriptor, parse_descriptor(element));
    descriptors.push_back(std::move(descriptor));
  }
  return descriptors;
}

/// A document that is both manifest and index means different things to different readers (CVE-2021-41190).
Result<void> check_shape(const Json& object, std::string_view what,
                         std::initializer_list<const char*> foreign) {
  if (!object.is_object()) return failure(Kind::InvalidArgument, "invalid {}: not a JSON object", what);
  for (const char* key : foreign) {
    if (object.contains(key)) return failure(Kind::InvalidArgument, "invalid {}: has \"{}\" too", what, key);
  }
  TRY(int64_t version, json_int(object, "schemaVersion"));
  if (version != 2) {
    return failure(Kind::InvalidArgument, "invalid {}: schemaVersion {} is not supported", what, version);
  }
  return {};
}

}  // namespace

bool is_index_type(std::string_view type) {
  return type == media_type::oci_index || type == media_type::docker_manifest_list;
}
bool is_manifest_type(std::string_view type) {
  return type == media_type::oci_manifest || type == media_type::docker_manifest;
}
bool is_config_type(std::string_view type) {
  return type == media_type::oci_config || type == media_type::docker_config;
}
bool is_layer_type(std::string_view type) {
  return type.starts_with("application/vnd.oci.image.layer.v1.tar") ||
         type.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar") ||
         type.starts_with("application/vnd.docker.image.rootfs.");
}

Result<Manifest> parse_manifest(std::string_view text, const ImageLimits& limits) {
  TRY(Json object, parse_json(text, {.max_bytes = limits.max_document_bytes}));
  CHECK(check_shape(object, "manifest", {"manifests", "fsLayers"}));
  if (!object.contains("config")) return Error(Kind::InvalidArgument, "invalid manifest: no \"config\"");
  TRY(Descriptor config, parse_descriptor(object["config"]));
  Manifest manifest{.config = std::move(config)};
  TRY(manifest.media_type, json_string(object, "mediaType", manifest.media_type));
  if (!is_manifest_type(manifest.media_type)) {
    return failure(Kind::InvalidArgument, "invalid manifest: its mediaType is \"{}\"", manifest.media_type);
  }
  TRY(manifest.artifact_type, json_string(object, "artifactType"));
  TRY(manifest.layers, parse_descriptors(object, "layers", limits.max_layers));
  if (object.contains("subject") && !object["subject"].is_null()) {
    TRY(manifest.subject, parse_descriptor(object["subject"]));
  }
  TRY(manifest.annotations, json_string_map(object, "annotations"));
  return manifest;
}

Result<Index> parse_index(std::string_view text, const ImageLimits& limits) {
  TRY(Json object, parse_json(text, {.max_bytes = limits.max_document_bytes}));
  CHECK(check_shape(object, "index", {"config", "layers", "fsLayers"}));
  Index index;
  TRY(index.media_type, json_string(object, "mediaType", index.media_type));
  if (!is_index_type(index.media_type)) {
    return failure(Kind::InvalidArgument, "invalid index: its mediaType is \"{}\"", index.media_type);
  }
  TRY(index.manifests, parse_descriptors(object, "manifests", limits.max_manifests));
  TRY(index.annotations, json_string_map(object, "annotations"));
  return index;
}

Result<std::vector<ArchiveManifestEntry>> parse_archive_manifest(std::string_view text,
                                                                 const ImageLimits& limits) {
  TRY(Json list, parse_json(text, {.max_bytes = limits.max_document_bytes}));
  if (!list.is_array() || list.size() > limits.max_manifests) {
    return Error(Kind::InvalidArgument, "invalid manifest.json: expected a list of images");
  }
  std::vector<ArchiveManifestEntry> entries;
  for (const Json& object : list) {
    ArchiveManifestEntry entry;
    TRY(entry.config, json_string(object, "Config"));
    TRY(entry.repo_tags, json_strings(object, "RepoTags"));
    TRY(entry.layers, json_strings(object, "Layers"));
    if (entry.config.empty())
      return Error(Kind::InvalidArgument, "invalid manifest.json: an image has no Config");
    if (entry.layers.size() > limits.max_layers || entry.repo_tags.size() > limits.max_strings) {
      return Error(Kind::InvalidArgument, "invalid manifest.json: too many layers or tags");
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

Json to_json_value(const Descriptor& descriptor) {
  Json object = {
      {"mediaType", descriptor.media_type}, {"digest", descriptor.digest.str()}, {"size", descriptor.size}};
  if (!descriptor.urls.empty()) object["urls"] = descriptor.urls;
  if (!descriptor.annotations.empty()) object["annotations"] = descriptor.annotations;
  if (!descriptor.artifact_type.empty()) object["artifactType"] = descriptor.artifact_type;
  if (descriptor.platform) object["platform"] = to_json_value(*descriptor.platform);
  return object;
}

Json to_json_value(const Platform& platform) {
  Json object = {{"architecture", platform.architecture}, {"os", platform.os}};
  add_platform_details(object, platform);
  return object;
}

std::string serialise(const Manifest& manifest) {
  Json object = {
      {"schemaVersion", 2}, {"mediaType", manifest.media_type}, {"config", to_json_value(manifest.config)}};
  if (!manifest.artifact_type.empty()) object["artifactType"] = manifest.artifact_type;
  Json layers = Json::array();
  for (const Descriptor& layer : manifest.layers) layers.push_back(to_json_value(layer));
  object["layers"] = std::move(layers);
  if (manifest.subject) object["subject"] = to_json_value(*manifest.subject);
  if (!manifest.annotations.empty()) object["annotations"] = manifest.annotations;
  return to_json(object);
}

std::string serialise(const Index& index) {
  Json object = {{"schemaVersion", 2}, {"mediaType", index.media_type}};
  Json manifests = Json::array();
  for (const Descriptor& manifest : index.manifests) manifests.push_back(to_json_value(manifest));
  object["manifests"] = std::move(manifests);
  if (!index.annotations.empty()) object["annotations"] = index.annotations;
  return to_json(object);
}

std::string serialise(const std::vector<ArchiveManifestEntry>& entries) {
  Json list = Json::array();
  for (const ArchiveManifestEntry& entry : entries) {
    Json object = {{"Config", entry.config}, {"RepoTags", entry.repo_tags}, {"Layers", entry.layers}};
    // docker writes null for an image without names, and clients take either.
    if (entry.repo_tags.empty()) object["RepoTags"] = nullptr;
    list.push_back(std::move(object));
  }
  return to_json(list);
}

Digest chain_id(const std::optional<Digest>& parent_chain, const Digest& diff_id) {
  if (!parent_chain) return diff_id;
  return sha256(parent_chain->str() + " " + diff_id.str());
}

std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids) {
  std::vector<Digest> chains;
  std::optional<Digest> parent;
  for (const Digest& diff_id : diff_ids) {
    parent = chain_id(parent, diff_id);
    chains.push_back(*parent);
  }
  return chains;
}

}  // namespace berth::spec
