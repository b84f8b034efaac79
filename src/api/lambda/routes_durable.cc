// Durable executions: what handlers ask for (checkpoints, state), what others ask (history, lists, callbacks,
// stop, pause, removal), and how they are started.
#include <algorithm>
#include <charconv>

#include "api/lambda/durable_invoke.h"
#include "api/lambda/durable_json.h"
#include "api/lambda/function_json.h"
#include "api/lambda/invoking.h"
#include "api/lambda/router.h"
#include "base/format.h"
#include "base/json.h"
#include "base/utf8.h"
#include "functions/catalog/catalog.h"
#include "functions/durable/durable_invoker.h"
#include "io/cancel.h"
#include "io/event_loop.h"

namespace berth::api::lambda {
namespace {

namespace durable = functions::durable;

constexpr size_t kParsedOnLoop = 256 << 10;
constexpr size_t kMostCallbackBytes = 1 << 20;
constexpr uint32_t kDefaultItems = 100, kMostItems = 1000;

AwsError refusal(const Error& error) {
  if (error.kind() == Kind::DeadlineExceeded) return {400, "CallbackTimeoutException", error.message()};
  return aws::from_error(error);
}

AwsResult<durable::ExecutionArn> arn_of_path(const Call& call) {
  TRY(auto arn, durable::parse_execution_arn(call.capture()));
  return arn;
}

AwsResult<int64_t> whole_number(std::string_view text, std::string_view name, int64_t most) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0 || value > most) {
    return aws::invalid_parameter(
        fmt::format("{} must be a whole number from 0 to {}, not \"{}\"", name, most, text.substr(0, 64)));
  }
  return value;
}

struct Asked {
  uint32_t items = kDefaultItems;
  int64_t beyond = 0;
};
/// MaxItems and Marker of the query.
AwsResult<Asked> asked_page(const Call& call) {
  Asked asked;
  if (std::string_view items = call.query("MaxItems"); !items.empty()) {
    TRY(int64_t count, whole_number(items, "MaxItems", kMostItems));
    if (count > 0) asked.items = static_cast<uint32_t>(count);
  }
  if (std::string_view marker = call.query("Marker"); !marker.empty()) {
    TRY(asked.beyond, whole_number(marker, "Marker", INT64_MAX));
  }
  return asked;
}

AwsResult<bool> asked_flag(const Call& call, std::string_view name, bool fallback) {
  std::string_view text = call.query(name);
  if (text.empty()) return fallback;
  if (text != "true" && text != "false")
    return aws::invalid_parameter(fmt::format("{} must be true or false", name));
  return text == "true";
}

/// The body as an object; long ones are parsed elsewhere than on the loop.
io::Task<AwsResult<Json>> document(Call& call) {
  if (call.body().size() <= kParsedOnLoop) co_return call.json();
  auto parse = [&call] { return call.json(); };
  co_return co_await call.services().loop.on_worker(parse);
}

Json operations_json(const std::vector<durable::Operation>& operations) {
  Json list = Json::array();
  for (const durable::Operation& operation : operations)
    list.push_back(operation_json(operation, durable::Times::Seconds));
  return list;
}

void put_marker(Json& body, int64_t beyond) {
  if (beyond != 0) body["NextMarker"] = std::to_string(beyond);
}

io::Task<AwsResult<Reply>> checkpoint(Call& call) {
  durable::CheckpointRequest request;
  CO_TRY(request.arn, arn_of_path(call));
  CO_TRY(Json body, co_await document(call));
  CO_TRY(auto token, text_member(body, "CheckpointToken"));
  CO_TRY(auto client_token, text_member(body, "ClientToken"));
  if (!token || token->empty() || token->size() > 2048)
    co_return aws::invalid_parameter("Invalid checkpoint token");
  if (client_token && (client_token->empty() || client_token->size() > 64))
    co_return aws::invalid_parameter("ClientToken must have 1 to 64 characters");
  request.token = std::move(*token);
  request.client_token = client_token.value_or("");
  if (const Json* updates = member(body, "Updates"); updates != nullptr) {
    CO_TRY(request.updates, read_updates(*updates));
  }
  auto done = co_await call.services().executions.checkpoint(std::move(request));
  if (!done) co_return refusal(done.error());
  Json answer{{"NewExecutionState", {{"Operations", operations_json(done->changed)}}}};
  if (!done->token.empty()) answer["CheckpointToken"] = done->token;
  co_return aws::json_reply(200, answer);
}

