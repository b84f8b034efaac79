// Invoke in its forms: waiting, as an event, dry, streamed.
#include "api/lambda/durable_invoke.h"
#include "api/lambda/event_stream.h"
#include "api/lambda/function_json.h"
#include "api/lambda/invoking.h"
#include "api/lambda/router.h"
#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "functions/async_queue.h"
#include "functions/durable/durable_invoker.h"
#include "functions/invocation.h"
#include "functions/lineage.h"
#include "io/event_loop.h"

namespace berth::api::lambda {
namespace {

using functions::Invocation;
using functions::InvocationOutcome;

constexpr size_t checked_on_loop = 256 << 10;
constexpr size_t longest_client_context = 3583;
/// Frames of a streamed response carry at most this much.
constexpr size_t frame_bytes = 64 << 10;

/// An empty payload stands for an empty event.
io::Task<AwsResult<std::string>> checked_payload(Call& call) {
  std::string payload = std::move(call.body());
  if (payload.empty()) co_return std::string("{}");
  auto check = [&payload] { return Json::accept(payload); };
  bool valid = payload.size() <= checked_on_loop ? check() : co_await call.services().loop.on_worker(check);
  if (!valid) {
    co_return AwsError{400, "InvalidRequestContentException",
                       "Could not parse request body into json: Could not parse payload into json"};
  }
  co_return payload;
}

AwsResult<std::string> client_context(Call& call) {
  std::string_view encoded = call.exchange().header("X-Amz-Client-Context").value_or("");
  if (encoded.empty()) return std::string();
  auto decoded = from_base64(encoded);
  if (encoded.size() > longest_client_context || !decoded || !Json::accept(*decoded)) {
    return AwsError{400, "InvalidRequestContentException",
                    "Client context must be a valid Base64-encoded JSON object."};
  }
  return std::move(*decoded);
}

/// A function whose events lead to itself again and again is stopped, unless it is allowed to.
AwsResult<void> check_recursion(Call& call, const functions::FunctionReference& reference,
                                std::string_view trace_header) {
  std::string arn = functions::function_arn(reference.realm, reference.name);
  if (functions::runs_of(trace_header, arn) < functions::longest_loop) return {};
  const auto* entry = call.catalog().find(reference.realm, reference.name);
  if (entry == nullptr || entry->settings().recursive_loop == "Allow") return {};
  return AwsError{
      400, "RecursiveInvocationException",
      fmt::format("Function {} has been called {} times by events that lead back to it. Stop it from "
                  "calling itself, or allow that with PutFunctionRecursionConfig.",
                  arn, functions::longest_loop)};
}

/// What the caller names: resolved, and in a state to run.
AwsResult<Invocation> prepare(Call& call) {
  TRY(auto reference, call.function_reference());
  Invocation invocation;
  TRY(invocation.function, call.catalog().resolve(reference.realm, reference.name, reference.qualifier));
  CHECK(check_invocable(call.services(), *invocation.function));
  invocation.tenant = call.exchange().header("X-Amz-Tenant-Id").value_or("");
  CHECK(functions::check_tenant(*invocation.function, invocation.tenant));
  invocation.invoked_arn = functions::function_arn(reference.realm, reference.name);
  if (!reference.qualifier.empty()) invocation.invoked_arn.append(":").append(reference.qualifier);
  invocation.request_id = call.request_id();
  TRY(invocation.client_context, client_context(call));
  invocation.trace_header = call.exchange().header("X-Amzn-Trace-Id").value_or("");
  CHECK(check_recursion(call, reference, invocation.trace_header));
  std::string_view log_type = call.exchange().header("X-Amz-Log-Type").value_or("None");
  CHECK(check_enum(log_type, "logType", {"None", "Tail"}));
  invocation.log_tail = log_type == "Tail";
  invocation.debug = call.exchange().header("X-Berth-Debug") == "true";
  return invocation;
}

void put_outcome_headers(const InvocationOutcome& outcome, Reply& reply) {
  reply.headers.emplace_back("X-Amz-Executed-Version", outcome.executed_version);
  if (!outcome.function_error.empty())
    reply.headers.emplace_back("X-Amz-Function-Error", outcome.function_error);
  if (!outcome.trace_header.empty()) reply.headers.emplace_back("X-Amzn-Trace-Id", outcome.trace_header);
}

io::Task<AwsResult<Reply>> invoke_now(Call& call, Invocation invocation) {
  bool log_tail = invocation.log_tail;
  auto& invoker = call.services().invoker;
  auto outcome = co_await invoker.invoke(std::move(invocation));
  if (!outcome) co_return invocation_error(invoker, outcome.error());
  Reply reply{.status = 200, .body = std::move(outcome->payload)};
  put_outcome_headers(*outcome, reply);
  if (log_tail) reply.headers.emplace_back("X-Amz-Log-Result", to_base64(outcome->log_tail));
  co_return reply;
}

io::Task<AwsResult<Reply>> queue_event(Call& call, functions::FunctionReference reference,
                                       Invocation invocation) {
  functions::AsyncEvent event{.realm = reference.realm,
                              .function = reference.name,
                              .qualifier = reference.qualifier,
                              .request_id = call.request_id(),
                              .payload = std::move(invocation.payload),
                              .client_context = std::move(invocation.client_context),
                              .trace_header = std::move(invocation.trace_header),
                              .tenant = std::move(invocation.tenant)};
  auto queued = co_await call.services().queue.enqueue(std::move(event));
  if (!queued) co_return queued.error();
  co_return aws::empty_reply(202);
}

AwsError too_large(uint64_t limit, std::string_view operation) {
  return {413, "RequestEntityTooLargeException",
          fmt::format("Request must be smaller than {} bytes for the {} operation", limit, operation)};
}

io::Task<AwsResult<Reply>> invoke(Call& call) {
  std::string_view type = call.exchange().header("X-Amz-Invocation-Type").value_or("RequestResponse");
  CO_CHECK(check_enum(type, "invocationType", {"Event", "RequestResponse", "DryRun"}));
  CO_TRY(Invocation invocation, prepare(call));
  if (type == "Event" && call.body().size() > call.limits().async_payload_bytes) {
    co_return too_large(call.limits().async_payload_bytes, "InvokeFunction");
  }
  CO_TRY(invocation.payload, co_await checked_payload(call));
  if (type == "DryRun") co_return aws::empty_reply(204);
  if (functions::durable::is_durable(*invocation.function))
    co_return co_await invoke_durable(call, std::move(invocation), type == "Event");
  CO_CHECK(check_not_durable(call));
  if (type == "Event") {
    CO_TRY(auto reference, call.function_reference());
    co_return co_await queue_event(call, std::move(reference), std::move(invocation));
  }
  co_return co_await invoke_now(call, std::move(invocation));
}

/// The old form of an event: 202 with a body that says so.
io::Task<AwsResult<Reply>> invoke_async(Call& call) {
  CO_TRY(Invocation invocation, prepare(call));
  CO_TRY(invocation.payload, co_await checked_payload(call));
  if (functions::durable::is_durable(*invocation.function)) {
    CO_CHECK(co_await invoke_durable(call, std::move(invocation), true));
    co_return aws::json_reply(202, {{"Status", 202}});
  }
  CO_TRY(auto reference, call.function_reference());
  CO_CHECK(co_await queue_event(call, std::move(reference), std::move(invocation)));
  co_return aws::json_reply(202, {{"Status", 202}});
}

/// Puts a function's bytes into PayloadChunk frames as they come.
class FrameStream final : public functions::ResponseStream {
 public:
  FrameStream(io::Exchange& exchange, const Invocation& invocation) : exchange_(exchange) {
    version_ = invocation.function->version;
  }

