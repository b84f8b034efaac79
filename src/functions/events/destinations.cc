#include "functions/events/destinations.h"

#include <chrono>

#include "base/format.h"
#include "base/json.h"

namespace berth::functions::events {
namespace {

/// The payload as JSON, or as text when it is none.
Json embedded(std::string_view payload) {
  if (payload.empty()) return nullptr;
  auto json = parse_json(payload, {.max_bytes = 64u << 20, .max_depth = 512});
  return json ? std::move(*json) : Json(std::string(payload));
}

std::string timestamp(int64_t ms) {
  std::string text = to_rfc3339_fixed(from_unix_nanoseconds(ms * 1'000'000));
  // "….123456789Z" to milliseconds.
  return text.substr(0, text.find('.') + 4) + "Z";
}

std::string error_message(Ending ending, const InvocationOutcome* outcome) {
  if (outcome == nullptr) return std::string(to_string(ending));
  auto json = parse_json(outcome->payload, {.max_bytes = 64u << 20, .max_depth = 512});
  if (json && json->is_object()) {
    if (auto message = json_string(*json, "errorMessage"); message && !message->empty()) return *message;
  }
  return outcome->payload;
}

}  // namespace

DestinationKind destination_kind(std::string_view arn) {
  if (arn.starts_with("arn:aws:sqs:")) return DestinationKind::Queue;
  if (arn.starts_with("arn:aws:lambda:") && arn.find(":function:") != arn.npos)
    return DestinationKind::Function;
  return DestinationKind::Unsupported;
}

std::string destination_document(const StoredEvent& event, const FunctionVersion& function, Ending ending,
                                 const InvocationOutcome* outcome, int64_t now_ms) {
  uint32_t invoked = event.progress.errors + (ending == Ending::Success ? 1 : 0);
  std::string qualifier = event.event.qualifier.empty() ? latest_version : event.event.qualifier;
  Json document = {
      {"version", "1.0"},
      {"timestamp", timestamp(now_ms)},
      {"requestContext",
       {{"requestId", event.event.request_id},
        {"functionArn", function_arn(function.realm, function.name) + ":" + qualifier},
        {"condition", to_string(ending)},
        {"approximateInvokeCount", invoked}}},
      {"requestPayload", embedded(event.event.payload)},
  };
  if (outcome != nullptr) {
    Json& context = document["responseContext"];
    context = {{"statusCode", 200}, {"executedVersion", outcome->executed_version}};
    if (!outcome->function_error.empty()) context["functionError"] = outcome->function_error;
    document["responsePayload"] = embedded(outcome->payload);
  }
  return to_json(document);
}

queues::NewMessage dead_letter(const StoredEvent& event, Ending ending, const InvocationOutcome* outcome) {
  queues::NewMessage message{.body = event.event.payload.empty() ? "{}" : event.event.payload};
  std::string text = error_message(ending, outcome).substr(0, 1024);
  message.attributes["RequestID"] = {"String", event.event.request_id};
  message.attributes["ErrorCode"] = {"Number", outcome != nullptr ? "200" : "429"};
  message.attributes["ErrorMessage"] = {"String", text.empty() ? std::string(to_string(ending)) : text};
  return message;
}

}  // namespace berth::functions::events
