// From layers that name their parents to images.
#include "storage/legacy_archive.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/format.h"
#include "base/json.h"
#include "base/sha256.h"
#include "spec/image.h"
#include "storage/compression.h"

namespace berth::storage {
namespace {

constexpr size_t max_document = 8u << 20;
constexpr size_t most_layers = 500;  ///< what overlayfs stacks at most
constexpr size_t most_names = 1024;
constexpr size_t most_documents = 16384;  ///< read of all images together

bool is_layer_id(std::string_view id) {
  return id.size() == 64 && id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// One layer's own configuration, as docker wrote it to <id>/json.
struct LegacyLayer {
  std::string id;
  std::string parent;  ///< empty: the bottom
  Json document;
};

class LegacyReader {
 public:
  LegacyReader(ArchiveSpool& spool, const std::stop_token& stop) : spool_(spool), stop_(stop) {}

  Result<std::vector<LegacyImage>> read() {
    TRY(const std::string text, spool_.document("repositories", max_document));
    TRY(const Json repositories, parse_json(text));
    if (!repositories.is_object())
      return Error(Kind::InvalidArgument, "invalid archive: \"repositories\" is no JSON object");
    std::map<std::string, std::vector<spec::Reference>> names;
    size_t count = 0;
    for (const auto& [repository, tags] : repositories.items()) {
      if (!tags.is_object())
        return failure(Kind::InvalidArgument, "invalid archive: the tags of \"{}\" are no JSON object",
                       repository.substr(0, 256));
      for (const auto& [tag, id] : tags.items()) {
        if (++count > most_names)
          return failure(Kind::InvalidArgument, "invalid archive: more than {} tags", most_names);
        TRY(auto name, name_of(repository, tag));
        if (!id.is_string() || !is_layer_id(id.get_ref<const std::string&>()))
          return failure(Kind::InvalidArgument, "invalid archive: {} means no layer", name.familiar_string());
        names[id.get<std::string>()].push_back(std::move(name));
      }
    }
    std::vector<LegacyImage> images;
    for (auto& [id, references] : names) {
      TRY(auto image, read_image(id));
      image.names = std::move(references);
      images.push_back(std::move(image));
    }
    return images;
  }

 private:
  static Result<spec::Reference> name_of(const std::string& repository, const std::string& tag) {
    auto reference = spec::Reference::parse(repository + ":" + tag);
    if (!reference)
      return failure(Kind::InvalidArgument, "invalid tag \"{}:{}\": {}", repository.substr(0, 256),
                     tag.substr(0, 128), reference.error().message());
    return std::move(*reference);
  }

  Result<LegacyLayer> read_layer(const std::string& id) {
    if (++documents_ > most_documents)
      return failure(Kind::InvalidArgument, "invalid archive: its images have more than {} layers",
                     most_documents);
    TRY(const std::string text, spool_.document(id + "/json", max_document));
    LegacyLayer layer{.id = id, .parent = {}, .document = {}};
    TRY(layer.document, parse_json(text));
    if (!layer.document.is_object())
      return failure(Kind::InvalidArgument, "invalid archive: the configuration of {} is no JSON object",
                     id.substr(0, 12));
    TRY(layer.parent, json_string(layer.document, "parent"));
    if (!layer.parent.empty() && !is_layer_id(layer.parent))
      return failure(Kind::InvalidArgument, "invalid archive: the parent of {} is no layer",
                     id.substr(0, 12));
    return layer;
  }

  /// Bottom first.
  Result<std::vector<LegacyLayer>> read_chain(const std::string& top) {
    std::vector<LegacyLayer> chain;
    std::set<std::string> seen;
    for (std::string id = top; !id.empty(); id = chain.back().parent) {
      if (!seen.insert(id).second)
        return failure(Kind::InvalidArgument, "invalid archive: {} is its own parent", id.substr(0, 12));
      if (chain.size() >= most_layers)
        return failure(Kind::InvalidArgument, "invalid archive: an image of more than {} layers",
                       most_layers);
      TRY(auto layer, read_layer(id));
      chain.push_back(std::move(layer));
    }
    std::reverse(chain.begin(), chain.end());
    return chain;
  }

  Result<LegacyImage> read_image(const std::string& top) {
    TRY(const auto chain, read_chain(top));
    LegacyImage image;
    Json config = chain.back().document;
    for (const char* own : {"id", "parent", "Size", "parent_id", "layer_id", "throwaway"}) config.erase(own);
    Json diff_ids = Json::array();
    Json history = Json::array();
    for (const auto& layer : chain) {
      image.layers.push_back(layer.id + "/layer.tar");
      TRY(const Digest diff_id, diff_id_of(image.layers.back()));
      diff_ids.push_back(diff_id.str());
      TRY(auto entry, history_of(layer));
      history.push_back(std::move(entry));
    }
    config["rootfs"] = {{"type", "layers"}, {"diff_ids", std::move(diff_ids)}};
    config["history"] = std::move(history);
    if (!config.contains("os")) config["os"] = "linux";
    image.config_bytes = to_json(config);
    return image;
  }

  static Result<Json> history_of(const LegacyLayer& layer) {
    Json entry = Json::object();
    for (const char* key : {"created", "author", "comment"}) {
      TRY(auto text, json_string(layer.document, key));
      if (!text.empty()) entry[key] = std::move(text);
    }
    const auto made_by = layer.document.find("container_config");
    if (made_by == layer.document.end() || !made_by->is_object()) return entry;
    TRY(const auto command, json_strings(*made_by, "Cmd"));
    std::string line;
    for (const auto& word : command) line += (line.empty() ? "" : " ") + word;
    if (!line.empty()) entry["created_by"] = std::move(line);
    return entry;
  }

  /// Digest of the layer's tar, uncompressed.
  Result<Digest> diff_id_of(const std::string& name) {
    const auto known = diff_ids_.find(name);
    if (known != diff_ids_.end()) return known->second;
    SpooledFile* file = spool_.find(name);
    if (file == nullptr)
      return failure(Kind::InvalidArgument, "invalid archive: no layer \"{}\"", name.substr(0, 256));
    const auto source = file->source();
    TRY(const auto plain, decompress(*source));
    Sha256 hash;
    std::array<char, 65536> buffer;
    while (true) {
      if (stop_.stop_requested()) return Error(Kind::Cancelled, "cancelled");
      TRY(const size_t count, plain->read(buffer));
      if (count == 0) break;
      hash.update(std::string_view(buffer.data(), count));
    }
    const Digest digest = hash.finish();
    diff_ids_.emplace(name, digest);
    return digest;
  }

  ArchiveSpool& spool_;
  const std::stop_token& stop_;
  std::map<std::string, Digest> diff_ids_;
  size_t documents_ = 0;
};

}  // namespace

Result<std::vector<LegacyImage>> read_legacy_archive(ArchiveSpool& spool, const std::stop_token& stop) {
  return LegacyReader(spool, stop).read();
}

}  // namespace berth::storage
