#include "api/lambda/durable_json.h"

#include <algorithm>

#include "api/lambda/function_json.h"
#include "base/format.h"
#include "base/json.h"
#include "functions/durable/history.h"

namespace berth::api::lambda {
namespace {

namespace durable = functions::durable;
using aws::AwsResult;
using durable::OperationUpdate;

constexpr int64_t kLongestSeconds = durable::longest_execution_seconds;
constexpr int64_t kDefaultTimeoutSeconds = 86'400;

/// Where in a request a member stands, for the words of a refusal.
struct Member {
  const Json& object;
  std::string place;  ///< "updates[3]"

  AwsError wrong(std::string_view name, std::string_view what) const {
    return aws::invalid_parameter(fmt::format("{}.{}: {}", place, name, what));
  }
  AwsResult<std::string> text(const char* name, size_t most) const {
    const Json* found = member(object, name);
    if (found == nullptr) return std::string();
    if (!found->is_string()) return wrong(name, "it must be a string");
    const auto& value = found->get_ref<const std::string&>();
    if (value.size() > most) return wrong(name, fmt::format("it must have at most {} characters", most));
    return value;
  }
  AwsResult<std::string> id(const char* name) const {
    TRY(std::string value, text(name, 64));
    if (!value.empty() && !durable::is_operation_id(value))
      return wrong(name, "it must satisfy the pattern [a-zA-Z0-9-_]+");
    return value;
  }
  AwsResult<std::optional<uint32_t>> number(const char* name, int64_t least, int64_t most) const {
    const Json* found = member(object, name);
    if (found == nullptr) return std::optional<uint32_t>();
    bool whole = found->is_number_integer();
    if (!whole || *found < least || *found > most)
      return wrong(name, fmt::format("it must be a whole number from {} to {}", least, most));
    return std::optional(found->get<uint32_t>());
  }
  /// The object of that name; null when there is none.
  AwsResult<const Json*> part(const char* name) const {
    const Json* found = member(object, name);
    if (found != nullptr && !found->is_object()) return wrong(name, "it must be an object");
    return found;
  }
};

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

AwsResult<void> read_options(const Member& update, OperationUpdate& into) {
  TRY(const Json* context, update.part("ContextOptions"));
  if (context != nullptr) {
    const Json* replay = member(*context, "ReplayChildren");
    if (replay != nullptr && !replay->is_boolean())
      return update.wrong("ContextOptions.ReplayChildren", "it must be true or false");
    into.replay_children = replay != nullptr && replay->get<bool>();
  }
  TRY(const Json* step, update.part("StepOptions"));
  if (step != nullptr) {
    Member options{*step, update.place + ".StepOptions"};
    TRY(into.retry_delay_seconds, options.number("NextAttemptDelaySeconds", 1, kLongestSeconds));
  }
  TRY(const Json* wait, update.part("WaitOptions"));
  if (wait != nullptr) {
    Member options{*wait, update.place + ".WaitOptions"};
    TRY(into.wait_seconds, options.number("WaitSeconds", 1, kLongestSeconds));
  }
  TRY(const Json* callback, update.part("CallbackOptions"));
  if (callback != nullptr) {
    Member options{*callback, update.place + ".CallbackOptions"};
    TRY(auto timeout, options.number("TimeoutSeconds", 0, 99'999'999));
    TRY(auto heartbeat, options.number("HeartbeatTimeoutSeconds", 0, 99'999'999));
    into.callback_timeout_seconds = timeout.value_or(0);
    into.heartbeat_timeout_seconds = heartbeat.value_or(0);
  }
  TRY(const Json* chained, update.part("ChainedInvokeOptions"));
  if (chained != nullptr) {
    Member options{*chained, update.place + ".ChainedInvokeOptions"};
    TRY(into.chained_function, options.text("FunctionName", 256));
    TRY(std::string tenant, options.text("TenantId", 256));
    if (!tenant.empty()) {
      return options.wrong("TenantId",
                           "functions that keep tenants apart cannot be called by durable ones here");
    }
    CHECK(options.text("XAmznTraceId", 8192));
  }
  return {};
}

AwsResult<OperationUpdate> read_update(const Json& json, size_t index) {
  Member update{json, fmt::format("updates[{}]", index)};
  if (!json.is_object()) return aws::invalid_parameter(update.place + " must be an object");
  OperationUpdate read;
  TRY(read.id, update.id("Id"));
  if (read.id.empty()) return update.wrong("Id", "it must not be null");
  TRY(read.parent_id, update.id("ParentId"));
  TRY(read.name, update.text("Name", 256));
  if (!is_printable(read.name)) return update.wrong("Name", "it must satisfy the pattern [\\x20-\\x7E]+");
  TRY(read.sub_type, update.text("SubType", 32));
  if (!read.sub_type.empty() && !durable::is_operation_id(read.sub_type))
    return update.wrong("SubType", "it must satisfy the pattern [a-zA-Z0-9-_]+");
  TRY(std::string type, update.text("Type", 32));
  auto known_type = durable::parse_operation_type(type);
  if (!known_type) {
    return update.wrong("Type",
                        "it must be one of [EXECUTION, CONTEXT, STEP, WAIT, CALLBACK, CHAINED_INVOKE]");
  }
  read.type = *known_type;
  TRY(std::string action, update.text("Action", 32));
  auto known_action = durable::parse_operation_action(action);
  if (!known_action) return update.wrong("Action", "it must be one of [START, SUCCEED, FAIL, RETRY, CANCEL]");
  read.action = *known_action;
  if (const Json* payload = member(json, "Payload"); payload != nullptr) {
    if (!payload->is_string()) return update.wrong("Payload", "it must be a string");
    read.payload = payload->get<std::string>();
  }
  TRY(read.error, read_error(member(json, "Error")));
  CHECK(read_options(update, read));
  return read;
}

void put_if(Json& json, const char* name, const std::string& text) {
  if (!text.empty()) json[name] = text;
}

Json parsed(const std::string& text) {
  auto json = parse_json(text);
  return json ? std::move(*json) : Json(nullptr);
}

/// 366 days after the start, while its timeout stands still.
void put_timeout(Json& json, const durable::Execution& execution) {
  if (!is_terminal(execution.status))
    json["ExpectedExecutionTimeoutTimestamp"] = durable::seconds_of(execution.timeout_ms);
}

}  // namespace

AwsResult<std::vector<OperationUpdate>> read_updates(const Json& updates) {
  std::vector<OperationUpdate> read;
  if (!updates.is_array()) return aws::invalid_parameter("updates must be a list");
  read.reserve(updates.size());
  for (const Json& update : updates) {
    TRY(auto one, read_update(update, read.size()));
    read.push_back(std::move(one));
  }
  return read;
}

AwsResult<std::string> read_error(const Json* error) {
  if (error == nullptr) return std::string();
  TRY(std::string text, durable::read_error_object(*error));
  return text;
}

Json execution_summary(const durable::Execution& execution) {
  Json json{{"DurableExecutionArn", arn_of(execution)},
            {"DurableExecutionName", execution.name},
            {"FunctionArn", function_arn_of(execution)},
            {"Status", name_of(execution.status)},
            {"StartTimestamp", durable::seconds_of(execution.started_ms)}};
  if (execution.ended_ms > 0) json["EndTimestamp"] = durable::seconds_of(execution.ended_ms);
  put_if(json, "KMSKeyArn", execution.kms_key);
  return json;
}

Json execution_document(const durable::ExecutionState& state, bool with_data) {
  const durable::Execution& execution = state.execution;
  Json json = execution_summary(execution);
  json.erase("KMSKeyArn");
  json["Version"] = execution.version;
  json["ExecutionDataIncluded"] = with_data;
  Json config{{"ExecutionTimeout", execution.timeout_seconds},
              {"RetentionPeriodInDays", execution.retention_days}};
  put_if(config, "KMSKeyArn", execution.kms_key);
  json["DurableConfig"] = std::move(config);
  if (!execution.trace.empty()) json["TraceHeader"] = {{"XAmznTraceId", execution.trace}};
  put_timeout(json, execution);
  if (with_data) {
    json["InputPayload"] = state.input;
    if (state.result) json["Result"] = *state.result;
    if (!execution.error.empty()) json["Error"] = parsed(execution.error);
  }
  bool paused = execution.status == durable::ExecutionStatus::Pausing ||
                execution.status == durable::ExecutionStatus::Paused;
  if (!paused) return json;
  Json pause{{"PauseRequestTimestamp", durable::seconds_of(execution.pause_ms)},
             {"ExecutionTimeoutPaused", execution.pause_stops_timeout}};
  if (with_data) put_if(pause, "Reason", execution.pause_reason);
  json["PauseDetails"] = std::move(pause);
  return json;
}

Json event_document(const durable::HistoryEvent& event, bool with_data) {
  Json details = parsed(event.details);
  for (const char* name : {"Input", "Result", "Error", "Reason"}) {
    auto found = details.find(name);
    if (found == details.end() || !found->is_object()) continue;
    if (!with_data) found->erase("Payload");
    (*found)["Truncated"] = !with_data;
  }
  Json json{{"EventType", event.type},
            {"EventId", event.id},
            {"EventTimestamp", durable::seconds_of(event.at_ms)},
            {event.type + "Details", std::move(details)}};
  put_if(json, "Id", event.operation_id);
  put_if(json, "Name", event.name);
  put_if(json, "ParentId", event.parent_id);
  put_if(json, "SubType", event.sub_type);
  return json;
}

AwsResult<std::string> merge_durable_config(const Json& given, const std::string& held) {
  if (!given.is_object()) return AwsError{400, "SerializationException", "DurableConfig must be an object"};
  Json config = held.empty() ? Json::object() : parsed(held);
  Member members{given, "durableConfig"};
  TRY(auto timeout, members.number("ExecutionTimeout", 1, kLongestSeconds));
  TRY(auto retention, members.number("RetentionPeriodInDays", 1, 90));
  TRY(std::string key, members.text("KMSKeyArn", 10'000));
  if (timeout) config["ExecutionTimeout"] = *timeout;
  if (retention) config["RetentionPeriodInDays"] = *retention;
  if (member(given, "KMSKeyArn") != nullptr) config["KMSKeyArn"] = key;
  if (key.empty() && config.contains("KMSKeyArn") && config["KMSKeyArn"] == "") config.erase("KMSKeyArn");
  if (!config.contains("ExecutionTimeout")) config["ExecutionTimeout"] = kDefaultTimeoutSeconds;
  if (!config.contains("RetentionPeriodInDays"))
    config["RetentionPeriodInDays"] = durable::default_retention_days;
  return to_json(config);
}

}  // namespace berth::api::lambda
