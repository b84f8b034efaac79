// What becomes of asynchronous events: retries, maximum age, destinations.
#include <algorithm>
#include <iterator>
#include <optional>

#include "api/lambda/function_json.h"
#include "api/lambda/router.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api::lambda {
namespace {

using functions::EventInvokeConfig;
using functions::FunctionEntry;
using functions::FunctionSettings;

std::string arn_of(const FunctionEntry& entry, std::string_view qualifier) {
  return functions::function_arn(entry.realm(), entry.name()).append(":").append(qualifier);
}

Json event_invoke_json(const FunctionEntry& entry, const std::string& qualifier,
                       const EventInvokeConfig& config) {
  Json destinations{{"OnSuccess", Json::object()}, {"OnFailure", Json::object()}};
  if (!config.on_success.empty()) destinations["OnSuccess"]["Destination"] = config.on_success;
  if (!config.on_failure.empty()) destinations["OnFailure"]["Destination"] = config.on_failure;
  Json json{{"FunctionArn", arn_of(entry, qualifier)},
            {"LastModified", static_cast<double>(to_unix_nanoseconds(config.modified) / 1'000'000) / 1000.0},
            {"DestinationConfig", std::move(destinations)}};
  if (config.maximum_retries) json["MaximumRetryAttempts"] = *config.maximum_retries;
  if (config.maximum_age_seconds) json["MaximumEventAgeInSeconds"] = *config.maximum_age_seconds;
  return json;
}

constexpr std::string_view destination_pattern =
    "$|kafka://([^.]([a-zA-Z0-9\\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\\-])+:((eusc-)?[a-z]{2}"
    "((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1})?:(\\d{12})?:(.*)";

/// The service of an ARN; nullopt: it is none.
std::optional<std::string_view> service_of(std::string_view arn) {
  if (!arn.starts_with("arn:aws")) return std::nullopt;
  size_t begin = arn.find(':', 4);
  size_t end = begin == arn.npos ? begin : arn.find(':', begin + 1);
  if (end == arn.npos) return std::nullopt;
  std::string_view service = arn.substr(begin + 1, end - begin - 1);
  bool valid = !service.empty() && std::all_of(service.begin(), service.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-';
  });
  return valid ? std::optional(service) : std::nullopt;
}

struct Side {
  const char* member;      ///< "OnSuccess"
  std::string_view shown;  ///< "onSuccess", as refusals have it
};

/// A service that takes events, and something behind it.
AwsResult<void> check_destination(Call& call, const FunctionEntry& entry, std::string_view arn,
                                  const Side& side) {
  if (arn.empty() || arn.starts_with("kafka://")) return {};
  auto service = service_of(arn);
  if (!service) {
    return aws::validation_exception(
        functions::validation_error(
            arn.substr(0, 350), fmt::format("destinationConfig.{}.destination", side.shown),
            fmt::format("Member must satisfy regular expression pattern: {}", destination_pattern))
            .message());
  }
  constexpr std::string_view services[] = {"sqs", "sns", "lambda", "events", "s3"};
  bool takes_events = std::find(std::begin(services), std::end(services), *service) != std::end(services);
  if (!takes_events || arn.ends_with(':')) {
    bool success = side.shown == "onSuccess";
    std::string given = fmt::format("{}(destination={})", side.member, arn.substr(0, 350));
    return aws::invalid_parameter(fmt::format(
        "The provided destination config DestinationConfig(onSuccess={}, onFailure={}) is invalid.",
        success ? given : "null", success ? "null" : given));
  }
  if (*service != "lambda") return {};
  auto reference = functions::parse_function_reference(arn, call.realm());
  const FunctionEntry* target = reference ? call.catalog().find(reference->realm, reference->name) : nullptr;
  if (target == &entry)
    return aws::invalid_parameter("You can't specify the function as a destination for itself.");
  if (target == nullptr)
    return aws::invalid_parameter(fmt::format("The destination ARN {} is invalid.", arn.substr(0, 350)));
  return {};
}

AwsResult<std::string> read_destination(Call& call, const FunctionEntry& entry, const Json& config,
                                        const Side& side) {
  TRY(const Json* object, object_member(config, side.member));
  if (object == nullptr) return std::string();
  TRY(auto arn, text_member(*object, "Destination"));
  CHECK(check_destination(call, entry, arn.value_or(""), side));
  return arn.value_or("");
}

