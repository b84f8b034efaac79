// A sandbox whose program is a web server: this end plays the runtime. It waits until the server takes
// requests, turns each event into one, and the answer into the event's result.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/format.h"
#include "base/json.h"
#include "functions/sandbox/function_sandbox.h"
#include "functions/sandbox/web_events.h"

namespace berth::functions {
namespace {

using namespace std::chrono_literals;

/// Nothing tells when a server begins to listen.
constexpr auto kFirstPause = 5ms, kLongestPause = 50ms;
constexpr size_t kReadBytes = 64u << 10;
/// Beyond the body: head and chunk sizes.
constexpr size_t kMaxFrame = 1u << 20;

io::Task<Result<void>> connect_to(io::EventLoop& loop, int socket, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    co_return Result<void>();
  if (errno != EINPROGRESS) co_return Error::from_errno("connect", fmt::format("port {}", port), errno);
  CO_CHECK(co_await loop.writable(socket));
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) co_return Error::from_errno("connect", fmt::format("port {}", port), error);
  co_return Result<void>();
}

io::Task<Result<void>> send_whole(io::EventLoop& loop, int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      CO_CHECK(co_await loop.writable(socket));
    } else {
      // An answer may be there all the same: of a server that does not want the body.
      co_return Result<void>();
    }
  }
  co_return Result<void>();
}

/// One request over a connection of its own; the answer as it came. Exhausted: it is larger than `limit`.
io::Task<Result<std::string>> exchange_with(io::EventLoop& loop, sys::UniqueFd socket, uint16_t port,
                                            std::string request, size_t limit) {
  CO_CHECK(co_await connect_to(loop, socket.get(), port));
  CO_CHECK(co_await send_whole(loop, socket.get(), request));
  std::string answer;
  std::string buffer(kReadBytes, '\0');
  while (true) {
    ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EAGAIN) {
      CO_CHECK(co_await loop.readable(socket.get()));
      continue;
    }
    if (size < 0) co_return Error::from_errno("receive", "the web server's answer", errno);
    if (size == 0) co_return answer;
    answer.append(buffer.data(), static_cast<size_t>(size));
    if (answer.size() > limit) co_return Error(Kind::Exhausted, "the web server's answer is too large");
  }
}

Json json_or_null(const std::string& text) {
  auto parsed = parse_json(text);
  return parsed ? std::move(*parsed) : Json();
}

}  // namespace

io::Task<Result<void>> FunctionSandbox::ask_web_server() {
  const WebServer& server = plan_.web;
  CO_TRY(sys::UniqueFd socket, socket_inside());
  if (server.readiness_path.empty()) {
    int fd = socket.get();
    CO_CHECK(co_await connect_to(services_.loop, fd, server.port));
    co_return Result<void>();
  }
  std::string request = readiness_request(server);
  CO_TRY(std::string bytes, co_await exchange_with(services_.loop, std::move(socket), server.port,
                                                   std::move(request), kMaxFrame));
  CO_TRY(WebAnswer answer, parse_web_answer(bytes));
  if (answer.status >= 500) co_return failure(Kind::Unavailable, "the web server answers {}", answer.status);
  co_return Result<void>();
}

io::Task<void> FunctionSandbox::await_web_server() {
  std::chrono::milliseconds pause = kFirstPause;
  while (phase_ == Phase::Init) {
    io::Task<Result<void>> asking = ask_web_server();
    auto ready = co_await std::move(asking);
    if (phase_ != Phase::Init) co_return;
    if (ready) {
      runtime_ = RuntimeState::Ready;
      runtime_wants_more();
      co_return;
    }
    co_await services_.loop.sleep_for(pause);
    pause = std::min(pause + pause / 4, std::chrono::milliseconds(kLongestPause));
  }
}

WebContext FunctionSandbox::web_context(const EventRun& event) const {
  const Invocation& invocation = event.invocation;
  Json document{{"request_id", event.outcome.request_id},
                {"deadline", deadline_milliseconds(event)},
                {"invoked_function_arn", invocation.invoked_arn},
                {"xray_trace_id", event.outcome.trace_header},
                {"client_context", json_or_null(invocation.client_context)},
                {"identity", json_or_null(invocation.cognito_identity)},
                {"tenant_id", nullptr},
                {"env_config",
                 {{"function_name", invocation.function->name},
                  {"memory", invocation.function->memory_mebibytes},
                  {"version", invocation.function->version},
                  {"log_stream", plan_.log_stream},
                  {"log_group", plan_.log_group}}}};
  if (!invocation.tenant.empty()) document["tenant_id"] = invocation.tenant;
  return {.request_id = event.outcome.request_id, .tenant = invocation.tenant, .document = to_json(document)};
}

io::Task<void> FunctionSandbox::serve_event_by_web(EventPtr event) {
  WebRequest request = web_request(event->invocation.payload, plan_.web, web_context(*event));
  size_t limit = services_.max_response_bytes;
  Result<WebAnswer> answer = Error(Kind::Internal, "no answer");
  auto socket = socket_inside();
  if (socket) {
    io::Task<Result<std::string>> exchange = exchange_with(services_.loop, std::move(*socket), plan_.web.port,
                                                           std::move(request.bytes), limit + kMaxFrame);
    auto bytes = co_await std::move(exchange);
    answer = bytes ? parse_web_answer(*bytes) : Result<WebAnswer>(std::move(bytes).error());
  } else {
    answer = std::move(socket).error();
  }
  if (event_ != event || phase_ != Phase::Busy) co_return;  // it has timed out, or the server has ended
  runtime_ = RuntimeState::ResponseSent;
  std::string result = answer ? web_result(request.kind, *answer) : std::string();
  bool too_large = answer ? result.size() > limit : answer.error().kind() == Kind::Exhausted;
  if (too_large) {
    std::string text =
        fmt::format("Response payload size exceeded maximum allowed payload size ({} bytes).", limit);
    answer_event(error_document("Function.ResponseSizeTooLarge", text), "Function.ResponseSizeTooLarge");
  } else if (!answer) {
    std::string text = with_request_id(event->outcome.request_id, answer.error().message());
    answer_event(error_document("Runtime.WebServerFailure", text), "Runtime.WebServerFailure");
  } else if (request.kind == WebEventKind::PassThrough && answer->status >= 400) {
    std::string text =
        with_request_id(event->outcome.request_id, fmt::format("the web server answered {}", answer->status));
    answer_event(error_document("Function.WebServerError", text), "Function.WebServerError");
  } else {
    answer_event(std::move(result), {});
  }
}

/// The server waits for the next one at once.
void FunctionSandbox::answer_event(std::string payload, std::string error_type) {
  std::string function_error = error_type.empty() ? "" : "Unhandled";
  answer(std::move(payload), std::move(function_error), std::move(error_type));
  runtime_ = RuntimeState::Ready;
  runtime_wants_more();
}

}  // namespace berth::functions
