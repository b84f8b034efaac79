#include "api/lambda/lambda_api.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "api/aws/caller.h"
#include "api/aws/logs_service.h"
#include "api/aws/query_services.h"
#include "api/lambda/call.h"
#include "api/lambda/function_url.h"
#include "api/lambda/router.h"
#include "api/s3/s3_api.h"
#include "api/sqs/protocol.h"
#include "base/format.h"
#include "base/log.h"
#include "functions/durable/limits.h"
#include "functions/packages/package_store.h"
#include "io/event_loop.h"

namespace berth::api {
namespace {

using aws::AwsError;
using aws::AwsResult;
using aws::Reply;

constexpr std::string_view code_prefix = "/_berth/code/";
constexpr std::string_view own_prefix = "/_berth/";
constexpr std::string_view package_prefix = "/_berth/package/";
constexpr std::string_view sandboxes_path = "/_berth/sandboxes";
constexpr uint64_t document_bytes = 6 << 20;

io::Task<void> send(io::Exchange& exchange, Reply reply) {
  if (reply.sent) co_return;
  for (const auto& [name, value] : reply.headers) exchange.set_header(name, value);
  [[maybe_unused]] auto sent = co_await exchange.respond(reply.status, reply.content_type, reply.body);
}

uint64_t body_limit(const lambda::Operation& operation, functions::LimitProfile profile) {
  const functions::Limits& limits = functions::limits_of(profile);
  switch (operation.body) {
    case lambda::BodySize::Code:
      return limits.request_bytes;
    case lambda::BodySize::Payload:
      return limits.sync_payload_bytes;
    case lambda::BodySize::Checkpoint:
      return functions::durable::durable_limits_of(profile).request_bytes;
    case lambda::BodySize::Document:
      break;
  }
  return document_bytes;
}

AwsError body_error(const Error& error, const lambda::Operation& operation, uint64_t limit) {
  if (error.message() != "request body too large") return {400, "SerializationException", error.message()};
  std::string_view name = operation.name == "Invoke" ? "InvokeFunction" : operation.name;
  return {413, "RequestEntityTooLargeException",
          fmt::format("Request must be smaller than {} bytes for the {} operation", limit, name)};
}

/// The host's name without port; brackets of IPv6 stay.
std::string_view name_of_host(std::string_view host) {
  size_t colon = host.rfind(':');
  bool has_port = colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos;
  return has_port ? host.substr(0, colon) : host;
}

/// A name that only this machine, its containers, or somebody who redirects AWS's names here can mean.
bool is_local_name(std::string_view name) {
  bool address = name.starts_with('[') || std::all_of(name.begin(), name.end(), [](char c) {
                   return (c >= '0' && c <= '9') || c == '.';
                 });
  if (address || name.find('.') == std::string_view::npos) return true;
  for (std::string_view end : {".localhost", ".internal", ".local", ".amazonaws.com", ".on.aws"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

/// Without keys the port trusts whoever reaches it. Web pages reach it too, through the browser of whoever
/// looks at them: from another origin, or by a name of their own that they let point here.
AwsResult<void> refuse_web_pages(const FunctionServices& services, const io::Exchange& exchange) {
  if (!services.keys.empty()) return {};
  std::string_view origin = exchange.header("Origin").value_or("");
  if (size_t scheme = origin.find("://"); scheme != std::string_view::npos) origin.remove_prefix(scheme + 3);
  bool foreign = !origin.empty() && (origin == "null" || !is_local_name(name_of_host(origin)));
  if (!foreign && is_local_name(name_of_host(exchange.header("Host").value_or("")))) return {};
  return AwsError{
      403, "AccessDeniedException",
      "Requests of web pages and for foreign host names are refused while no signing keys are configured "
      "(berthd --functions-keys)"};
}

AwsError no_operation(const lambda::Match& match) {
  if (match.path_known)
    return {405, "MethodNotAllowedException", "HTTP method not allowed for this resource"};
  return {404, "UnknownOperationException", "Unable to determine service/operation name to be authorized"};
}

}  // namespace

bool LambdaApi::is_for_functions(std::string_view path) {
  return lambda::is_dated_path(path) || path.starts_with("/_berth/");
}

io::Task<void> LambdaApi::handle(io::Exchange& exchange) {
  AwsCaller caller = aws::read_caller(exchange);
  exchange.set_header("x-amzn-RequestId", caller.request_id);
  if (auto url_id = lambda::function_url_id(exchange)) {
    co_await lambda::serve_function_url(services_, exchange, std::move(caller), std::move(*url_id));
    co_return;
  }
  if (auto allowed = refuse_web_pages(services_, exchange); !allowed) {
    Reply refusal = aws::lambda_error_reply(allowed.error());
    co_await send(exchange, std::move(refusal));
    co_return;
  }
  if (exchange.path().starts_with(code_prefix)) {
    co_await serve_code(exchange);
    co_return;
  }
  if (lambda::is_dated_path(exchange.path())) {
    co_await handle_lambda(exchange, std::move(caller));
    co_return;
  }
  std::string_view target = exchange.header("X-Amz-Target").value_or("");
  if (target.starts_with("Logs_20140328.")) {
    co_await aws::serve_logs(services_, exchange, std::move(caller));
    co_return;
  }
  std::string service = caller.service;
  if (exchange.path().starts_with(own_prefix)) service = "berth";
  if (exchange.path().starts_with(package_prefix)) service = "package";
  if (exchange.path() == sandboxes_path) service = "sandboxes";
  if (target.starts_with("AWSEvents.")) service = "events";
  if (target.starts_with("secretsmanager.")) service = "secretsmanager";
  if (sqs::is_sqs(exchange.request())) service = "sqs";
  if (auto further = services_.further.find(service); further != services_.further.end()) {
    co_await further->second(exchange, std::move(caller));
    co_return;
  }
  if (service == "sts" || service == "iam" ||
      (service.empty() && exchange.path() == "/" && exchange.method() == "POST")) {
    co_await aws::serve_query(services_, exchange, std::move(caller));
    co_return;
  }
  co_await s3::serve(services_, exchange, std::move(caller));
}

io::Task<void> LambdaApi::handle_lambda(io::Exchange& exchange, AwsCaller caller) {
  lambda::Match match = lambda::find_operation(exchange.method(), exchange.request().target);
  if (match.operation == nullptr) {
    Reply refusal = aws::lambda_error_reply(no_operation(match));
    co_await send(exchange, std::move(refusal));
    co_return;
  }
  const lambda::Operation& operation = *match.operation;
  lambda::Call call(services_, exchange, std::move(caller));
  call.set_captures(std::move(match.captures));
  uint64_t limit = body_limit(operation, services_.profile);
  auto body = co_await exchange.read_body(limit);
  if (!body) {
    if (body.error().kind() == Kind::Cancelled) co_return;
    Reply refusal = aws::lambda_error_reply(body_error(body.error(), operation, limit));
    co_await send(exchange, std::move(refusal));
    co_return;
  }
  if (auto allowed = aws::check_caller(services_, exchange, *body); !allowed) {
    Reply refusal = aws::lambda_error_reply(allowed.error());
    co_await send(exchange, std::move(refusal));
    co_return;
  }
  call.set_body(std::move(*body));
  AwsResult<Reply> reply = Reply();
  if (operation.answer != nullptr) {
    reply = operation.answer(call);
  } else {
    reply = co_await operation.work(call);
  }
  if (reply) {
    co_await send(exchange, std::move(*reply));
  } else if (exchange.begun()) {
    exchange.abort();
  } else {
    if (reply.error().status == 500) log::error("{}: {}", operation.name, reply.error().message);
    Reply refusal = aws::lambda_error_reply(reply.error());
    co_await send(exchange, std::move(refusal));
  }
}

/// GetFunction's Code.Location: the archive by its digest, which nobody guesses.
io::Task<void> LambdaApi::serve_code(io::Exchange& exchange) {
  std::string_view name = std::string_view(exchange.path()).substr(code_prefix.size());
  if (name.ends_with(".zip")) name.remove_suffix(4);
  auto digest = Digest::parse("sha256:" + std::string(name));
  auto file =
      digest ? services_.packages.open_zip(*digest) : Result<sys::UniqueFd>(Error(Kind::NotFound, ""));
  auto size = digest ? services_.packages.zip_size(*digest) : Result<uint64_t>(Error(Kind::NotFound, ""));
  if (!file || !size) {
    co_await send(exchange,
                  aws::lambda_error_reply(aws::resource_not_found("There is no such code archive")));
    co_return;
  }
  s3::SentFile what{.size = *size, .content_type = "application/zip"};
  co_await s3::send_file(services_.loop, exchange, std::move(*file), std::move(what));
}

}  // namespace berth::api
