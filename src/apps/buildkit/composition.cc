#include "apps/buildkit/composition.h"

#include <optional>

#include "apps/buildkit/provenance.h"
#include "base/format.h"
#include "base/json.h"
#include "spec/image.h"
#include "spec/reference.h"

namespace berth::buildkit {
namespace {

struct Annotation {
  enum class Place { Manifest, ManifestDescriptor, Index, IndexDescriptor } place = Place::Manifest;
  std::string platform = {};  ///< empty: all
  std::string key = {};
};

/// None: the attribute is no annotation.
Result<std::optional<Annotation>> parse_annotation(const std::string& attribute) {
  constexpr std::string_view word = "annotation";
  if (!attribute.starts_with(word)) return std::optional<Annotation>();
  std::string_view rest = std::string_view(attribute).substr(word.size());
  Annotation annotation;
  using Place = Annotation::Place;
  for (auto [text, place] : {std::pair{"-manifest-descriptor", Place::ManifestDescriptor},
                             {"-index-descriptor", Place::IndexDescriptor},
                             {"-manifest", Place::Manifest},
                             {"-index", Place::Index}}) {
    if (!rest.starts_with(text)) continue;
    annotation.place = place;
    rest.remove_prefix(std::string_view(text).size());
    break;
  }
  if (rest.starts_with('[')) {
    const size_t end = rest.find(']');
    if (end == rest.npos)
      return failure(Kind::InvalidArgument, "invalid annotation {}", attribute.substr(0, 128));
    TRY(const auto platform, spec::Platform::parse(rest.substr(1, end - 1)));
    annotation.platform = platform.str();
    rest.remove_prefix(end + 1);
  }
  if (!rest.starts_with('.')) return std::optional<Annotation>();
  annotation.key = rest.substr(1);
  if (annotation.key.empty()) return Error(Kind::InvalidArgument, "an annotation needs a key");
  return std::optional<Annotation>(std::move(annotation));
}

bool has_annotations(const ExportRequest& request) {
  for (const auto& [name, value] : request.attributes) {
    const auto annotation = parse_annotation(name);
    if (!annotation || *annotation) return true;  // one that is wrong is told when it is used
  }
  return false;
}

Result<void> annotate(const Annotation& annotation, const std::string& value, Json& composition) {
  using Place = Annotation::Place;
  if (annotation.place == Place::Index || annotation.place == Place::IndexDescriptor) {
    composition[annotation.place == Place::Index ? "Annotations" : "DescriptorAnnotations"][annotation.key] =
        value;
    composition["Index"] = true;
    return {};
  }
  bool found = false;
  for (Json& image : composition["Images"]) {
    if (!annotation.platform.empty() && image["Platform"] != annotation.platform) continue;
    found = true;
    image[annotation.place == Place::Manifest ? "Annotations" : "DescriptorAnnotations"][annotation.key] =
        value;
  }
  if (found) return {};
  return failure(Kind::InvalidArgument, "annotation {} is for {}, which is not built", annotation.key,
                 annotation.platform);
}

}  // namespace

Result<std::vector<std::string>> names_of(const ExportRequest& request) {
  std::vector<std::string> names;
  auto found = request.attributes.find("name");
  std::string_view text = found == request.attributes.end() ? std::string_view() : found->second;
  while (!text.empty()) {
    size_t end = text.find(',');
    if (end != 0) {
      TRY(const auto reference, spec::Reference::parse(text.substr(0, end)));
      names.push_back(reference.with_default_tag().str());
    }
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return names;
}

Result<Json> composition_of(const Product& product, const ExportRequest& request,
                            WithAttestations attestations) {
  Json composition = {{"Images", Json::array()}, {"Index", product.several}};
  for (const PlatformImage& image : product.images) {
    Json entry = {{"Id", image.id}, {"Platform", image.platform}};
    if (attestations == WithAttestations::Yes && !image.provenance.empty()) {
      TRY(Json predicate, parse_json(image.provenance));
      Json statement = {{"PredicateType", provenance_type}, {"Predicate", std::move(predicate)}};
      entry["Attestations"].push_back(std::move(statement));
    }
    composition["Images"].push_back(std::move(entry));
  }
  TRY(composition["Names"], names_of(request));
  for (const auto& [name, value] : request.attributes) {
    TRY(const auto annotation, parse_annotation(name));
    if (annotation) CHECK(annotate(*annotation, value, composition));
  }
  return composition;
}

bool needs_composition(const Product& product, const ExportRequest& request, WithAttestations attestations) {
  if (product.several || product.images.size() > 1 || has_annotations(request)) return true;
  return attestations == WithAttestations::Yes && !product.images.front().provenance.empty();
}

Result<Composed> compose(const EngineClient& engine, const Json& composition, Keep keep,
                         const Cancelled& cancelled) {
  EngineRequest request{.method = "POST",
                        .path = "/berth/images/compose",
                        .headers = {"Content-Type: application/json"},
                        .body = to_json(composition),
                        .cancelled = cancelled};
  if (keep == Keep::Yes) request.query.emplace_back("keep", "1");
  TRY(const auto answer, engine.send(std::move(request)));
  TRY(const Json object, parse_json(answer.body));
  Composed composed;
  TRY(composed.image, json_string(object, "Image"));
  const Json* descriptor = json_member(object, "Descriptor");
  if (descriptor == nullptr) return Error(Kind::Internal, "the engine answered without a descriptor");
  TRY(composed.digest, json_string(*descriptor, "digest"));
  composed.descriptor = to_json(*descriptor);
  return composed;
}

Result<void> read_layout(const EngineClient& engine, const Json& composition, const std::string& format,
                         const std::function<Result<void>(std::string_view)>& write,
                         const Cancelled& cancelled) {
  EngineRequest request{.method = "POST",
                        .path = "/berth/images/layout",
                        .query = {{"format", format}},
                        .headers = {"Content-Type: application/json"},
                        .body = to_json(composition),
                        .write = write,
                        .cancelled = cancelled};
  TRY([[maybe_unused]] const auto answer, engine.send(std::move(request)));
  return {};
}

}  // namespace berth::buildkit
