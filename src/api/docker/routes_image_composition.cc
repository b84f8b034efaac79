// /berth/images/compose and /berth/images/layout: indexes put together of images that are here
// (docs/extensions.md).
#include "api/docker/byte_bridge.h"
#include "api/docker/routes_image_care.h"
#include "base/format.h"
#include "base/json.h"
#include "engine/image_care.h"
#include "io/cancel.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

constexpr size_t max_names = 256;

/// {"Id": "sha256:...", "Annotations": {}, "DescriptorAnnotations": {},
///  "Attestations": [{"PredicateType": "https://...", "Predicate": {}}]}
Result<storage::ComposedImage> parse_image(const Json& entry) {
  TRY(std::string id, json_string(entry, "Id"));
  TRY(Digest digest, Digest::parse(id));
  storage::ComposedImage image{.id = std::move(digest)};
  TRY(image.annotations, json_string_map(entry, "Annotations"));
  TRY(image.descriptor_annotations, json_string_map(entry, "DescriptorAnnotations"));
  const Json* attestations = json_member(entry, "Attestations");
  if (attestations == nullptr || attestations->is_null()) return image;
  if (!attestations->is_array())
    return Error(Kind::InvalidArgument, "invalid JSON: Attestations must be a list");
  for (const Json& one : *attestations) {
    storage::Attestation attestation;
    TRY(attestation.predicate_type, json_string(one, "PredicateType"));
    const Json* predicate = json_member(one, "Predicate");
    if (attestation.predicate_type.empty() || predicate == nullptr)
      return Error(Kind::InvalidArgument, "an attestation needs a PredicateType and a Predicate");
    attestation.predicate = to_json(*predicate);
    image.attestations.push_back(std::move(attestation));
  }
  return image;
}

Result<storage::CompositionRequest> parse_request(std::string_view body) {
  TRY(Json object, parse_json(body.empty() ? "{}" : body));
  if (!object.is_object()) return Error(Kind::InvalidArgument, "invalid JSON: the request must be an object");
  storage::CompositionRequest request;
  const Json* images = json_member(object, "Images");
  if (images == nullptr || !images->is_array())
    return Error(Kind::InvalidArgument, "invalid JSON: Images must be a list");
  for (const Json& entry : *images) {
    TRY(auto image, parse_image(entry));
    request.images.push_back(std::move(image));
  }
  TRY(auto names, json_strings(object, "Names"));
  if (names.size() > max_names)
    return failure(Kind::InvalidArgument, "an image gets {} names at most at once", max_names);
  for (const std::string& name : names) {
    TRY(auto reference, spec::Reference::parse(name));
    if (reference.digest())
      return failure(Kind::InvalidArgument, "{}: a name to give cannot have a digest", name);
    request.names.push_back(reference.with_default_tag());
  }
  TRY(request.annotations, json_string_map(object, "Annotations"));
  TRY(request.descriptor_annotations, json_string_map(object, "DescriptorAnnotations"));
  TRY(request.always_index, json_bool(object, "Index"));
  return request;
}

Json answer_of(const storage::Composition& made) {
  Json manifests = Json::array();
  for (const storage::IndexImage& image : made.closure.images) {
    manifests.push_back({{"Digest", image.manifest.str()},
                         {"Image", image.image.str()},
                         {"Platform", image.platform.str()},
                         {"Size", image.size}});
  }
  return {{"Image", made.image.str()},
          {"Descriptor",
           {{"mediaType", made.top.media_type}, {"digest", made.top.digest.str()}, {"size", made.top.size}}},
          {"Manifests", std::move(manifests)}};
}

/// ?keep=1 gives the names; without it the answer tells what there would be.
Outcome compose(Context& context) {
  CO_TRY(std::string body, co_await context.json_body());
  CO_TRY(auto request, parse_request(body));
  const auto keep = context.flag("keep") ? engine::ImageCare::Keep::Yes : engine::ImageCare::Keep::No;
  engine::ImageCare care(context.engine(), context.loop());
  auto composing = care.compose(std::move(request), keep);
  auto waited = io::unless_cancelled(std::move(composing), context.exchange().client_gone());
  CO_TRY(auto made, co_await std::move(waited));
  Json answer = answer_of(made);
  co_return co_await context.json(200, std::move(answer));
}

/// ?format=oci (default) or docker
Outcome layout(Context& context) {
  CO_TRY(std::string body, co_await context.json_body());
  CO_TRY(auto request, parse_request(body));
  const std::string format = context.text("format", "oci");
  if (format != "oci" && format != "docker")
    co_return failure(Kind::InvalidArgument, "format must be oci or docker, not {}", format.substr(0, 64));
  const auto flavour = format == "oci" ? storage::LayoutFlavour::Oci : storage::LayoutFlavour::Docker;
  engine::ImageCare care(context.engine(), context.loop());
  // What cannot be put together is told before the stream begins.
  auto composing = care.compose(request, engine::ImageCare::Keep::No);
  auto waited = io::unless_cancelled(std::move(composing), context.exchange().client_gone());
  CO_TRY(const auto made, co_await std::move(waited));
  if (flavour == storage::LayoutFlavour::Docker && made.closure.images.size() != 1) {
    co_return Error(Kind::InvalidArgument,
                    "docker's archives hold one platform's image: use type=oci for an index of several");
  }
  BodySink sink(context.loop(), context.exchange(), "application/x-tar");
  co_return co_await sink.run(care.layout(std::move(request), flavour, sink));
}

constexpr Route routes[] = {{"POST", "/berth/images/compose", compose},
                            {"POST", "/berth/images/layout", layout}};

}  // namespace

std::span<const Route> image_composition_routes() {
  return routes;
}

}  // namespace berth::api
