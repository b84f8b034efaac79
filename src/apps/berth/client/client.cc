// The Engine API client.
#include "apps/berth/client/client.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <charconv>

#include "apps/berth/client/interception.h"
#include "base/json.h"

namespace berth::cli::client {
namespace {

constexpr size_t max_reply = 256u << 20;
constexpr size_t max_error_reply = 1u << 20;

Interceptor& interceptor() {
  static Interceptor installed;
  return installed;
}

/// What the interceptor answers, if there is one and it does; asked in its turn, the engine answers.
std::optional<Outcome<Reply>> intercepted(const Connector& connector, const Headers& headers,
                                          const Request& request) {
  static thread_local bool asking = false;
  if (!interceptor() || asking) return std::nullopt;
  return interceptor()(request, [&](const Request& asked) {
    asking = true;
    auto reply = Client(connector, headers).call(asked);
    asking = false;
    return reply;
  });
}

/// As if it had come from the engine.
Outcome<BodyReader> reader_of(const Outcome<Reply>& reply) {
  if (!reply) return reply.error();
  const std::string bytes = fmt::format("HTTP/1.1 {} Intercepted\r\nContent-Length: {}\r\n\r\n{}",
                                        reply->head.status, reply->body.size(), reply->body);
  std::string_view rest = bytes;
  ResponseParser parser;
  std::string body;
  CHECK(parser.feed(rest, body));
  return BodyReader(Connection(), std::move(parser), std::move(body));
}

/// A conversation cannot be made up.
Failure refused(const Outcome<Reply>& reply, const Request& request) {
  return reply ? refuse("{} cannot be had without the engine", request.path) : reply.error();
}

/// Major and minor of "1.41".
std::pair<int, int> parts_of(std::string_view version) {
  int major = 0;
  int minor = 0;
  size_t dot = version.find('.');
  std::from_chars(version.data(), version.data() + std::min(dot, version.size()), major);
  if (dot != std::string_view::npos) {
    std::from_chars(version.data() + dot + 1, version.data() + version.size(), minor);
  }
  return {major, minor};
}

}  // namespace

int compare_versions(std::string_view left, std::string_view right) {
  auto a = parts_of(left);
  auto b = parts_of(right);
  return a < b ? -1 : a > b ? 1 : 0;
}

std::string path_of(std::string_view collection, std::string_view id, std::string_view action) {
  std::string path = fmt::format("/{}/{}", collection, percent_encode(id));
  if (!action.empty()) path += fmt::format("/{}", action);
  return path;
}

std::string image_path(std::string_view name, std::string_view action) {
  std::string path = "/images/" + percent_encode(name, "/:@");
  if (!action.empty()) path += fmt::format("/{}", action);
  return path;
}

Failure failure_of(const ResponseHead& head, std::string_view body, std::string_view path) {
  std::string message;
  if (auto json = parse_json(body)) {
    if (auto text = json_string(*json, "message")) message = *text;
  }
  if (message.empty()) message = body;
  while (!message.empty() && (message.back() == '\n' || message.back() == ' ')) message.pop_back();
  if (message.empty()) {
    message = fmt::format("request returned status {} for API route {}, check if the engine supports it",
                          head.status, path);
  }
  return Failure::daemon(message, head.status);
}

void intercept_requests(Interceptor installed) {
  interceptor() = std::move(installed);
}

Client::Client(Connector connector, Headers headers)
    : connector_(std::move(connector)), headers_(std::move(headers)) {}

std::string Client::target(const Request& request) const {
  return fmt::format("/v{}{}{}", version_, request.path, request.query.str());
}

std::string Client::head_of(const Request& request, Framing framing) const {
  Headers headers = headers_;
  headers.insert(headers.end(), request.headers.begin(), request.headers.end());
  bool has_body = framing == Framing::Chunked || !request.body.empty();
  return request_head(request.method, target(request), headers, framing, request.body.size(),
                      has_body ? request.content_type : "");
}

void Client::note_version(const ResponseHead& head) {
  if (settled_ || head.status >= 400) return;
  std::string_view spoken = head.header("api-version");
  settled_ = true;
  if (!spoken.empty() && compare_versions(spoken, version_) < 0) version_ = spoken;
}

bool Client::speaks(std::string_view version) const {
  return compare_versions(version_, version) >= 0;
}

/// An engine that finds a version too new says 400 and names its own, in the header or at least in the words
/// "client version 1.51 is too new. Maximum supported API version is 1.41" (an answer to HEAD has no words).
bool Client::adopt_older_version(const ResponseHead& head, const Failure& failure) {
  constexpr std::string_view marker = "Maximum supported API version is ";
  if (settled_ || head.status != 400) return false;
  std::string version(head.header("api-version"));
  if (size_t at = failure.message.find(marker); at != std::string::npos && version.empty()) {
    std::string_view rest = std::string_view(failure.message).substr(at + marker.size());
    version = rest.substr(0, rest.find_first_not_of("0123456789."));
  }
  if (version.empty() || compare_versions(version, version_) >= 0) return false;
  version_ = version;
  settled_ = true;
  return true;
}

Outcome<Connection> Client::idle_or_new(bool& reused) {
  reused = static_cast<bool>(idle_);
  if (reused) return std::exchange(idle_, {});
  return connector_();
}

Outcome<std::string_view> BodyReader::next() {
  if (std::exchange(handed_out_, false)) body_.clear();
  while (body_.empty() && !parser_.complete()) {
    TRY(Connection::Got got, connection_.receive());
    if (got == Connection::Got::End) {
      CHECK(parser_.end_of_stream());
      break;
    }
    std::string_view rest = connection_.buffered();
    CHECK(parser_.feed(rest, body_));
    connection_.consume_to(rest);
  }
  handed_out_ = true;
  return std::string_view(body_);
}

Outcome<BodyReader> Client::open_answer(const Request& request) {
  if (auto answer = intercepted(connector_, headers_, request)) return reader_of(*answer);
  bool reused = false;
  TRY(Connection connection, idle_or_new(reused));
  std::string bytes = head_of(request, request.body.empty() ? Framing::None : Framing::Length) + request.body;
  auto sent = connection.send(bytes);
  ResponseParser parser(request.method == "HEAD" ? ResponseParser::Body::None
                                                 : ResponseParser::Body::Expected);
  std::string body;
  bool any = false;
  while (sent && !parser.head_done()) {
    TRY(Connection::Got got, connection.receive());
    if (got == Connection::Got::End) {
      if (any || !reused) CHECK(parser.end_of_stream());
      break;
    }
    any = true;
    std::string_view rest = connection.buffered();
    CHECK(parser.feed(rest, body));
    connection.consume_to(rest);
  }
  if (!any && reused) return open_answer(request);  // the engine had closed the idle connection
  CHECK(sent);
  note_version(parser.head());
  BodyReader reader(std::move(connection), std::move(parser), std::move(body));
  if (reader.head().status < 400) return reader;
  std::string words;
  for (;;) {
    TRY(std::string_view piece, reader.next());
    words += piece;
    if (piece.empty() || words.size() > max_error_reply) break;
  }
  Failure failure = failure_of(reader.head(), words, request.path);
  bool older = adopt_older_version(reader.head(), failure);
  keep(reader);
  if (older) return open_answer(request);
  return failure;
}

/// The connection serves the next request when nothing of this answer is left on it.
void Client::keep(BodyReader& reader) {
  if (!reader.connection_) return;
  if (reader.parser_.complete() && reader.parser_.keep_alive()) idle_ = std::move(reader.connection_);
}

Outcome<Reply> Client::call(const Request& request) {
  TRY(BodyReader reader, open_answer(request));
  Reply reply{reader.head(), {}};
  for (;;) {
    TRY(std::string_view piece, reader.next());
    if (piece.empty()) break;
    reply.body += piece;
    if (reply.body.size() > max_reply) return refuse("the engine's answer is too large");
  }
  keep(reader);
  return reply;
}

Outcome<ResponseHead> Client::stream(const Request& request, const Sink& sink) {
  TRY(BodyReader reader, open_answer(request));
  for (;;) {
    TRY(std::string_view piece, reader.next());
    if (piece.empty()) break;
    CHECK(sink(piece));
  }
  keep(reader);
  return reader.head();
}

Outcome<void> Client::negotiate() {
  if (settled_) return {};
  Connection connection;
  TRY(connection, connector_());
  CHECK(connection.send(request_head("HEAD", "/_ping", headers_, Framing::None, 0, "")));
  ResponseParser parser(ResponseParser::Body::None);
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
  }
  note_version(parser.head());
  settled_ = true;
  if (parser.keep_alive() && !idle_) idle_ = std::move(connection);
  return {};
}

