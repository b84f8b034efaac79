// Event source mappings: what is polled for which function. The poller itself is functions/events/, which
// listens to the catalog.
#include <algorithm>

#include "api/lambda/function_json.h"
#include "api/lambda/router.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api::lambda {
namespace {

using functions::EventSourceMapping;

/// Kept and shown as they were given.
constexpr const char* kept_members[] = {"ParallelizationFactor",
                                        "TumblingWindowInSeconds",
                                        "Queues",
                                        "ScalingConfig",
                                        "DocumentDBEventSourceConfig",
                                        "AmazonManagedKafkaEventSourceConfig",
                                        "KMSKeyArn",
                                        "MetricsConfig",
                                        "LoggingConfig",
                                        "ProvisionedPollerConfig"};

double seconds(Timestamp time) {
  return static_cast<double>(to_unix_nanoseconds(time) / 1'000'000) / 1000.0;
}

bool is_kafka(const EventSourceMapping& mapping) {
  return mapping.event_source_arn.empty() || mapping.event_source_arn.find(":kafka:") != std::string::npos;
}
bool is_sqs(const EventSourceMapping& mapping) {
  return mapping.event_source_arn.find(":sqs:") != std::string::npos;
}

void put_kafka(Json& json, const EventSourceMapping& mapping) {
  if (mapping.event_source_arn.empty()) {
    json["SelfManagedEventSource"] = {
        {"Endpoints", {{"KAFKA_BOOTSTRAP_SERVERS", mapping.bootstrap_servers}}}};
    json["SelfManagedKafkaEventSourceConfig"] = {{"ConsumerGroupId", mapping.consumer_group}};
  }
  json["Topics"] = mapping.topics;
  if (mapping.source_access.empty()) return;
  Json access = Json::array();
  for (const auto& [type, uri] : mapping.source_access) access.push_back({{"Type", type}, {"URI", uri}});
  json["SourceAccessConfigurations"] = std::move(access);
}

Json mapping_json(const EventSourceMapping& mapping) {
  std::string function = functions::function_arn(mapping.realm, mapping.function);
  if (!mapping.qualifier.empty()) function.append(":").append(mapping.qualifier);
  Json json{{"UUID", mapping.uuid},
            {"EventSourceMappingArn", mapping.arn()},
            {"FunctionArn", function},
            {"BatchSize", mapping.batch_size},
            {"MaximumBatchingWindowInSeconds", mapping.window_seconds},
            {"LastModified", seconds(mapping.modified)},
            {"State", mapping.state},
            {"StateTransitionReason", mapping.state_reason},
            {"FunctionResponseTypes", Json::array()}};
  if (!mapping.event_source_arn.empty()) json["EventSourceArn"] = mapping.event_source_arn;
  if (mapping.report_item_failures) json["FunctionResponseTypes"].push_back("ReportBatchItemFailures");
  for (const auto& [name, text] : mapping.kept) {
    if (auto kept = parse_json(text)) json[name] = std::move(*kept);
  }
  if (!mapping.filters.empty()) {
    for (const auto& pattern : mapping.filters)
      json["FilterCriteria"]["Filters"].push_back({{"Pattern", pattern}});
  }
  if (!mapping.on_failure.empty()) json["DestinationConfig"]["OnFailure"]["Destination"] = mapping.on_failure;
  if (is_sqs(mapping)) return json;
  json["LastProcessingResult"] = mapping.last_result;
  if (!mapping.starting_position.empty()) json["StartingPosition"] = mapping.starting_position;
  if (mapping.starting_timestamp) json["StartingPositionTimestamp"] = *mapping.starting_timestamp;
  if (is_kafka(mapping)) {
    put_kafka(json, mapping);
    if (mapping.bisect_on_error) json["BisectBatchOnFunctionError"] = true;
    if (mapping.maximum_retries) json["MaximumRetryAttempts"] = *mapping.maximum_retries;
    if (mapping.maximum_record_age_seconds)
      json["MaximumRecordAgeInSeconds"] = *mapping.maximum_record_age_seconds;
    return json;
  }
  json["BisectBatchOnFunctionError"] = mapping.bisect_on_error;
  json["MaximumRetryAttempts"] = mapping.maximum_retries.value_or(-1);
  json["MaximumRecordAgeInSeconds"] = mapping.maximum_record_age_seconds.value_or(-1);
  return json;
}

AwsResult<void> apply_function(Call& call, const Json& request, EventSourceMapping& mapping) {
  TRY(auto name, text_member(request, "FunctionName"));
  if (!name) return {};
  auto reference = functions::parse_function_reference(*name, call.realm());
  if (!reference) return aws::validation_exception(reference.error().message());
  const auto* entry = call.catalog().find(reference->realm, reference->name);
  if (entry == nullptr || !call.catalog().main_version(*entry, reference->qualifier))
    return aws::invalid_parameter("Function does not exist");
  if (functions::is_per_tenant(*entry->latest()))
    return aws::invalid_parameter("Event sources are not supported for functions with TenancyConfig.");
  CHECK(check_queue_region(reference->realm, mapping.event_source_arn));
  mapping.realm = reference->realm;
  mapping.function = reference->name;
  mapping.qualifier = reference->qualifier;
  return {};
}

AwsResult<void> apply_batching(const Json& request, EventSourceMapping& mapping) {
  TRY(auto window, number_member(request, "MaximumBatchingWindowInSeconds"));
  if (window) {
    CHECK(check_range(*window, "maximumBatchingWindowInSeconds", 0, 300));
    mapping.window_seconds = static_cast<uint32_t>(*window);
  }
  TRY(auto batch, number_member(request, "BatchSize"));
  if (batch) {
    CHECK(check_range(*batch, "batchSize", 1, 10'000));
    mapping.batch_size = static_cast<uint32_t>(*batch);
  }
  bool fifo = is_sqs(mapping) && mapping.event_source_arn.ends_with(".fifo");
  if (fifo && mapping.batch_size > 10) {
    return aws::invalid_parameter("Maximum batch size for FIFO queues is 10");
  }
  if (is_sqs(mapping) && mapping.batch_size > 10 && mapping.window_seconds == 0) {
    return aws::invalid_parameter(
        "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10");
  }
  TRY(auto types, texts_member(request, "FunctionResponseTypes"));
  if (types) {
    for (const auto& type : *types)
      CHECK(check_enum(type, "functionResponseTypes", {"ReportBatchItemFailures"}));
    mapping.report_item_failures = !types->empty();
  }
  TRY(const Json* scaling, object_member(request, "ScalingConfig"));
  if (scaling != nullptr) {
    TRY(auto concurrency, number_member(*scaling, "MaximumConcurrency"));
    if (concurrency) {
      CHECK(check_range(*concurrency, "scalingConfig.maximumConcurrency", 2, 1000));
      mapping.maximum_concurrency = static_cast<uint32_t>(*concurrency);
    } else {
      mapping.maximum_concurrency.reset();
    }
  }
  return {};
}

AwsResult<void> apply_errors(const Json& request, EventSourceMapping& mapping) {
  TRY(auto retries, number_member(request, "MaximumRetryAttempts"));
  if (retries) {
    CHECK(check_range(*retries, "maximumRetryAttempts", -1, 10'000));
    mapping.maximum_retries = static_cast<int32_t>(*retries);
  }
  TRY(auto age, number_member(request, "MaximumRecordAgeInSeconds"));
  if (age) {
    CHECK(check_range(*age, "maximumRecordAgeInSeconds", -1, 604'800));
    mapping.maximum_record_age_seconds = static_cast<int32_t>(*age);
  }
  TRY(auto bisect, flag_member(request, "BisectBatchOnFunctionError"));
  if (bisect) mapping.bisect_on_error = *bisect;
  TRY(const Json* destinations, object_member(request, "DestinationConfig"));
  if (destinations != nullptr) {
    mapping.on_failure.clear();
    TRY(const Json* failure, object_member(*destinations, "OnFailure"));
    if (failure != nullptr) {
      TRY(auto arn, text_member(*failure, "Destination"));
      mapping.on_failure = arn.value_or("");
    }
  }
  return {};
}

AwsError not_a_list(std::string_view name) {
  return {400, "SerializationException", fmt::format("{} must be a list of objects", name)};
}

AwsResult<void> apply_filters(const Json& request, EventSourceMapping& mapping) {
  TRY(const Json* criteria, object_member(request, "FilterCriteria"));
  if (criteria == nullptr) return {};
  mapping.filters.clear();
  const Json* filters = member(*criteria, "Filters");
  if (filters == nullptr) return {};
  if (!filters->is_array()) return not_a_list("FilterCriteria.Filters");
  for (const Json& filter : *filters) {
    if (!filter.is_object()) return not_a_list("FilterCriteria.Filters");
    TRY(auto pattern, text_member(filter, "Pattern"));
    if (!pattern || pattern->size() > 4096 || !Json::accept(*pattern)) {
      return aws::invalid_parameter("Invalid filter pattern definition.");
    }
    mapping.filters.push_back(*pattern);
  }
  return {};
}

AwsResult<void> apply_source_access(const Json& request, EventSourceMapping& mapping) {
  const Json* access = member(request, "SourceAccessConfigurations");
  if (access == nullptr) return {};
  if (!access->is_array()) return not_a_list("SourceAccessConfigurations");
  mapping.source_access.clear();
  for (const Json& each : *access) {
    if (!each.is_object()) return not_a_list("SourceAccessConfigurations");
    TRY(auto type, text_member(each, "Type"));
    TRY(auto uri, text_member(each, "URI"));
    CHECK(check_enum(
        type.value_or(""), "sourceAccessConfigurations.type",
        {"BASIC_AUTH", "VPC_SUBNET", "VPC_SECURITY_GROUP", "SASL_SCRAM_512_AUTH", "SASL_SCRAM_256_AUTH",
         "VIRTUAL_HOST", "CLIENT_CERTIFICATE_TLS_AUTH", "SERVER_ROOT_CA_CERTIFICATE"}));
    mapping.source_access.emplace_back(*type, uri.value_or(""));
  }
  return {};
}

/// Where records are validated by a registry of schemas, a function would not see those that fail.
AwsResult<void> refuse_schema_registry(const Json& request) {
  for (const char* name : {"SelfManagedKafkaEventSourceConfig", "AmazonManagedKafkaEventSourceConfig"}) {
    TRY(const Json* config, object_member(request, name));
    if (config == nullptr || member(*config, "SchemaRegistryConfig") == nullptr) continue;
    return aws::invalid_parameter(fmt::format(
        "{}.SchemaRegistryConfig is not supported here: leave it out, and decode records in the function.",
        name));
  }
  return {};
}

/// Queues have dead-letter queues of their own.
AwsResult<void> refuse_destinations_of_queues(const Json& request, const EventSourceMapping& mapping) {
  if (!is_sqs(mapping)) return {};
  TRY(const Json* destinations, object_member(request, "DestinationConfig"));
  if (destinations == nullptr) return {};
  for (const char* side : {"OnSuccess", "OnFailure"}) {
    TRY(const Json* object, object_member(*destinations, side));
    if (object != nullptr && member(*object, "Destination") != nullptr)
      return aws::invalid_parameter(
          "Unsupported DestinationConfig parameter for given event source mapping type.");
  }
  return {};
}

AwsResult<void> apply_changeable(Call& call, const Json& request, EventSourceMapping& mapping) {
  CHECK(refuse_destinations_of_queues(request, mapping));
  CHECK(apply_function(call, request, mapping));
  CHECK(apply_batching(request, mapping));
  CHECK(apply_errors(request, mapping));
  CHECK(apply_filters(request, mapping));
  CHECK(apply_source_access(request, mapping));
  CHECK(refuse_schema_registry(request));
  TRY(auto enabled, flag_member(request, "Enabled"));
  if (enabled) mapping.enabled = *enabled;
  for (const char* name : kept_members) {
    if (const Json* kept = member(request, name)) mapping.kept[name] = to_json(*kept);
  }
  return {};
}

AwsResult<void> read_kafka(const Json& request, EventSourceMapping& mapping) {
  TRY(auto topics, texts_member(request, "Topics"));
  if (!topics || topics->size() != 1)
    return aws::invalid_parameter("Unrecognized event source, must provide exactly one topic.");
  mapping.topics = *topics;
  const Json* self = member(request, "SelfManagedEventSource");
  if (self != nullptr && self->is_object()) {
    const Json* endpoints = member(*self, "Endpoints");
    if (endpoints == nullptr || !endpoints->is_object())
      return aws::invalid_parameter("Endpoints are missing");
    TRY(auto servers, texts_member(*endpoints, "KAFKA_BOOTSTRAP_SERVERS"));
    if (!servers || servers->empty() || servers->size() > 10) {
      return aws::invalid_parameter("KAFKA_BOOTSTRAP_SERVERS must have one to ten servers");
    }
    mapping.bootstrap_servers = *servers;
  }
  mapping.consumer_group = mapping.uuid;
  for (const char* name : {"SelfManagedKafkaEventSourceConfig", "AmazonManagedKafkaEventSourceConfig"}) {
    const Json* config = member(request, name);
    if (config == nullptr || !config->is_object()) continue;
    TRY(auto group, text_member(*config, "ConsumerGroupId"));
    if (group) mapping.consumer_group = *group;
  }
  return {};
}

AwsResult<void> read_source(const Json& request, EventSourceMapping& mapping) {
  TRY(auto arn, text_member(request, "EventSourceArn"));
  bool self_managed = member(request, "SelfManagedEventSource") != nullptr;
  if (!arn && !self_managed) return aws::invalid_parameter("Unrecognized event source.");
  if (arn && self_managed)
    return aws::invalid_parameter(
        "Unrecognized event source, one of EventSourceArn and SelfManagedEventSource");
  if (arn && !arn->starts_with("arn:")) {
    return aws::validation_exception(
        functions::validation_error(
            arn->substr(0, 256), "eventSourceArn",
            "Member must satisfy regular expression pattern: "
            "arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\\-])+:([a-z]{2}(-gov)?-[a-z]+-\\d{1})?:"
            "(\\d{12})?:(.*)")
            .message());
  }
  mapping.event_source_arn = arn.value_or("");
  if (mapping.event_source_arn.ends_with(':'))
    return aws::invalid_parameter("Unrecognized event source, its ARN names nothing.");
  mapping.batch_size = is_sqs(mapping) ? 10 : 100;
  TRY(auto position, text_member(request, "StartingPosition"));
  if (!is_sqs(mapping) && !position && !is_kafka(mapping)) {
    return aws::invalid_parameter(
        "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member "
        "must not be null.");
  }
  if (position) CHECK(check_enum(*position, "startingPosition", {"LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"}));
  mapping.starting_position = is_sqs(mapping) ? "" : position.value_or("TRIM_HORIZON");
  if (const Json* time = member(request, "StartingPositionTimestamp"); time != nullptr) {
    if (!time->is_number())
      return AwsError{400, "SerializationException", "StartingPositionTimestamp must be a number"};
    mapping.starting_timestamp = time->get<double>();
  }
  if (is_kafka(mapping)) CHECK(read_kafka(request, mapping));
  return {};
}

AwsResult<Reply> create_mapping(Call& call) {
  TRY(Json request, call.json());
  EventSourceMapping mapping{.uuid = functions::new_revision_id()};
  if (member(request, "FunctionName") == nullptr) return missing_member("functionName");
  CHECK(read_source(request, mapping));
  CHECK(apply_changeable(call, request, mapping));
  TRY(mapping.tags, read_tags(request));
  for (const EventSourceMapping* other : call.catalog().mappings()) {
    bool same = other->function == mapping.function && other->realm == mapping.realm &&
                other->qualifier == mapping.qualifier && !mapping.event_source_arn.empty() &&
                other->event_source_arn == mapping.event_source_arn && !is_kafka(mapping);
    if (same) {
      return aws::resource_conflict(
          fmt::format("An event source mapping with SQS arn (\" {} \") and function (\" {} \") already "
                      "exists. Please update or "
                      "delete the existing mapping with UUID {}",
                      mapping.event_source_arn, mapping.function, other->uuid));
    }
  }
  mapping.state = mapping.enabled ? "Enabled" : "Disabled";
  std::string uuid = mapping.uuid;
  CHECK(call.catalog().put_mapping(std::move(mapping)));
  Json shown = mapping_json(*call.catalog().find_mapping(uuid));
  shown["State"] = "Creating";
  return aws::json_reply(202, shown);
}

AwsResult<Reply> list_mappings(Call& call) {
  std::string_view source = call.query("EventSourceArn");
  std::string_view function = call.query("FunctionName");
  functions::FunctionReference wanted;
  if (!function.empty()) {
    auto reference = functions::parse_function_reference(function, call.realm());
    if (!reference) return aws::validation_exception(reference.error().message());
    wanted = std::move(*reference);
  }
  std::vector<const EventSourceMapping*> mappings;
  for (const EventSourceMapping* mapping : call.catalog().mappings()) {
    bool fits = mapping->realm == call.realm() && (source.empty() || mapping->event_source_arn == source) &&
                (function.empty() || (mapping->function == wanted.name && mapping->realm == wanted.realm &&
                                      (wanted.qualifier.empty() || mapping->qualifier == wanted.qualifier)));
    if (fits) mappings.push_back(mapping);
  }
  TRY(Page page, page_of(call, mappings.size(), 100));
  Json items = Json::array();
  for (size_t i = page.begin; i < page.end; ++i) items.push_back(mapping_json(*mappings[i]));
  return page_reply("EventSourceMappings", std::move(items), page);
}

AwsResult<const EventSourceMapping*> asked_mapping(Call& call) {
  const EventSourceMapping* mapping = call.catalog().find_mapping(call.capture());
  if (mapping == nullptr) return aws::resource_not_found("The resource you requested does not exist.");
  return mapping;
}

AwsResult<Reply> get_mapping(Call& call) {
  TRY(const EventSourceMapping* mapping, asked_mapping(call));
  return aws::json_reply(200, mapping_json(*mapping));
}

AwsResult<Reply> update_mapping(Call& call) {
  TRY(Json request, call.json());
  TRY(const EventSourceMapping* held, asked_mapping(call));
  EventSourceMapping mapping = *held;
  CHECK(apply_changeable(call, request, mapping));
  mapping.state = mapping.enabled ? "Enabled" : "Disabled";
  CHECK(call.catalog().put_mapping(std::move(mapping)));
  TRY(const EventSourceMapping* kept, asked_mapping(call));
  Json shown = mapping_json(*kept);
  shown["State"] = "Updating";
  return aws::json_reply(202, shown);
}

AwsResult<Reply> delete_mapping(Call& call) {
  TRY(const EventSourceMapping* mapping, asked_mapping(call));
  Json shown = mapping_json(*mapping);
  shown["State"] = "Deleting";
  CHECK(call.catalog().remove_mapping(mapping->uuid));
  return aws::json_reply(202, shown);
}

constexpr std::string_view mappings_path = "/2015-03-31/event-source-mappings";
constexpr std::string_view mapping_path = "/2015-03-31/event-source-mappings/{}";
constexpr Operation operations[] = {
    {.name = "CreateEventSourceMapping",
     .method = "POST",
     .pattern = mappings_path,
     .answer = create_mapping},
    {.name = "ListEventSourceMappings", .method = "GET", .pattern = mappings_path, .answer = list_mappings},
    {.name = "GetEventSourceMapping", .method = "GET", .pattern = mapping_path, .answer = get_mapping},
    {.name = "UpdateEventSourceMapping", .method = "PUT", .pattern = mapping_path, .answer = update_mapping},
    {.name = "DeleteEventSourceMapping",
     .method = "DELETE",
     .pattern = mapping_path,
     .answer = delete_mapping},
};

}  // namespace

std::span<const Operation> mapping_operations() {
  return operations;
}

}  // namespace berth::api::lambda