io::Task<AwsResult<Reply>> get_state(Call& call) {
  CO_TRY(auto arn, arn_of_path(call));
  CO_TRY(Asked asked, asked_page(call));
  std::string token(call.query("CheckpointToken"));
  auto state =
      co_await call.services().executions.state(std::move(arn), std::move(token), asked.beyond, asked.items);
  if (!state) co_return refusal(state.error());
  Json operations = operations_json(state->page.operations);
  if (state->execution) {
    operations.insert(operations.begin(),
                      execution_json(*state->execution, state->input, durable::Times::Seconds));
  }
  Json answer{{"Operations", std::move(operations)}};
  put_marker(answer, state->page.beyond);
  co_return aws::json_reply(200, answer);
}

io::Task<AwsResult<Reply>> get_execution(Call& call) {
  CO_TRY(auto arn, arn_of_path(call));
  CO_TRY(bool with_data, asked_flag(call, "IncludeExecutionData", true));
  auto state = co_await call.services().executions.describe(std::move(arn), with_data);
  if (!state) co_return refusal(state.error());
  co_return aws::json_reply(200, execution_document(*state, with_data));
}

io::Task<AwsResult<Reply>> get_history(Call& call) {
  CO_TRY(auto arn, arn_of_path(call));
  CO_TRY(Asked asked, asked_page(call));
  CO_TRY(bool with_data, asked_flag(call, "IncludeExecutionData", true));
  CO_TRY(bool newest_first, asked_flag(call, "ReverseOrder", false));
  auto page =
      co_await call.services().executions.history(std::move(arn), asked.beyond, newest_first, asked.items);
  if (!page) co_return refusal(page.error());
  Json list = Json::array();
  for (const durable::HistoryEvent& event : page->events) list.push_back(event_document(event, with_data));
  Json answer{{"Events", std::move(list)}};
  put_marker(answer, page->beyond);
  co_return aws::json_reply(200, answer);
}

/// ISO 8601, or seconds since the epoch.
AwsResult<std::optional<int64_t>> asked_time(const Call& call, std::string_view name) {
  std::string_view text = call.query(name);
  if (text.empty()) return std::optional<int64_t>();
  auto time = parse_time_reference(text, now());
  if (!time) return aws::invalid_parameter(fmt::format("{} is no time: \"{}\"", name, text.substr(0, 64)));
  return std::optional(to_unix_nanoseconds(*time) / 1'000'000);
}

AwsResult<durable::ExecutionFilter> asked_filter(Call& call, const functions::FunctionEntry& entry) {
  durable::ExecutionFilter filter{.realm = entry.realm(), .function = entry.name()};
  TRY(std::string qualifier, call.qualifier());
  if (!qualifier.empty()) {
    TRY(auto version, call.catalog().main_version(entry, qualifier));
    filter.version = version->version;
  }
  filter.name = call.query("DurableExecutionName");
  if (!filter.name.empty() && !durable::is_execution_name(filter.name))
    return aws::invalid_parameter("DurableExecutionName must satisfy the pattern [a-zA-Z0-9-_]+");
  for (std::string_view status : call.exchange().query().all("Statuses")) {
    // Nothing is ever found in it: what is deleted is gone at once.
    if (status == "DELETING") continue;
    auto known = durable::parse_execution_status(status);
    if (!known || filter.statuses.size() >= 10)
      return aws::invalid_parameter(fmt::format("Statuses: there is no status \"{}\"", status.substr(0, 64)));
    filter.statuses.push_back(*known);
  }
  TRY(filter.after_ms, asked_time(call, "StartedAfter"));
  TRY(filter.before_ms, asked_time(call, "StartedBefore"));
  TRY(filter.oldest_first, asked_flag(call, "ReverseOrder", false));
  return filter;
}

io::Task<AwsResult<Reply>> list_executions(Call& call) {
  CO_TRY(const functions::FunctionEntry* entry, call.function());
  CO_TRY(Asked asked, asked_page(call));
  CO_TRY(auto filter, asked_filter(call, *entry));
  filter.beyond = asked.beyond;
  // One more, to know whether there is another page.
  auto found = co_await call.services().executions.list(std::move(filter), asked.items + 1);
  if (!found) co_return refusal(found.error());
  bool more = found->size() > asked.items;
  if (more) found->pop_back();
  Json list = Json::array();
  for (const durable::Execution& execution : *found) list.push_back(execution_summary(execution));
  Json answer{{"DurableExecutions", std::move(list)}};
  if (more) put_marker(answer, found->back().id);
  co_return aws::json_reply(200, answer);
}