Outcome<void> BodyWriter::push(std::string_view bytes) {
  while (!bytes.empty() && !refused_) {
    pollfd wait{connection_.fd(), POLLIN | POLLOUT, 0};
    if (::poll(&wait, 1, -1) < 0 && errno != EINTR) return Error::from_errno("poll", "the engine", errno);
    if ((wait.revents & (POLLIN | POLLHUP | POLLERR)) != 0) CHECK(pull(Connection::Wait::Poll));
    if ((wait.revents & POLLOUT) == 0) continue;
    ssize_t sent = ::send(connection_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EPIPE || errno == ECONNRESET) {
      refused_ = true;
    } else if (errno != EAGAIN && errno != EINTR) {
      return Error::from_errno("send to", "the engine", errno);
    }
  }
  return {};
}

Outcome<void> BodyWriter::pull(Connection::Wait wait) {
  TRY(Connection::Got got, connection_.receive(wait));
  if (got == Connection::Got::Nothing) return {};
  if (got == Connection::Got::End) {
    refused_ = true;
    CHECK(parser_.end_of_stream());
    return {};
  }
  std::string_view rest = connection_.buffered();
  CHECK(parser_.feed(rest, body_));
  connection_.consume_to(rest);
  bool error = parser_.head_done() && parser_.head().status >= 400;
  if (error || parser_.complete()) refused_ = true;
  if (error) {
    if (body_.size() > max_error_reply) return refuse("the engine's answer is too large");
    return {};
  }
  if (body_.empty()) return {};
  std::string piece = std::exchange(body_, {});
  return sink_(piece);
}

