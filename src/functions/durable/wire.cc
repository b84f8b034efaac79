#include "functions/durable/wire.h"

#include "base/format.h"
#include "base/json.h"
#include "functions/durable/history.h"

namespace berth::functions::durable {
namespace {

constexpr JsonLimits kOutputLimits{.max_bytes = 512u << 20, .max_depth = 512};

Json time_json(int64_t ms, Times times) {
  return times == Times::Milliseconds ? Json(ms) : Json(seconds_of(ms));
}

void put_outcome(Json& details, const Operation& operation) {
  if (operation.result) details["Result"] = *operation.result;
  if (operation.error.empty()) return;
  if (auto error = parse_json(operation.error)) details["Error"] = std::move(*error);
}

Json details_of(const Operation& operation, Times times) {
  Json details = Json::object();
  switch (operation.type) {
    case OperationType::Context:
      put_outcome(details, operation);
      if (operation.replay_children) details["ReplayChildren"] = true;
      break;
    case OperationType::Step:
      details["Attempt"] = operation.attempt;
      if (operation.status == OperationStatus::Pending)
        details["NextAttemptTimestamp"] = time_json(operation.due_ms, times);
      put_outcome(details, operation);
      break;
    case OperationType::Wait:
      if (operation.due_ms > 0) details["ScheduledEndTimestamp"] = time_json(operation.due_ms, times);
      break;
    case OperationType::Callback:
      details["CallbackId"] = operation.callback_id;
      put_outcome(details, operation);
      break;
    case OperationType::ChainedInvoke:
      if (is_terminal(operation.status)) put_outcome(details, operation);
      break;
    case OperationType::Execution:
      break;
  }
  return details;
}

const char* details_name(OperationType type) {
  constexpr const char* names[] = {"ExecutionDetails", "ContextDetails",  "StepDetails",
                                   "WaitDetails",      "CallbackDetails", "ChainedInvokeDetails"};
  return names[static_cast<size_t>(type)];
}

void put_if(Json& json, const char* name, const std::string& text) {
  if (!text.empty()) json[name] = text;
}

/// A member that is a text, or nothing.
Result<void> take_text(const Json& value, const char* name, Json& into) {
  auto found = value.find(name);
  if (found == value.end() || found->is_null()) return {};
  if (!found->is_string()) return failure(Kind::InvalidArgument, "Error.{} must be a string", name);
  into[name] = *found;
  return {};
}

}  // namespace

Json operation_json(const Operation& operation, Times times) {
  Json json{{"Id", operation.id},
            {"Type", name_of(operation.type)},
            {"StartTimestamp", time_json(operation.started_ms, times)},
            {"Status", name_of(operation.status)},
            {details_name(operation.type), details_of(operation, times)}};
  put_if(json, "ParentId", operation.parent_id);
  put_if(json, "Name", operation.name);
  put_if(json, "SubType", operation.sub_type);
  if (operation.ended_ms > 0) json["EndTimestamp"] = time_json(operation.ended_ms, times);
  return json;
}

Json execution_json(const Execution& execution, std::string_view input, Times times) {
  Json json{{"Id", execution.invocation},
            {"Type", name_of(OperationType::Execution)},
            {"Name", execution.name},
            {"StartTimestamp", time_json(execution.started_ms, times)},
            {"Status", name_of(OperationStatus::Started)},
            {"ExecutionDetails", {{"InputPayload", input}}}};
  return json;
}

Result<HandlerOutput> parse_output(std::string_view text) {
  auto json = parse_json(text, kOutputLimits);
  if (!json || !json->is_object())
    return failure(Kind::InvalidArgument,
                   "Invalid output: the handler of a durable function answers with an object");
  TRY(std::string status, json_string(*json, "Status"));
  HandlerOutput output;
  if (status == "SUCCEEDED") {
    output.status = HandlerOutput::Status::Succeeded;
  } else if (status == "FAILED") {
    output.status = HandlerOutput::Status::Failed;
  } else if (status != "PENDING") {
    return failure(Kind::InvalidArgument, "Invalid Status in invocation output.");
  }
  if (auto result = json->find("Result"); result != json->end() && !result->is_null()) {
    if (!result->is_string())
      return failure(Kind::InvalidArgument, "Invalid Result in invocation output: it is a string of JSON");
    output.result = result->get<std::string>();
  }
  if (auto error = json->find("Error"); error != json->end() && !error->is_null()) {
    TRY(output.error, read_error_object(*error));
  }
  if (output.status == HandlerOutput::Status::Failed && output.result)
    return failure(Kind::InvalidArgument, "Cannot provide a Result for FAILED status.");
  if (output.status == HandlerOutput::Status::Succeeded && !output.error.empty())
    return failure(Kind::InvalidArgument, "Cannot provide an Error for SUCCEEDED status.");
  return output;
}

std::string error_object(std::string_view message, std::string_view type) {
  Json json{{"ErrorMessage", message}};
  if (!type.empty()) json["ErrorType"] = type;
  return to_json(json);
}

Result<std::string> read_error_object(const Json& value) {
  if (!value.is_object()) return failure(Kind::InvalidArgument, "Error must be an object");
  Json taken = Json::object();
  for (const char* name : {"ErrorMessage", "ErrorType", "ErrorData"}) CHECK(take_text(value, name, taken));
  auto trace = value.find("StackTrace");
  if (trace != value.end() && !trace->is_null()) {
    if (!trace->is_array()) return failure(Kind::InvalidArgument, "Error.StackTrace must be a list");
    for (const Json& line : *trace) {
      if (!line.is_string())
        return failure(Kind::InvalidArgument, "Error.StackTrace must be a list of strings");
    }
    taken["StackTrace"] = *trace;
  }
  return to_json(taken);
}

std::string error_of_function(std::string_view payload) {
  auto json = parse_json(payload, kOutputLimits);
  if (!json || !json->is_object()) return error_object(payload);
  Json error = Json::object();
  if (auto text = json_string(*json, "errorMessage"); text) error["ErrorMessage"] = *text;
  if (auto text = json_string(*json, "errorType"); text && !text->empty()) error["ErrorType"] = *text;
  auto trace = json->find("stackTrace");
  if (trace != json->end() && trace->is_array()) {
    Json lines = Json::array();
    for (const Json& line : *trace) {
      if (line.is_string()) lines.push_back(line);
    }
    error["StackTrace"] = std::move(lines);
  }
  return to_json(error);
}

std::string error_for_client(std::string_view error_object) {
  Json json = Json::object();
  auto error = parse_json(error_object, kOutputLimits);
  if (!error || !error->is_object()) return to_json(json);
  constexpr std::pair<const char*, const char*> names[] = {{"ErrorMessage", "errorMessage"},
                                                           {"ErrorType", "errorType"},
                                                           {"ErrorData", "errorData"},
                                                           {"StackTrace", "stackTrace"}};
  for (const auto& [from, to] : names) {
    if (auto found = error->find(from); found != error->end()) json[to] = *found;
  }
  return to_json(json);
}

}  // namespace berth::functions::durable
