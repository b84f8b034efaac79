// What becomes of asynchronous events: retries, maximum age, destinations.
#include <algorithm>
#include <iterator>

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

/// An ARN of a service that takes events, and something behind it.
bool leads_somewhere(std::string_view arn) {
  constexpr std::string_view services[] = {":sqs:", ":sns:", ":lambda:", ":events:", ":s3:"};
  bool known = std::any_of(std::begin(services), std::end(services), [&](std::string_view service) {
    size_t partition_end = arn.find(':', 4);
    return partition_end != arn.npos && arn.substr(partition_end).starts_with(service);
  });
  return known && !arn.ends_with(':');
}

AwsResult<std::string> read_destination(const Json& config, const char* side) {
  TRY(const Json* object, object_member(config, side));
  if (object == nullptr) return std::string();
  TRY(auto arn, text_member(*object, "Destination"));
  if (arn && !arn->empty() && !arn->starts_with("arn:") && !arn->starts_with("kafka://")) {
    return aws::validation_exception(
        functions::validation_error(
            arn->substr(0, 350),
            fmt::format("destinationConfig.{}.destination",
                        std::string_view(side) == "OnSuccess" ? "onSuccess" : "onFailure"),
            "Member must satisfy regular expression pattern: "
            "^$|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\\-])+:([a-z]{2}(-gov)?-[a-z]+-\\d{1})?:(\\d{12})?:(.*)")
            .message());
  }
  if (arn && arn->starts_with("arn:") && !leads_somewhere(*arn)) {
    return aws::invalid_parameter(
        fmt::format("The destination {} is none: destinations are queues, topics, functions, event buses and "
                    "buckets.",
                    arn->substr(0, 350)));
  }
  return arn.value_or("");
}

AwsResult<void> apply_event_invoke(const functions::Realm& realm, const Json& request,
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
      TRY(config.on_success, read_destination(*destinations, "OnSuccess"));
    }
    if (member(*destinations, "OnFailure") != nullptr) {
      TRY(config.on_failure, read_destination(*destinations, "OnFailure"));
    }
  }
  CHECK(check_queue_region(realm, config.on_success));
  CHECK(check_queue_region(realm, config.on_failure));
  config.modified = now();
  return {};
}

/// The qualifier, which exists, with $LATEST spelled out.
AwsResult<std::string> event_invoke_key(Call& call, const FunctionEntry& entry) {
  TRY(std::string qualifier, call.qualifier());
  if (qualifier.empty()) return std::string(functions::latest_version);
  if (!call.catalog().main_version(entry, qualifier)) {
    return aws::resource_not_found(fmt::format("The function {} doesn't exist.", arn_of(entry, qualifier)));
  }
  return qualifier;
}

AwsError no_event_invoke(const FunctionEntry& entry, const std::string& key) {
  return aws::resource_not_found(
      fmt::format("The function {} doesn't have an EventInvokeConfig", arn_of(entry, key)));
}

AwsResult<Reply> set_event_invoke(Call& call, bool keep_what_is_there) {
  TRY(Json request, call.json());
  TRY(const FunctionEntry* entry, call.function());
  TRY(std::string key, event_invoke_key(call, *entry));
  bool anything = member(request, "MaximumRetryAttempts") != nullptr ||
                  member(request, "MaximumEventAgeInSeconds") != nullptr ||
                  member(request, "DestinationConfig") != nullptr;
  if (!anything)
    return aws::invalid_parameter("You must specify at least one of error handling or destination setting.");
  EventInvokeConfig config;
  auto held = entry->settings().event_invoke.find(key);
  if (keep_what_is_there) {
    if (held == entry->settings().event_invoke.end()) return no_event_invoke(*entry, key);
    config = held->second;
  }
  CHECK(apply_event_invoke(entry->realm(), request, config));
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
  TRY(const FunctionEntry* entry, call.function());
  TRY(std::string key, event_invoke_key(call, *entry));
  auto held = entry->settings().event_invoke.find(key);
  if (held == entry->settings().event_invoke.end()) return no_event_invoke(*entry, key);
  return aws::json_reply(200, event_invoke_json(*entry, key, held->second));
}

AwsResult<Reply> delete_event_invoke(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  TRY(std::string key, event_invoke_key(call, *entry));
  if (entry->settings().event_invoke.count(key) == 0) return no_event_invoke(*entry, key);
  auto erase = [&](FunctionSettings& settings) -> Result<void> {
    settings.event_invoke.erase(key);
    return {};
  };
  CHECK(call.catalog().update_settings(entry->realm(), entry->name(), erase));
  return aws::empty_reply(204);
}

AwsResult<Reply> list_event_invoke(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
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
