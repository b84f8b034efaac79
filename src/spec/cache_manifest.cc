// Inline records name layers by their place in the image, and are read as those of a cache whose layers are
// the image's, one upon the other.
#include "spec/cache_manifest.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::spec {
namespace {

bool is_cache_config(const Descriptor& descriptor) {
  return descriptor.media_type == media_type::build_cache_config;
}

}  // namespace

Result<CacheManifest> parse_cache_manifest(std::string_view bytes, std::string_view name) {
  TRY(Json object, parse_json(bytes));
  if (json_member(object, "manifests") != nullptr) {
    TRY(Index index, parse_index(bytes));
    auto config = std::find_if(index.manifests.begin(), index.manifests.end(), is_cache_config);
    if (config != index.manifests.end()) return CacheManifest{*config, index.manifests};
  } else {
    TRY(Manifest manifest, parse_manifest(bytes));
    if (is_cache_config(manifest.config) || is_config_type(manifest.config.media_type))
      return CacheManifest{manifest.config, manifest.layers};
  }
  return failure(Kind::InvalidArgument,
                 "{} is no build cache: it has no configuration of type {}, and none of an image", name,
                 media_type::build_cache_config);
}

Result<std::string> with_inline_cache(std::string_view config, const BuildCache& cache) {
  TRY(Json object, parse_json(config));
  TRY(Json document, parse_json(serialise(cache), {.max_bytes = size_t{64} << 20}));
  object[inline_cache_member] = to_base64(to_json(document["records"]));
  return to_json(object);
}

Result<std::optional<BuildCache>> parse_inline_cache(std::string_view config,
                                                     const std::vector<Descriptor>& layers,
                                                     const BuildCacheLimits& limits) {
  TRY(Json object, parse_json(config));
  if (json_member(object, inline_cache_member) == nullptr) return std::optional<BuildCache>();
  TRY(ImageConfig image, parse_image_config(config));
  if (image.diff_ids.size() != layers.size())
    return failure(Kind::InvalidArgument, "the image has {} layers, and its configuration says {}",
                   layers.size(), image.diff_ids.size());
  TRY(std::string encoded, json_string(object, inline_cache_member));
  TRY(std::string text, from_base64(encoded));
  Json document = Json::object();
  TRY(document["records"], parse_json(text));
  Json list = Json::array();
  for (size_t i = 0; i < layers.size(); ++i) {
    list.push_back({{"blob", layers[i].digest.str()},
                    {"parent", static_cast<int64_t>(i) - 1},
                    {"annotations", {{"diffID", image.diff_ids[i].str()}}}});
  }
  document["layers"] = std::move(list);
  TRY(BuildCache cache, parse_build_cache(to_json(document), layers, limits));
  return std::optional(std::move(cache));
}

}  // namespace berth::spec