AwsResult<void> apply_event_invoke(Call& call, const FunctionEntry& entry, const Json& request,
                                   EventInvokeConfig& config) {
  TRY(auto retries, number_member(request, "MaximumRetryAttempts"));
  if (retries) {
    CHECK(check_range(*retries, "maximumRetryAttempts", 0, 2));
    config.maximum_retries = static_cast<uint32_t>(*retries);
  }
  TRY(auto age, number_member(request, "MaximumEventAgeInSeconds"));
  if (age) {
    CHECK(check_range(*age, "maximumEventAgeInSeconds", 60, 21'600));
    config.maximum_age_seconds = static_cast<uint32_t>(*age);
  }
  TRY(const Json* destinations, object_member(request, "DestinationConfig"));
  if (destinations != nullptr) {
    if (member(*destinations, "OnSuccess") != nullptr) {
      TRY(config.on_success, read_destination(call, entry, *destinations, {"OnSuccess", "onSuccess"}));
    }
    if (member(*destinations, "OnFailure") != nullptr) {
      TRY(config.on_failure, read_destination(call, entry, *destinations, {"OnFailure", "onFailure"}));
    }
  }
  CHECK(check_queue_region(entry.realm(), config.on_success));
  CHECK(check_queue_region(entry.realm(), config.on_failure));
  config.modified = now();
  return {};
}

AwsError no_function() {
  return aws::resource_not_found("The function doesn't exist.");
}

/// The function that the request names.
AwsResult<const FunctionEntry*> event_invoke_function(Call& call) {
  TRY(auto reference, call.function_reference());
  const FunctionEntry* entry = call.catalog().find(reference.realm, reference.name);
  if (entry == nullptr) return no_function();
  return entry;
}

/// The qualifier of the request, with $LATEST spelled out.
AwsResult<std::string> event_invoke_key(Call& call) {
  TRY(std::string qualifier, call.qualifier());
  return qualifier.empty() ? std::string(functions::latest_version) : std::move(qualifier);
}

AwsError no_event_invoke(const functions::FunctionReference& reference, std::string_view key) {
  return aws::resource_not_found(fmt::format("The function {}:{} doesn't have an EventInvokeConfig",
                                             functions::function_arn(reference.realm, reference.name), key));
}

struct Held {
  const FunctionEntry* entry;
  std::string key;
  const EventInvokeConfig* config;
};
/// What the request names, which has to be there; no word of whether the function is.
AwsResult<Held> held_event_invoke(Call& call) {
  TRY(auto reference, call.function_reference());
  TRY(std::string key, event_invoke_key(call));
  const FunctionEntry* entry = call.catalog().find(reference.realm, reference.name);
  if (entry == nullptr) return no_event_invoke(reference, key);
  auto held = entry->settings().event_invoke.find(key);
  if (held == entry->settings().event_invoke.end()) return no_event_invoke(reference, key);
  return Held{entry, std::move(key), &held->second};
}

AwsResult<Reply> set_event_invoke(Call& call, bool keep_what_is_there) {
  TRY(Json request, call.json());
  bool anything = member(request, "MaximumRetryAttempts") != nullptr ||
                  member(request, "MaximumEventAgeInSeconds") != nullptr ||
                  member(request, "DestinationConfig") != nullptr;
  if (!anything)
    return aws::invalid_parameter("You must specify at least one of error handling or destination setting.");
  TRY(std::string key, event_invoke_key(call));
  TRY(const FunctionEntry* entry, event_invoke_function(call));
  if (!call.catalog().main_version(*entry, key)) return no_function();
  EventInvokeConfig config;
  if (keep_what_is_there) {
    TRY(Held held, held_event_invoke(call));
    config = *held.config;
  }
  CHECK(apply_event_invoke(call, *entry, request, config));
  auto set = [&](FunctionSettings& settings) -> Result<void> {
    settings.event_invoke[key] = config;
    return {};
  };
  CHECK(call.catalog().update_settings(entry->realm(), entry->name(), set));
  return aws::json_reply(200, event_invoke_json(*entry, key, config));
}

AwsResult<Reply> put_event_invoke(Call& call) {
  return set_event_invoke(call, false);
}
AwsResult<Reply> update_event_invoke(Call& call) {
  return set_event_invoke(call, true);
}

AwsResult<Reply> get_event_invoke(Call& call) {
  TRY(Held held, held_event_invoke(call));
  return aws::json_reply(200, event_invoke_json(*held.entry, held.key, *held.config));
}

AwsResult<Reply> delete_event_invoke(Call& call) {
  TRY(Held held, held_event_invoke(call));
  auto erase = [&](FunctionSettings& settings) -> Result<void> {
    settings.event_invoke.erase(held.key);
    return {};
  };
  CHECK(call.catalog().update_settings(held.entry->realm(), held.entry->name(), erase));
  return aws::empty_reply(204);
}

AwsResult<Reply> list_event_invoke(Call& call) {
  TRY(const FunctionEntry* entry, event_invoke_function(call));
  std::vector<std::pair<std::string, EventInvokeConfig>> configs(entry->settings().event_invoke.begin(),
                                                                 entry->settings().event_invoke.end());
  TRY(Page page, page_of(call, configs.size()));
  Json items = Json::array();
  for (size_t i = page.begin; i < page.end; ++i) {
    items.push_back(event_invoke_json(*entry, configs[i].first, configs[i].second));
  }
  return page_reply("FunctionEventInvokeConfigs", std::move(items), page);
}

constexpr std::string_view event_invoke_path = "/2019-09-25/functions/{}/event-invoke-config";
constexpr Operation operations[] = {
    {.name = "PutFunctionEventInvokeConfig",
     .method = "PUT",
     .pattern = event_invoke_path,
     .answer = put_event_invoke},
    {.name = "UpdateFunctionEventInvokeConfig",
     .method = "POST",
     .pattern = event_invoke_path,
     .answer = update_event_invoke},
    {.name = "GetFunctionEventInvokeConfig",
     .method = "GET",
     .pattern = event_invoke_path,
     .answer = get_event_invoke},
    {.name = "DeleteFunctionEventInvokeConfig",
     .method = "DELETE",
     .pattern = event_invoke_path,
     .answer = delete_event_invoke},
    {.name = "ListFunctionEventInvokeConfigs",
     .method = "GET",
     .pattern = "/2019-09-25/functions/{}/event-invoke-config/list",
     .answer = list_event_invoke},
};

}  // namespace

std::span<const Operation> event_invoke_operations() {
  return operations;
}

}  // namespace berth::api::lambda
