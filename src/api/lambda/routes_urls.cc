// Function URL configurations.
#include "api/lambda/function_json.h"
#include "api/lambda/function_url.h"
#include "api/lambda/router.h"
#include "base/format.h"
#include "base/id.h"
#include "base/json.h"

namespace berth::api::lambda {
namespace {

using functions::FunctionEntry;
using functions::FunctionSettings;
using functions::UrlConfig;

constexpr size_t id_length = 32;

/// AWS's ids are 32 letters and digits.
std::string new_url_id() {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz234567";
  std::string random = random_hex(id_length);
  std::string id;
  auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i < id_length; ++i) {
    id.push_back(letters[static_cast<size_t>(value(random[2 * i]) * 16 + value(random[2 * i + 1])) % 32]);
  }
  return id;
}

Json cors_json(const UrlConfig::Cors& cors) {
  Json json = Json::object();
  json["AllowCredentials"] = cors.allow_credentials;
  if (!cors.allow_headers.empty()) json["AllowHeaders"] = cors.allow_headers;
  if (!cors.allow_methods.empty()) json["AllowMethods"] = cors.allow_methods;
  if (!cors.allow_origins.empty()) json["AllowOrigins"] = cors.allow_origins;
  if (!cors.expose_headers.empty()) json["ExposeHeaders"] = cors.expose_headers;
  if (cors.max_age) json["MaxAge"] = *cors.max_age;
  return json;
}

enum class Fresh { No, Yes };
Json url_json(Call& call, const FunctionEntry& entry, const UrlConfig& url, Fresh fresh = Fresh::No) {
  std::string arn = functions::function_arn(entry.realm(), entry.name());
  if (!url.qualifier.empty()) arn.append(":").append(url.qualifier);
  Json json{{"FunctionUrl", function_url(call.exchange(), call.services().port, entry.realm(), url.id)},
            {"FunctionArn", arn},
            {"AuthType", url.auth_type},
            {"InvokeMode", url.invoke_mode},
            {"CreationTime", aws::iso_milliseconds(to_unix_nanoseconds(url.created))}};
  if (fresh == Fresh::No) json["LastModifiedTime"] = aws::iso_milliseconds(to_unix_nanoseconds(url.modified));
  if (url.cors) json["Cors"] = cors_json(*url.cors);
  return json;
}

AwsResult<UrlConfig::Cors> read_cors(const Json& given) {
  if (!given.is_object()) return AwsError{400, "SerializationException", "Cors must be an object"};
  UrlConfig::Cors cors;
  TRY(auto credentials, flag_member(given, "AllowCredentials"));
  cors.allow_credentials = credentials.value_or(false);
  struct List {
    const char* name;
    std::vector<std::string>* list;
  };
  for (const List& each :
       {List{"AllowHeaders", &cors.allow_headers}, List{"AllowMethods", &cors.allow_methods},
        List{"AllowOrigins", &cors.allow_origins}, List{"ExposeHeaders", &cors.expose_headers}}) {
    TRY(auto texts, texts_member(given, each.name));
    if (texts && texts->size() > 100)
      return aws::invalid_parameter(fmt::format("{} has more than 100 items", each.name));
    if (texts) *each.list = std::move(*texts);
  }
  TRY(auto age, number_member(given, "MaxAge"));
  if (age) {
    CHECK(check_range(*age, "cors.maxAge", 0, 86'400));
    cors.max_age = static_cast<uint32_t>(*age);
  }
  return cors;
}

AwsResult<void> apply_url(const Json& request, UrlConfig& url) {
  TRY(auto auth, text_member(request, "AuthType"));
  if (auth) {
    CHECK(check_enum(*auth, "authType", {"NONE", "AWS_IAM"}));
    url.auth_type = *auth;
  }
  TRY(auto mode, text_member(request, "InvokeMode"));
  if (mode) {
    CHECK(check_enum(*mode, "invokeMode", {"RESPONSE_STREAM", "BUFFERED"}));
    url.invoke_mode = *mode;
  }
  if (const Json* cors = member(request, "Cors")) {
    TRY(url.cors, read_cors(*cors));
  }
  url.modified = now();
  return {};
}

/// The alias that the request names. A name may end with $LATEST, which is the function itself; with another
/// version it has no URL.
AwsResult<std::string> named_alias(Call& call) {
  TRY(std::string qualifier, call.qualifier());
  bool given = !call.query("Qualifier").empty();
  if (!given && qualifier == functions::latest_version) return std::string();
  if (given && !functions::is_alias_name(qualifier)) {
    return aws::validation_exception(
        functions::validation_error(
            qualifier, "qualifier",
            "Member must satisfy regular expression pattern: ((?!^\\d+$)^[0-9a-zA-Z-_]+$)")
            .message());
  }
  if (functions::is_version_number(qualifier))
    return aws::invalid_parameter("Function URLs are for functions and their aliases, not for versions.");
  return qualifier;
}

AwsResult<void> check_alias(const FunctionEntry& entry, const std::string& alias) {
  if (alias.empty() || entry.settings().aliases.count(alias) != 0) return {};
  return aws::resource_not_found("Function does not exist");
}

AwsResult<const FunctionEntry*> url_function(Call& call) {
  TRY(auto reference, call.function_reference());
  const FunctionEntry* entry = call.catalog().find(reference.realm, reference.name);
  if (entry == nullptr) return aws::resource_not_found("Function does not exist");
  return entry;
}

AwsResult<Reply> create_url(Call& call) {
  TRY(Json request, call.json());
  TRY(std::string qualifier, named_alias(call));
  TRY(const FunctionEntry* entry, url_function(call));
  CHECK(check_alias(*entry, qualifier));
  if (functions::is_per_tenant(*entry->latest()))
    return aws::invalid_parameter("Function URLs are not supported for functions with TenancyConfig.");
  if (member(request, "AuthType") == nullptr) return missing_member("authType");
  if (entry->settings().urls.count(qualifier) != 0) {
    return aws::resource_conflict(fmt::format(
        "Failed to create function url config for [functionArn = {}]. Error message:  FunctionUrlConfig "
        "exists for this Lambda function",
        functions::function_arn(entry->realm(), entry->name()) + (qualifier.empty() ? "" : ":" + qualifier)));
  }
  UrlConfig url{.id = new_url_id(), .qualifier = qualifier, .created = now()};
  CHECK(apply_url(request, url));
  CHECK(call.catalog().update_settings(entry->realm(), entry->name(), [&](FunctionSettings& settings) {
    settings.urls[qualifier] = url;
    return Result<void>();
  }));
  return aws::json_reply(201, url_json(call, *entry, url, Fresh::Yes));
}

struct Asked {
  const FunctionEntry* entry;
  std::string qualifier;
  const UrlConfig* url;
};
AwsResult<Asked> asked_url(Call& call) {
  TRY(std::string qualifier, named_alias(call));
  AwsError none = aws::resource_not_found("The resource you requested does not exist.");
  auto entry = url_function(call);
  if (!entry) return entry.error().status == 404 ? none : entry.error();
  auto found = (*entry)->settings().urls.find(qualifier);
  if (found == (*entry)->settings().urls.end()) return none;
  return Asked{*entry, qualifier, &found->second};
}

AwsResult<Reply> get_url(Call& call) {
  TRY(Asked asked, asked_url(call));
  return aws::json_reply(200, url_json(call, *asked.entry, *asked.url));
}

AwsResult<Reply> update_url(Call& call) {
  TRY(Json request, call.json());
  TRY(std::string qualifier, named_alias(call));
  TRY(const FunctionEntry* named, url_function(call));
  CHECK(check_alias(*named, qualifier));
  TRY(Asked asked, asked_url(call));
  UrlConfig url = *asked.url;
  CHECK(apply_url(request, url));
  const FunctionEntry& entry = *asked.entry;
  CHECK(call.catalog().update_settings(entry.realm(), entry.name(), [&](FunctionSettings& settings) {
    settings.urls[asked.qualifier] = url;
    return Result<void>();
  }));
  return aws::json_reply(200, url_json(call, entry, url));
}

AwsResult<Reply> delete_url(Call& call) {
  TRY(Asked asked, asked_url(call));
  CHECK(call.catalog().update_settings(asked.entry->realm(), asked.entry->name(),
                                       [&](FunctionSettings& settings) {
                                         settings.urls.erase(asked.qualifier);
                                         return Result<void>();
                                       }));
  return aws::empty_reply(204);
}

AwsResult<Reply> list_urls(Call& call) {
  TRY(const FunctionEntry* entry, url_function(call));
  std::vector<const UrlConfig*> urls;
  for (const auto& [qualifier, url] : entry->settings().urls) urls.push_back(&url);
  TRY(Page page, page_of(call, urls.size()));
  Json items = Json::array();
  for (size_t i = page.begin; i < page.end; ++i) items.push_back(url_json(call, *entry, *urls[i]));
  return page_reply("FunctionUrlConfigs", std::move(items), page);
}

constexpr std::string_view path = "/2021-10-31/functions/{}/url";
constexpr Operation operations[] = {
    {.name = "CreateFunctionUrlConfig", .method = "POST", .pattern = path, .answer = create_url},
    {.name = "GetFunctionUrlConfig", .method = "GET", .pattern = path, .answer = get_url},
    {.name = "UpdateFunctionUrlConfig", .method = "PUT", .pattern = path, .answer = update_url},
    {.name = "DeleteFunctionUrlConfig", .method = "DELETE", .pattern = path, .answer = delete_url},
    {.name = "ListFunctionUrlConfigs",
     .method = "GET",
     .pattern = "/2021-10-31/functions/{}/urls",
     .answer = list_urls},
};

}  // namespace

std::span<const Operation> url_operations() {
  return operations;
}

}  // namespace berth::api::lambda
