// The cache configuration: {"layers": [{"blob", "parent", "annotations"}], "records": [{"digest", "layers":
// [{"layer", "createdAt"}], "berth": {...}}]}. Of BuildKit's members those that lead from keys to layers are
// written; "berth" has what BuildKit does not know.
#include "spec/build_cache.h"

#include <algorithm>
#include <map>

#include "base/format.h"
#include "base/json.h"
#include "spec/image_json.h"

namespace berth::spec {
namespace {

constexpr size_t max_description = 1024;

Error invalid(std::string_view why) {
  return failure(Kind::InvalidArgument, "invalid build cache: {}", why);
}

Result<const Json*> array_of(const Json& object, const char* name, size_t limit) {
  static const Json empty = Json::array();
  const Json* list = json_member(object, name);
  if (list == nullptr) return &empty;
  if (!list->is_array()) return invalid(fmt::format("\"{}\" is no list", name));
  if (list->size() > limit) return invalid(fmt::format("more than {} {}", limit, name));
  return list;
}

/// None: the member is missing or -1, as BuildKit writes the bottom. Indexes are below `count`.
Result<std::optional<size_t>> index_of(const Json& object, const char* name, size_t count) {
  if (json_member(object, name) == nullptr) return std::optional<size_t>();
  TRY(int64_t value, json_int(object, name));
  if (value == -1) return std::optional<size_t>();
  if (value < 0 || static_cast<uint64_t>(value) >= count)
    return invalid(fmt::format("\"{}\" leads to no earlier layer: {}", name, value));
  return std::optional<size_t>(static_cast<size_t>(value));
}

Result<BuildCacheLayer> parse_layer(const Json& entry, size_t place,
                                    const std::map<Digest, const Descriptor*>& blobs) {
  if (!entry.is_object()) return invalid("a layer is no object");
  TRY(std::string text, json_string(entry, "blob"));
  TRY(Digest digest, Digest::parse(text));
  auto blob = blobs.find(digest);
  if (blob == blobs.end()) return invalid(fmt::format("its manifest has no layer {}", digest.str()));
  if (!is_layer_type(blob->second->media_type))
    return invalid(fmt::format("{} is of no layer's type", digest.str()));
  const Json* annotations = json_member(entry, "annotations");
  if (annotations == nullptr) return invalid(fmt::format("layer {} has no diffID", digest.str()));
  TRY(std::string diff_id, json_string(*annotations, "diffID"));
  TRY(Digest plain, Digest::parse(diff_id));
  BuildCacheLayer layer{.blob = *blob->second, .diff_id = std::move(plain)};
  layer.blob.urls.clear();
  TRY(layer.parent, index_of(entry, "parent", place));
  return layer;
}

/// Nothing: another tool's.
Result<std::optional<BuildCacheRecord>> parse_record(const Json& entry, size_t layers) {
  using Record = std::optional<BuildCacheRecord>;
  if (!entry.is_object()) return invalid("a record is no object");
  const Json* ours = json_member(entry, "berth");
  if (ours == nullptr) return Record();
  TRY(std::string key, json_string(entry, "digest"));
  TRY(Digest digest, Digest::parse(key));
  BuildCacheRecord record{.key = std::move(digest)};
  TRY(const Json* results, array_of(entry, "layers", 1));
  if (!results->empty()) {
    TRY(record.layer, index_of(results->front(), "layer", layers));
    if (!record.layer) return invalid("a record leads to no layer");
  }
  TRY(record.made_layer, json_bool(*ours, "madeLayer"));
  if (record.made_layer && !record.layer) return invalid("a record has made a layer that it does not name");
  TRY(std::string created, json_string(*ours, "createdAt"));
  TRY(record.created, parse_rfc3339(created));
  TRY(record.description, json_string(*ours, "description"));
  record.description.resize(std::min(record.description.size(), max_description));
  TRY(int64_t size, json_int(*ours, "size"));
  if (size < 0) return invalid("a negative size");
  record.size = static_cast<uint64_t>(size);
  return Record(std::move(record));
}

}  // namespace

std::vector<const BuildCacheLayer*> BuildCache::chain(size_t layer) const {
  std::vector<const BuildCacheLayer*> found;
  for (std::optional<size_t> at = layer; at; at = layers[*at].parent) found.push_back(&layers[*at]);
  std::reverse(found.begin(), found.end());
  return found;
}

Result<BuildCache> parse_build_cache(std::string_view config, const std::vector<Descriptor>& blobs,
                                     const BuildCacheLimits& limits) {
  TRY(Json object, parse_json(config));
  if (!object.is_object()) return invalid("no JSON object");
  std::map<Digest, const Descriptor*> by_digest;
  for (const Descriptor& blob : blobs) by_digest.emplace(blob.digest, &blob);
  BuildCache cache;
  TRY(const Json* layers, array_of(object, "layers", limits.max_layers));
  for (const Json& entry : *layers) {
    TRY(auto layer, parse_layer(entry, cache.layers.size(), by_digest));
    cache.layers.push_back(std::move(layer));
  }
  TRY(const Json* records, array_of(object, "records", limits.max_records));
  for (const Json& entry : *records) {
    TRY(auto record, parse_record(entry, cache.layers.size()));
    if (record) cache.records.push_back(std::move(*record));
  }
  return cache;
}

std::string serialise(const BuildCache& cache) {
  Json layers = Json::array();
  for (const BuildCacheLayer& layer : cache.layers) {
    layers.push_back({{"blob", layer.blob.digest.str()},
                      {"parent", layer.parent ? static_cast<int64_t>(*layer.parent) : -1},
                      {"annotations",
                       {{"mediaType", layer.blob.media_type},
                        {"diffID", layer.diff_id.str()},
                        {"size", layer.blob.size}}}});
  }
  Json records = Json::array();
  for (const BuildCacheRecord& record : cache.records) {
    std::string created = to_rfc3339(record.created);
    Json entry = {{"digest", record.key.str()},
                  {"berth",
                   {{"madeLayer", record.made_layer},
                    {"createdAt", created},
                    {"description", record.description},
                    {"size", record.size}}}};
    if (record.layer) entry["layers"] = Json::array({{{"layer", *record.layer}, {"createdAt", created}}});
    records.push_back(std::move(entry));
  }
  return to_json({{"layers", std::move(layers)}, {"records", std::move(records)}});
}

}  // namespace berth::spec