  io::Task<Result<void>> begin(std::string content_type) override {
    if (exchange_.begun()) co_return Result<void>();
    exchange_.set_header("X-Amz-Executed-Version", version_);
    exchange_.set_header("X-Amzn-Remapped-Content-Type",
                         content_type.empty() ? "application/octet-stream" : content_type);
    co_return co_await exchange_.begin(200, "application/vnd.amazon.eventstream");
  }
  io::Task<Result<void>> write(std::string_view bytes) override {
    while (!bytes.empty()) {
      std::string frame =
          event_frame("PayloadChunk", "application/octet-stream", bytes.substr(0, frame_bytes));
      CO_CHECK(co_await exchange_.write(frame));
      bytes.remove_prefix(std::min(bytes.size(), frame_bytes));
    }
    co_return Result<void>();
  }

 private:
  io::Exchange& exchange_;
  std::string version_;
};

Json completion(const InvocationOutcome& outcome, bool log_tail) {
  Json json = Json::object();
  if (log_tail) json["LogResult"] = to_base64(outcome.log_tail);
  if (outcome.function_error.empty()) return json;
  json["ErrorCode"] = outcome.function_error;
  json["ErrorDetails"] = outcome.payload;
  return json;
}

io::Task<AwsResult<Reply>> invoke_stream(Call& call) {
  std::string_view type = call.exchange().header("X-Amz-Invocation-Type").value_or("RequestResponse");
  CO_CHECK(check_enum(type, "invocationType", {"RequestResponse", "DryRun"}));
  CO_TRY(Invocation invocation, prepare(call));
  CO_TRY(invocation.payload, co_await checked_payload(call));
  if (type == "DryRun") co_return aws::empty_reply(204);
  bool log_tail = invocation.log_tail;
  io::Exchange& exchange = call.exchange();
  FrameStream stream(exchange, invocation);
  invocation.stream = &stream;
  auto& invoker = call.services().invoker;
  auto outcome = co_await invoker.invoke(std::move(invocation));
  if (!outcome && !exchange.begun()) co_return invocation_error(invoker, outcome.error());
  Reply sent{.sent = true};
  if (!outcome) {
    exchange.abort();
    co_return sent;
  }
  // A function that does not stream, or failed before its first byte, has its whole answer in the outcome.
  std::string json_type = "application/json";
  if (!exchange.begun()) {
    CO_CHECK(co_await stream.begin(json_type));
    if (outcome->function_error.empty()) CO_CHECK(co_await stream.write(outcome->payload));
  }
  std::string last = event_frame("InvokeComplete", json_type, to_json(completion(*outcome, log_tail)));
  CO_CHECK(co_await exchange.write(last));
  CO_CHECK(co_await exchange.finish());
  co_return sent;
}

constexpr Operation operations[] = {
    {.name = "Invoke",
     .method = "POST",
     .pattern = "/2015-03-31/functions/{}/invocations",
     .work = invoke,
     .body = BodySize::Payload},
    {.name = "InvokeWithResponseStream",
     .method = "POST",
     .pattern = "/2021-11-15/functions/{}/response-streaming-invocations",
     .work = invoke_stream,
     .body = BodySize::Payload},
    {.name = "InvokeAsync",
     .method = "POST",
     .pattern = "/2014-11-13/functions/{}/invoke-async",
     .work = invoke_async,
     .body = BodySize::Payload},
};

}  // namespace

AwsError invocation_error(const functions::Invoker& invoker, const Error& error) {
  AwsError answer = aws::from_error(error);
  if (error.kind() != Kind::Exhausted) return answer;
  answer.reason = invoker.last_throttle() == functions::Throttle::ReservedConcurrency
                      ? "ReservedFunctionConcurrentInvocationLimitExceeded"
                      : "ConcurrentInvocationLimitExceeded";
  answer.message = "Rate Exceeded.";
  return answer;
}

std::span<const Operation> invoke_operations() {
  return operations;
}

}  // namespace berth::api::lambda
