// /berth/images/...: verification, the tree of layers, pins.
#include "api/docker/routes_image_care.h"

#include "api/docker/json_lines.h"
#include "base/json.h"
#include "engine/image_care.h"
#include "engine/image_quota.h"
#include "io/cancel.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

Json optional_digest(const std::optional<Digest>& digest) {
  return digest ? Json(digest->str()) : Json(nullptr);
}

Json report_json(const storage::VerifyReport& report) {
  Json faults = Json::array();
  for (const storage::VerifyFault& fault : report.faults) {
    faults.push_back({{"Images", fault.images},
                      {"Part", to_string(fault.part)},
                      {"Digest", fault.digest.str()},
                      {"Trouble", fault.trouble}});
  }
  return {{"Images", report.images},
          {"Blobs", report.blobs},
          {"Layers", report.layers},
          {"Bytes", report.bytes},
          {"Faults", std::move(faults)}};
}

Outcome verify_into(Context& context, JsonLines& lines, std::vector<std::string> references) {
  JsonLines* target = &lines;
  storage::ProgressCallback progress = [target](const storage::Progress& step) {
    target->push({{"status", step.status}, {"id", step.id}}, JsonLines::Weight::Progress);
  };
  engine::ImageCare care(context.engine(), context.loop());
  auto verifying = care.verify(std::move(references), std::move(progress));
  auto waited = io::unless_cancelled(std::move(verifying), context.exchange().client_gone());
  CO_TRY(auto report, co_await std::move(waited));
  lines.push({{"aux", report_json(report)}});
  co_return Result<void>();
}

Outcome verify(Context& context) {
  std::vector<std::string> references;
  for (std::string_view name : context.exchange().query().all("image")) references.emplace_back(name);
  JsonLines lines(context.exchange());
  co_return co_await lines.run(verify_into(context, lines, std::move(references)));
}

Outcome tree(Context& context) {
  engine::ImageCare care(context.engine(), context.loop());
  CO_TRY(auto found, co_await care.tree());
  Json layers = Json::array();
  for (const storage::TreeLayer& layer : found.layers) {
    layers.push_back({{"ChainId", layer.chain_id.str()},
                      {"DiffId", layer.diff_id.str()},
                      {"Parent", optional_digest(layer.parent)},
                      {"Size", layer.size},
                      {"BlobSize", layer.blob_bytes},
                      {"Images", layer.images}});
  }
  Json images = Json::array();
  for (const storage::TreeImage& image : found.images) {
    images.push_back({{"Id", image.id.str()},
                      {"Names", image.names},
                      {"ChainId", optional_digest(image.chain_id)},
                      {"Size", image.size},
                      {"Frees", image.frees},
                      {"Containers", image.containers},
                      {"Children", image.children}});
  }
  Json answer = {
      {"Layers", std::move(layers)}, {"Images", std::move(images)}, {"LayersSize", found.layers_bytes}};
  co_return co_await context.json(200, std::move(answer));
}

Outcome pin(Context& context) {
  CO_CHECK(context.engine().image_quota().pin(context.capture()));
  co_return co_await context.empty(204);
}

Outcome unpin(Context& context) {
  CO_CHECK(context.engine().image_quota().unpin(context.capture()));
  co_return co_await context.empty(204);
}

Outcome pins(Context& context) {
  CO_TRY(auto names, context.engine().image_quota().pins());
  Json answer = names;
  co_return co_await context.json(200, std::move(answer));
}

constexpr Route routes[] = {
    {"GET", "/berth/images/pins", pins},
    {"POST", "/berth/images/{name*}/pin", pin},
    {"DELETE", "/berth/images/{name*}/pin", unpin},
    {"POST", "/berth/images/verify", verify},
    {"GET", "/berth/images/tree", tree},
};

}  // namespace

std::span<const Route> image_care_routes() {
  return routes;
}

}  // namespace berth::api
