// Looking through a manifest.
#include "registry/server/manifest_check.h"

#include "base/format.h"
#include "base/json.h"
#include "spec/image.h"

namespace berth::registry::server {
namespace {

namespace media_type = spec::media_type;
constexpr size_t max_links = 10'000;

Error invalid(std::string_view why) {
  return failure(Kind::InvalidArgument, "manifest invalid: {}", why);
}

bool is_foreign(std::string_view type, const Json& descriptor) {
  return type.starts_with("application/vnd.oci.image.layer.nondistributable.") ||
         type.starts_with("application/vnd.docker.image.rootfs.foreign.") ||
         json_member(descriptor, "urls") != nullptr;
}

Result<ManifestLink> read_link(const Json& descriptor, ManifestLink::Target target) {
  if (!descriptor.is_object()) return invalid("a descriptor is no object");
  TRY(std::string digest, json_string(descriptor, "digest"));
  TRY(std::string type, json_string(descriptor, "mediaType"));
  auto parsed = ContentDigest::parse(digest);
  if (!parsed) return invalid(parsed.error().message());
  TRY(int64_t size, json_int(descriptor, "size", -1));
  if (size < 0) return invalid("a descriptor has no size");
  return ManifestLink{target, std::move(*parsed), static_cast<uint64_t>(size), is_foreign(type, descriptor)};
}

Result<void> read_links(const Json& document, const char* key, ManifestLink::Target target,
                        std::vector<ManifestLink>& links) {
  const Json* list = json_member(document, key);
  if (list == nullptr) return {};
  if (!list->is_array()) return invalid(fmt::format("\"{}\" is no list", key));
  for (const Json& descriptor : *list) {
    if (links.size() >= max_links) return invalid(fmt::format("more than {} descriptors", max_links));
    TRY(ManifestLink link, read_link(descriptor, target));
    links.push_back(std::move(link));
  }
  return {};
}

std::string_view without_parameters(std::string_view type) {
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return type;
}

/// The media type that header and document agree on.
Result<std::string> agreed_type(const Json& document, std::string_view content_type) {
  TRY(std::string own, json_string(document, "mediaType"));
  std::string_view announced = without_parameters(content_type);
  if (!own.empty() && !announced.empty() && own != announced) {
    return invalid(fmt::format("Content-Type is \"{}\" and mediaType \"{}\"", announced.substr(0, 200), own));
  }
  if (!own.empty()) return own;
  if (!announced.empty()) return std::string(announced);
  if (json_member(document, "manifests") != nullptr) return std::string(media_type::oci_index);
  return std::string(media_type::oci_manifest);
}

Result<void> check_is_one_thing(const Json& document, std::string_view type) {
  bool has_children = document.contains("manifests");
  bool has_layers =
      document.contains("layers") || document.contains("config") || document.contains("fsLayers");
  if (has_children && has_layers) return invalid("it has both \"manifests\" and \"layers\" or \"config\"");
  if (spec::is_index_type(type) && (has_layers || !has_children))
    return invalid("an index needs \"manifests\"");
  if (spec::is_manifest_type(type) && has_children) return invalid("an image manifest has no \"manifests\"");
  bool known = spec::is_index_type(type) || spec::is_manifest_type(type);
  if (!known && !type.ends_with("+json") && type != "application/json") {
    return invalid(fmt::format("unsupported type \"{}\"", type.substr(0, 200)));
  }
  if (type.starts_with("application/vnd.docker.distribution.manifest.v1"))
    return invalid("schema 1 is not supported");
  TRY(int64_t version, json_int(document, "schemaVersion", known ? -1 : 2));
  if (version != 2) return invalid("schemaVersion must be 2");
  return {};
}

}  // namespace

Result<CheckedManifest> check_manifest(std::string_view body, std::string_view content_type) {
  auto parsed = parse_json(body, {.max_bytes = max_manifest_bytes});
  if (!parsed) return invalid(parsed.error().message());
  const Json& document = *parsed;
  if (!document.is_object()) return invalid("it is no JSON object");
  CheckedManifest manifest;
  TRY(manifest.media_type, agreed_type(document, content_type));
  CHECK(check_is_one_thing(document, manifest.media_type));
  TRY(manifest.artifact_type, json_string(document, "artifactType"));
  if (const Json* config = json_member(document, "config")) {
    TRY(ManifestLink link, read_link(*config, ManifestLink::Target::Blob));
    manifest.links.push_back(std::move(link));
    if (manifest.artifact_type.empty()) {
      TRY(manifest.artifact_type, json_string(*config, "mediaType"));
    }
  } else if (spec::is_manifest_type(manifest.media_type)) {
    return invalid("an image manifest needs \"config\"");
  }
  if (spec::is_manifest_type(manifest.media_type) && !document.contains("layers")) {
    return invalid("an image manifest needs \"layers\"");
  }
  CHECK(read_links(document, "layers", ManifestLink::Target::Blob, manifest.links));
  CHECK(read_links(document, "blobs", ManifestLink::Target::Blob, manifest.links));
  CHECK(read_links(document, "manifests", ManifestLink::Target::Manifest, manifest.links));
  if (const Json* subject = json_member(document, "subject")) {
    TRY(ManifestLink link, read_link(*subject, ManifestLink::Target::Manifest));
    manifest.subject = std::move(link.digest);
  }
  TRY(auto annotations, json_string_map(document, "annotations"));
  if (!annotations.empty()) manifest.annotations = to_json(Json(annotations));
  return manifest;
}

}  // namespace berth::registry::server