AwsResult<std::string> callback_of_path(const Call& call) {
  std::string_view id = call.capture();
  bool fits = !id.empty() && id.size() <= 1024 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/' || c == '=';
  });
  if (fits) return std::string(id);
  return aws::invalid_parameter("CallbackId must have 1 to 1024 characters of [A-Za-z0-9+/]+={0,2}");
}

io::Task<AwsResult<Reply>> callback_succeed(Call& call) {
  CO_TRY(std::string id, callback_of_path(call));
  durable::OperationOutcome outcome{.status = durable::OperationStatus::Succeeded};
  if (call.body().size() > kMostCallbackBytes)
    co_return aws::invalid_parameter(
        fmt::format("A callback's result has at most {} bytes", kMostCallbackBytes));
  if (!is_utf8(call.body())) co_return aws::invalid_parameter("A callback's result is text in UTF-8");
  if (!call.body().empty()) outcome.result = std::move(call.body());
  auto done = co_await call.services().executions.complete_callback(std::move(id), std::move(outcome));
  if (!done) co_return refusal(done.error());
  co_return aws::json_reply(200, Json::object());
}

io::Task<AwsResult<Reply>> callback_fail(Call& call) {
  CO_TRY(std::string id, callback_of_path(call));
  CO_TRY(Json body, co_await document(call));
  durable::OperationOutcome outcome{.status = durable::OperationStatus::Failed};
  CO_TRY(outcome.error, read_error(&body));
  if (outcome.error.size() > call.services().executions.limits().error_bytes)
    co_return aws::invalid_parameter("A callback's error is too large");
  auto done = co_await call.services().executions.complete_callback(std::move(id), std::move(outcome));
  if (!done) co_return refusal(done.error());
  co_return aws::json_reply(200, Json::object());
}

io::Task<AwsResult<Reply>> callback_heartbeat(Call& call) {
  CO_TRY(std::string id, callback_of_path(call));
  auto done = co_await call.services().executions.heartbeat(std::move(id));
  if (!done) co_return refusal(done.error());
  co_return aws::json_reply(200, Json::object());
}

io::Task<AwsResult<Reply>> stop_execution(Call& call) {
  CO_TRY(auto arn, arn_of_path(call));
  CO_TRY(Json body, co_await document(call));
  std::string error;
  if (!body.empty()) {
    CO_TRY(error, read_error(&body));
  }
  if (error.size() > call.services().executions.limits().error_bytes)
    co_return aws::invalid_parameter("The error is too large");
  auto stopped = co_await call.services().executions.stop_execution(std::move(arn), std::move(error));
  if (!stopped) co_return refusal(stopped.error());
  co_return aws::json_reply(200, {{"StopTimestamp", static_cast<double>(*stopped) / 1000.0}});
}

/// ClientToken and Reason.
AwsResult<std::pair<std::string, std::string>> token_and_reason(const Json& body) {
  TRY(auto token, text_member(body, "ClientToken"));
  TRY(auto reason, text_member(body, "Reason"));
  if (token && (token->empty() || token->size() > 64))
    return aws::invalid_parameter("ClientToken must have 1 to 64 characters");
  if (reason && reason->size() > 1024)
    return aws::invalid_parameter("Reason must have at most 1024 characters");
  return std::pair(token.value_or(""), reason.value_or(""));
}

io::Task<AwsResult<Reply>> pause_execution(Call& call) {
  durable::PauseRequest request;
  CO_TRY(request.arn, arn_of_path(call));
  CO_TRY(Json body, call.json());
  CO_TRY(auto words, token_and_reason(body));
  CO_TRY(auto stops_timeout, flag_member(body, "ExecutionTimeoutPaused"));
  request.client_token = std::move(words.first);
  request.reason = std::move(words.second);
  request.stops_timeout = stops_timeout.value_or(true);
  auto done = co_await call.services().executions.pause(std::move(request));
  if (!done) co_return refusal(done.error());
  co_return aws::json_reply(202, Json::object());
}

io::Task<AwsResult<Reply>> resume_execution(Call& call) {
  CO_TRY(auto arn, arn_of_path(call));
  CO_TRY(Json body, call.json());
  CO_TRY(auto words, token_and_reason(body));
  auto done = co_await call.services().executions.resume(std::move(arn), std::move(words.first),
                                                         std::move(words.second));
  if (!done) co_return refusal(done.error());
  co_return aws::json_reply(202, Json::object());
}

