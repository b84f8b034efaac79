#include "apps/berth/client/function_client.h"

#include "base/json.h"

namespace berth::cli::client {
namespace {

constexpr size_t kMaxReply = 256u << 20;
constexpr std::string_view kHost = "functions.berth.internal";
/// Where the engine's socket takes what names its operation in a header.
constexpr const char* kTargets = "/_berth/aws";

std::string head_of(const FunctionRequest& request) {
  std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: berth/{}\r\n", request.method,
                                 request.path, kHost, BERTH_VERSION);
  for (const auto& [name, value] : request.headers) {
    std::string clean = value;
    std::erase_if(clean, [](char c) { return c == '\r' || c == '\n'; });
    head += fmt::format("{}: {}\r\n", name, clean);
  }
  if (!request.body.empty()) head += fmt::format("Content-Type: {}\r\n", request.content_type);
  if (!request.body.empty() || request.method != "GET")
    head += fmt::format("Content-Length: {}\r\n", request.body.size());
  return head + "Connection: close\r\n\r\n";
}

Failure aws_failure(const ResponseHead& head, std::string_view body, std::string_view path) {
  std::string type(head.header("x-amzn-errortype"));
  std::string message;
  if (auto json = parse_json(body); json && json->is_object()) {
    for (const char* name : {"Message", "message"}) {
      if (auto text = json_string(*json, name); text && message.empty()) message = *text;
    }
    if (auto named = json_string(*json, "__type"); named && type.empty()) type = *named;
  }
  type = type.substr(0, type.find(':'));
  if (size_t hash = type.find('#'); hash != type.npos) type = type.substr(hash + 1);
  if (message.empty()) message = fmt::format("{} answered {}: {}", path, head.status, body.substr(0, 500));
  Failure failure = Failure::client(type.empty() ? message : fmt::format("{}: {}", type, message));
  failure.http_status = head.status;
  return failure;
}

}  // namespace

Outcome<Reply> FunctionClient::call(const FunctionRequest& request) {
  TRY(Connection connection, context_.engine().open());
  CHECK(connection.send(head_of(request) + request.body));
  ResponseParser parser;
  std::string body;
  while (!parser.complete()) {
    TRY(Connection::Got got, connection.receive());
    if (got == Connection::Got::End) {
      CHECK(parser.end_of_stream());
      break;
    }
    std::string_view rest = connection.buffered();
    CHECK(parser.feed(rest, body));
    connection.consume_to(rest);
    if (body.size() > kMaxReply)
      return refuse("the answer to {} is longer than {} bytes", request.path, kMaxReply);
  }
  if (parser.head().status >= 400) return aws_failure(parser.head(), body, request.path);
  return Reply{parser.head(), std::move(body)};
}

Outcome<Json> FunctionClient::json(const FunctionRequest& request) {
  TRY(Reply reply, call(request));
  if (reply.body.empty()) return Json(nullptr);
  TRY(Json json, parse_json(reply.body, {.max_bytes = kMaxReply, .max_depth = 128}));
  return json;
}

Outcome<Json> FunctionClient::target(std::string_view operation, const Json& input) {
  return json({.method = "POST",
               .path = kTargets,
               .body = to_json(input),
               .headers = {{"X-Amz-Target", std::string(operation)}},
               .content_type = "application/x-amz-json-1.1"});
}

Outcome<Json> FunctionClient::sqs(std::string_view operation, const Json& input) {
  return json({.method = "POST",
               .path = kTargets,
               .body = to_json(input),
               .headers = {{"X-Amz-Target", fmt::format("AmazonSQS.{}", operation)}},
               .content_type = "application/x-amz-json-1.0"});
}

std::string function_path(std::string_view name, std::string_view rest, std::string_view generation) {
  std::string path = fmt::format("/{}/functions/{}", generation, percent_encode(name));
  if (!rest.empty()) path += fmt::format("/{}", rest);
  return path;
}

}  // namespace berth::cli::client
