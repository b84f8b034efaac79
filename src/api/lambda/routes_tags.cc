// Tags of functions, event source mappings and code signing configurations.
#include <algorithm>

#include "api/lambda/function_json.h"
#include "api/lambda/router.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api::lambda {
namespace {

using functions::FunctionEntry;
using functions::FunctionSettings;
using Tags = std::map<std::string, std::string>;

constexpr size_t most_tags = 50;
constexpr std::string_view resource_pattern =
    "arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:"
    "(function:[a-zA-Z0-9-_]+(:(\\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|"
    "code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-"
    "[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)";

/// The one of these that an ARN names.
struct Tagged {
  const FunctionEntry* entry = nullptr;
  const functions::EventSourceMapping* mapping = nullptr;
  std::optional<Json> signing;  ///< the configuration, with its tags

  Tags tags() const {
    if (entry != nullptr) return entry->settings().tags;
    if (mapping != nullptr) return mapping->tags;
    return signing_config_tags(*signing);
  }
};

AwsError wrong_resource(std::string_view arn) {
  return aws::validation_exception(
      functions::validation_error(
          arn.substr(0, 256), "resource",
          fmt::format("Member must satisfy regular expression pattern: {}", resource_pattern))
          .message());
}

/// What follows "arn:aws:lambda:us-east-1:000000000000:" in an ARN; empty: it is none of this service.
std::string_view resource_of(std::string_view arn) {
  if (!arn.starts_with("arn:aws")) return {};
  for (int part = 0; part < 5; ++part) {
    size_t colon = arn.find(':');
    if (colon == arn.npos) return {};
    if (part == 2 && arn.substr(0, colon) != "lambda") return {};
    arn.remove_prefix(colon + 1);
  }
  return arn;
}

bool is_id(std::string_view text, size_t length) {
  return text.size() == length && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-';
         });
}

AwsResult<Tagged> tagged_mapping(Call& call, std::string_view uuid) {
  if (!is_id(uuid, 36)) return wrong_resource(call.capture());
  const auto* mapping = call.catalog().find_mapping(std::string(uuid));
  if (mapping == nullptr || mapping->arn() != call.capture())
    return aws::resource_not_found(fmt::format("Event source mapping not found: {}", call.capture()));
  return Tagged{.mapping = mapping};
}

AwsResult<Tagged> tagged_signing(Call& call, std::string_view id) {
  if (!id.starts_with("csc-") || !is_id(id, 21)) return wrong_resource(call.capture());
  TRY(auto text, call.catalog().document(signing_config_kind, call.capture()));
  if (!text) return no_signing_config(call.capture());
  Tagged found;
  TRY(found.signing, parse_json(*text));
  return found;
}

AwsResult<Tagged> tagged(Call& call) {
  const std::string& arn = call.capture();
  std::string_view resource = resource_of(arn);
  auto after = [&](std::string_view kind) -> std::optional<std::string_view> {
    if (!resource.starts_with(kind)) return std::nullopt;
    return resource.substr(kind.size());
  };
  if (auto uuid = after("event-source-mapping:")) return tagged_mapping(call, *uuid);
  if (auto id = after("code-signing-config:")) return tagged_signing(call, *id);
  if (auto name = after("capacity-provider:"); name && name->find(':') == name->npos)
    return aws::resource_not_found(fmt::format("Capacity provider not found: {}", arn));
  if (!after("function:")) return wrong_resource(arn);
  auto reference = call.function_reference();
  if (!reference)
    return reference.error().type == "ValidationException" ? wrong_resource(arn) : reference.error();
  if (!reference->qualifier.empty()) {
    return aws::invalid_parameter(
        "Tags on function aliases and versions are not supported. Please specify a function ARN.");
  }
  TRY(const FunctionEntry* entry, call.function());
  return Tagged{.entry = entry};
}

AwsResult<void> keep_tags(Call& call, const Tagged& target, const Tags& tags) {
  if (target.entry != nullptr) {
    auto set = [&](FunctionSettings& settings) {
      settings.tags = tags;
      return Result<void>();
    };
    CHECK(call.catalog().update_settings(target.entry->realm(), target.entry->name(), set));
    return {};
  }
  if (target.mapping != nullptr) {
    functions::EventSourceMapping mapping = *target.mapping;
    mapping.tags = tags;
    CHECK(call.catalog().put_mapping(std::move(mapping)));
    return {};
  }
  Json config = *target.signing;
  config["Tags"] = tags;
  CHECK(call.catalog().put_document({std::string(signing_config_kind), call.capture(), to_json(config)}));
  return {};
}

AwsResult<Reply> list_tags(Call& call) {
  TRY(Tagged target, tagged(call));
  return aws::json_reply(200, {{"Tags", target.tags()}});
}

AwsResult<Reply> tag_resource(Call& call) {
  TRY(Json request, call.json());
  TRY(auto tags, read_tags(request));
  TRY(Tagged target, tagged(call));
  if (tags.empty()) return aws::invalid_parameter("An error occurred and the request cannot be processed.");
  Tags merged = target.tags();
  for (const auto& [key, value] : tags) merged[key] = value;
  if (merged.size() > most_tags) return aws::invalid_parameter("Number of tags exceeds resource tag limit.");
  CHECK(keep_tags(call, target, merged));
  return aws::empty_reply(204);
}

AwsResult<Reply> untag_resource(Call& call) {
  auto keys = call.exchange().query().all("tagKeys");
  if (keys.empty()) return missing_member("tagKeys");
  TRY(Tagged target, tagged(call));
  Tags tags = target.tags();
  for (std::string_view key : keys) tags.erase(std::string(key));
  CHECK(keep_tags(call, target, tags));
  return aws::empty_reply(204);
}

constexpr std::string_view tags_path = "/2017-03-31/tags/{}";
constexpr Operation operations[] = {
    {.name = "ListTags", .method = "GET", .pattern = tags_path, .answer = list_tags},
    {.name = "TagResource", .method = "POST", .pattern = tags_path, .answer = tag_resource},
    {.name = "UntagResource", .method = "DELETE", .pattern = tags_path, .answer = untag_resource},
};

}  // namespace

std::span<const Operation> tag_operations() {
  return operations;
}

}  // namespace berth::api::lambda