Outcome<void> BodyWriter::write(std::string_view bytes) {
  if (bytes.empty()) return {};
  CHECK(push(fmt::format("{:x}\r\n", bytes.size())));
  CHECK(push(bytes));
  CHECK(push("\r\n"));
  if (refused_) return Failure::exit(1);
  return {};
}

Outcome<void> BodyWriter::finish() {
  CHECK(push("0\r\n\r\n"));
  while (!parser_.complete()) CHECK(pull(Connection::Wait::Block));
  return {};
}

Outcome<ResponseHead> Client::upload(const Request& request, const Producer& produce, const Sink& sink) {
  if (auto answer = intercepted(connector_, headers_, request))
    return *answer ? Outcome<ResponseHead>((*answer)->head) : answer->error();
  // The body cannot be sent twice, so the version must be right the first time.
  CHECK(negotiate());
  bool reused = false;
  TRY(Connection connection, idle_or_new(reused));
  CHECK(connection.send(head_of(request, Framing::Chunked)));
  BodyWriter writer(connection, sink);
  auto produced = produce(writer);
  if (!produced && !writer.refused_) return produced.error();
  CHECK(writer.finish());
  const ResponseHead& head = writer.parser_.head();
  if (head.status >= 400) return failure_of(head, writer.body_, request.path);
  return head;
}

Outcome<Upgraded> Client::upgrade(const Request& request) {
  if (auto answer = intercepted(connector_, headers_, request)) return refused(*answer, request);
  for (int round = 0;; ++round) {
    TRY(Connection connection, connector_());
    CHECK(connection.send(head_of(request, Framing::Upgrade) + request.body));
    ResponseParser parser(ResponseParser::Body::Raw);
    std::string body;
    while (!parser.head_done() || (parser.head().status >= 400 && !parser.complete())) {
      TRY(Connection::Got got, connection.receive());
      if (got == Connection::Got::End) {
        CHECK(parser.end_of_stream());
        break;
      }
      std::string_view rest = connection.buffered();
      CHECK(parser.feed(rest, body));
      connection.consume_to(rest);
    }
    note_version(parser.head());
    if (parser.head().status == 101 || parser.head().status == 200) {
      bool multiplexed = parser.head().header("content-type") == "application/vnd.docker.multiplexed-stream";
      return Upgraded{std::move(connection), multiplexed};
    }
    Failure failure = failure_of(parser.head(), body, request.path);
    if (round > 0 || !adopt_older_version(parser.head(), failure)) return failure;
  }
}

Outcome<Pending> Client::begin(Request request) {
  if (auto answer = intercepted(connector_, headers_, request)) return refused(*answer, request);
  TRY(Connection connection, connector_());
  CHECK(connection.send(head_of(request, request.body.empty() ? Framing::None : Framing::Length) +
                        request.body));
  return Pending(std::move(connection), std::move(request));
}

Outcome<void> Pending::take(Connection::Wait wait) {
  TRY(Connection::Got got, connection_.receive(wait));
  if (got == Connection::Got::Nothing) return {};
  if (got == Connection::Got::End) {
    CHECK(parser_.end_of_stream());
    return {};
  }
  std::string_view rest = connection_.buffered();
  CHECK(parser_.feed(rest, body_));
  connection_.consume_to(rest);
  if (body_.size() > max_reply) return refuse("the engine's answer is too large");
  return {};
}

Outcome<void> Pending::advance() {
  if (complete()) return {};
  return take(Connection::Wait::Poll);
}

Outcome<void> Pending::wait_for_head() {
  while (!head_done()) CHECK(take(Connection::Wait::Block));
  return {};
}

Outcome<void> Pending::wait() {
  while (!complete()) CHECK(take(Connection::Wait::Block));
  if (head().status >= 400) return failure_of(head(), body_, request_.path);
  return {};
}

}  // namespace berth::cli::client
