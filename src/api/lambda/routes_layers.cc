// Layers and their versions.
#include <algorithm>
#include <charconv>

#include "api/lambda/code_source.h"
#include "api/lambda/function_json.h"
#include "api/lambda/router.h"
#include "base/format.h"
#include "base/json.h"
#include "io/event_loop.h"

namespace berth::api::lambda {
namespace {

using functions::LayerReference;
using functions::LayerVersion;

AwsResult<LayerReference> layer_name(const Call& call) {
  auto reference = functions::parse_layer_reference(call.capture(), call.realm());
  if (!reference) return aws::validation_exception(reference.error().message());
  return std::move(*reference);
}

Json list_json(const LayerVersion& layer) {
  Json json{{"LayerVersionArn", layer.arn()},
            {"Version", layer.version},
            {"Description", layer.description},
            {"CreatedDate", aws::lambda_time(to_unix_nanoseconds(layer.created))}};
  if (!layer.runtimes.empty()) json["CompatibleRuntimes"] = layer.runtimes;
  if (!layer.architectures.empty()) json["CompatibleArchitectures"] = layer.architectures;
  if (!layer.license.empty()) json["LicenseInfo"] = layer.license;
  return json;
}

Json whole_json(Call& call, const LayerVersion& layer) {
  Json json = list_json(layer);
  json["LayerArn"] = layer.layer_arn();
  json["Content"] = {{"Location", code_location(call.exchange(), layer.code_sha256)},
                     {"CodeSha256", layer.code_sha256},
                     {"CodeSize", layer.code_size}};
  return json;
}

io::Task<AwsResult<Reply>> publish_layer_version(Call& call) {
  CO_TRY(Json request, call.json());
  CO_TRY(LayerReference name, layer_name(call));
  LayerVersion layer{.realm = name.realm, .name = name.name};
  CO_TRY(auto description, text_member(request, "Description"));
  if (description && description->size() > 256) {
    co_return aws::validation_exception(
        functions::validation_error(description->substr(0, 300), "description",
                                    "Member must have length less than or equal to 256")
            .message());
  }
  CO_TRY(auto license, text_member(request, "LicenseInfo"));
  CO_TRY(auto runtimes, texts_member(request, "CompatibleRuntimes"));
  CO_TRY(auto architectures, texts_member(request, "CompatibleArchitectures"));
  for (const std::string& each : architectures.value_or(std::vector<std::string>())) {
    CO_CHECK(check_enum(each, "compatibleArchitectures", {"x86_64", "arm64"}));
  }
  layer.description = description.value_or("");
  layer.license = license.value_or("");
  layer.runtimes = runtimes.value_or(std::vector<std::string>());
  layer.architectures = architectures.value_or(std::vector<std::string>());
  const Json* content = member(request, "Content");
  if (content == nullptr || !content->is_object()) co_return missing_member("content");
  CO_TRY(auto package, co_await take_zip(call, *content));
  layer.code_sha256 = package.sha256;
  layer.code_size = package.size;
  layer.directory = package.directory;
  CO_TRY(const LayerVersion* kept, call.catalog().add_layer(std::move(layer)));
  Json shown = whole_json(call, *kept);
  if (member(request, "CompatibleRuntimes") != nullptr) shown["CompatibleRuntimes"] = kept->runtimes;
  co_return aws::json_reply(201, shown);
}

bool matches(const Call& call, const LayerVersion& layer) {
  auto fits = [](std::string_view wanted, const std::vector<std::string>& given) {
    return wanted.empty() || std::find(given.begin(), given.end(), wanted) != given.end();
  };
  return fits(call.query("CompatibleRuntime"), layer.runtimes) &&
         fits(call.query("CompatibleArchitecture"), layer.architectures);
}

AwsResult<Reply> list_layer_versions(Call& call) {
  TRY(LayerReference name, layer_name(call));
  auto layers = call.catalog().layer_versions(name.realm, name.name);
  std::erase_if(layers, [&](const LayerVersion* layer) { return !matches(call, *layer); });
  TRY(Page page, page_of(call, layers.size()));
  Json items = Json::array();
  for (size_t i = page.begin; i < page.end; ++i) items.push_back(list_json(*layers[i]));
  return page_reply("LayerVersions", std::move(items), page);
}

AwsResult<const LayerVersion*> find_layer(Call& call, const LayerReference& name, uint64_t version) {
  const LayerVersion* layer = call.catalog().find_layer(name.realm, name.name, version);
  if (layer == nullptr) {
    return aws::resource_not_found("The resource you requested does not exist.");
  }
  return layer;
}

AwsResult<uint64_t> version_number(const Call& call) {
  uint64_t version = 0;
  const std::string& text = call.capture(1);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return AwsError{400, "SerializationException", fmt::format("NUMBER_VALUE cannot be converted: {}", text)};
  }
  if (version == 0) return aws::invalid_parameter("Layer Version Cannot be less than 1");
  return version;
}

AwsResult<Reply> get_layer_version(Call& call) {
  TRY(LayerReference name, layer_name(call));
  TRY(uint64_t version, version_number(call));
  TRY(const LayerVersion* layer, find_layer(call, name, version));
  return aws::json_reply(200, whole_json(call, *layer));
}

io::Task<AwsResult<Reply>> delete_layer_version(Call& call) {
  CO_TRY(LayerReference name, layer_name(call));
  CO_TRY(uint64_t version, version_number(call));
  CO_CHECK(call.catalog().remove_layer(name.realm, name.name, version));
  co_await collect_code(call.services());
  co_return aws::empty_reply(204);
}

/// GetLayerVersionByArn: the same path with find=LayerVersion.
AwsResult<Reply> get_layer_version_by_arn(Call& call) {
  auto name = functions::parse_layer_reference(call.query("Arn"), call.realm());
  if (!name || !name->version) {
    return aws::validation_exception(
        functions::validation_error(
            call.query("Arn"), "arn",
            "Member must satisfy regular expression pattern: "
            "(arn:(aws[a-zA-Z-]*)?:lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:"
            "\\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|"
            "(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)")
            .message());
  }
  bool foreign = name->realm.account != call.realm().account;
  if (foreign && call.catalog().find_layer(name->realm, name->name, *name->version) == nullptr)
    return foreign_layer(call, call.query("Arn"));
  TRY(const LayerVersion* layer, find_layer(call, *name, *name->version));
  return aws::json_reply(200, whole_json(call, *layer));
}

AwsResult<Reply> list_layers(Call& call) {
  if (call.query("find") == "LayerVersion") return get_layer_version_by_arn(call);
  std::vector<const LayerVersion*> newest;
  for (const std::string& name : call.catalog().layer_names(call.realm())) {
    for (const LayerVersion* layer : call.catalog().layer_versions(call.realm(), name)) {
      if (!matches(call, *layer)) continue;
      newest.push_back(layer);
      break;
    }
  }
  TRY(Page page, page_of(call, newest.size()));
  Json items = Json::array();
  for (size_t i = page.begin; i < page.end; ++i) {
    items.push_back({{"LayerName", newest[i]->name},
                     {"LayerArn", newest[i]->layer_arn()},
                     {"LatestMatchingVersion", list_json(*newest[i])}});
  }
  return page_reply("Layers", std::move(items), page);
}

constexpr Operation operations[] = {
    {.name = "PublishLayerVersion",
     .method = "POST",
     .pattern = "/2018-10-31/layers/{}/versions",
     .work = publish_layer_version,
     .body = BodySize::Code},
    {.name = "ListLayerVersions",
     .method = "GET",
     .pattern = "/2018-10-31/layers/{}/versions",
     .answer = list_layer_versions},
    {.name = "GetLayerVersion",
     .method = "GET",
     .pattern = "/2018-10-31/layers/{}/versions/{}",
     .answer = get_layer_version},
    {.name = "DeleteLayerVersion",
     .method = "DELETE",
     .pattern = "/2018-10-31/layers/{}/versions/{}",
     .work = delete_layer_version},
    {.name = "ListLayers", .method = "GET", .pattern = "/2018-10-31/layers", .answer = list_layers},
};

}  // namespace

std::span<const Operation> layer_operations() {
  return operations;
}

}  // namespace berth::api::lambda