io::Task<AwsResult<Reply>> delete_execution(Call& call) {
  CO_TRY(auto arn, arn_of_path(call));
  auto removed = co_await call.services().executions.remove(std::move(arn));
  if (!removed) co_return refusal(removed.error());
  co_return aws::json_reply(202, {{"DeletionRequestTimestamp", static_cast<double>(*removed) / 1000.0}});
}

AwsResult<std::string> asked_name(Call& call) {
  auto name = call.exchange().header("X-Amz-Durable-Execution-Name");
  if (!name) return std::string();
  if (durable::is_execution_name(*name)) return std::string(*name);
  return aws::validation_exception(
      functions::validation_error(
          name->substr(0, 128), "durableExecutionName",
          "Member must have 1 to 64 characters and satisfy regular expression pattern: "
          "[a-zA-Z0-9-_]+")
          .message());
}

constexpr std::string_view execution = "/2025-12-01/durable-executions/{}";
constexpr Operation operations[] = {
    {.name = "CheckpointDurableExecution",
     .method = "POST",
     .pattern = "/2025-12-01/durable-executions/{}/checkpoint",
     .work = checkpoint,
     .body = BodySize::Checkpoint},
    {.name = "GetDurableExecutionState",
     .method = "GET",
     .pattern = "/2025-12-01/durable-executions/{}/state",
     .work = get_state},
    {.name = "GetDurableExecution", .method = "GET", .pattern = execution, .work = get_execution},
    {.name = "DeleteDurableExecution", .method = "DELETE", .pattern = execution, .work = delete_execution},
    {.name = "GetDurableExecutionHistory",
     .method = "GET",
     .pattern = "/2025-12-01/durable-executions/{}/history",
     .work = get_history},
    {.name = "StopDurableExecution",
     .method = "POST",
     .pattern = "/2025-12-01/durable-executions/{}/stop",
     .work = stop_execution},
    {.name = "PauseDurableExecution",
     .method = "POST",
     .pattern = "/2025-12-01/durable-executions/{}/pause",
     .work = pause_execution},
    {.name = "ResumeDurableExecution",
     .method = "POST",
     .pattern = "/2025-12-01/durable-executions/{}/resume",
     .work = resume_execution},
    {.name = "ListDurableExecutionsByFunction",
     .method = "GET",
     .pattern = "/2025-12-01/functions/{}/durable-executions",
     .work = list_executions},
    {.name = "SendDurableExecutionCallbackSuccess",
     .method = "POST",
     .pattern = "/2025-12-01/durable-execution-callbacks/{}/succeed",
     .work = callback_succeed},
    {.name = "SendDurableExecutionCallbackFailure",
     .method = "POST",
     .pattern = "/2025-12-01/durable-execution-callbacks/{}/fail",
     .work = callback_fail},
    {.name = "SendDurableExecutionCallbackHeartbeat",
     .method = "POST",
     .pattern = "/2025-12-01/durable-execution-callbacks/{}/heartbeat",
     .work = callback_heartbeat},
};

}  // namespace

AwsResult<void> check_not_durable(Call& call) {
  TRY(std::string name, asked_name(call));
  if (name.empty()) return {};
  return aws::invalid_parameter("A durable execution name can be given for durable functions only.");
}

io::Task<AwsResult<Reply>> invoke_durable(Call& call, functions::Invocation invocation, bool event) {
  auto& executions = call.services().executions;
  if (event) invocation.source = functions::InvocationSource::Async;
  CO_TRY(auto asked, durable::execution_for(invocation, call.services().profile));
  CO_TRY(asked.name, asked_name(call));
  CO_TRY(auto started, co_await executions.start_execution(std::move(asked)));
  if (started.how == durable::Started::How::Differs) {
    co_return AwsError{
        409, "DurableExecutionAlreadyStartedException",
        fmt::format("Durable execution {} has been started already, with another payload", started.arn)};
  }
  Reply reply = aws::empty_reply(202);
  if (!event) {
    // It goes on without a client, too.
    auto state =
        co_await io::unless_cancelled(executions.wait_for(started.id), call.exchange().client_gone());
    if (!state) co_return refusal(state.error());
    auto outcome = durable::outcome_of(*state, invocation);
    reply = Reply{.status = 200, .body = std::move(outcome.payload)};
    reply.headers.emplace_back("X-Amz-Executed-Version", outcome.executed_version);
    if (!outcome.function_error.empty())
      reply.headers.emplace_back("X-Amz-Function-Error", outcome.function_error);
  }
  reply.headers.emplace_back("X-Amz-Durable-Execution-Arn", started.arn);
  co_return reply;
}

std::span<const Operation> durable_operations() {
  return operations;
}

}  // namespace berth::api::lambda
