// From a connection to answers.
#include "apps/berth/ui/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <atomic>
#include <charconv>
#include <system_error>
#include <thread>

#include "apps/berth/ui/assets.h"
#include "apps/berth/ui/browser_connection.h"
#include "apps/berth/ui/routes.h"
#include "apps/berth/ui/socket_bridge.h"
#include "base/json.h"

namespace berth::cli::ui {
namespace {

using After = BrowserConnection::After;

constexpr size_t max_body = 64 * 1024;
/// Browsers open six, and a WebSocket for each stream on show.
constexpr int max_connections = 256;
constexpr std::string_view json_type = "application/json";
std::atomic<int> connections{0};

/// One browser's connection from its first request to its last.
class Visit {
 public:
  Visit(const Site& site, sys::UniqueFd socket)
      : site_(site), page_(std::move(socket)), engine_([&site] { return connect(site); }, site.headers) {}

  /// Failures end the connection; whom should they be told to?
  void run() {
    while (true) {
      auto head = page_.read_head();
      if (!head || !*head) return;
      auto going_on = answer(**head);
      if (!going_on || !*going_on) return;
    }
  }

 private:
  /// Unlike other commands this one does not start an engine again that somebody has stopped.
  static Outcome<client::Connection> connect(const Site& site) {
    auto fd = client::connect(site.engine);
    if (fd) return client::Connection(std::move(*fd));
    return refuse("the engine at {} does not answer ({})", site.engine.str(), fd.error().message());
  }

  /// False when this was the connection's last request.
  Outcome<bool> answer(const io::HttpRequestHead& head) {
    if (auto refusal = Gate::refuse_foreign(head)) return refuse_request(*refusal, After::Close);
    constexpr std::string_view api = "/api", streams = "/stream";
    if (head.path.starts_with("/stream/"))
      return stream(head, std::string_view(head.path).substr(streams.size()));
    auto body = page_.read_body(head, max_body);
    if (!body) return refuse_request({413, body.error().message()}, After::Close);
    if (head.path == "/session") return begin_session(head, *body);
    if (head.path.starts_with("/api/"))
      return pass_on(head, std::string_view(head.path).substr(api.size()), *body);
    return serve_file(head);
  }

  Outcome<bool> refuse_request(const Refusal& refusal, After after) {
    std::string body = to_json({{"message", refusal.message}});
    CHECK(page_.respond(refusal.status, json_type, body, {}, after));
    return after == After::KeepAlive;
  }

  Outcome<bool> respond(const io::HttpRequestHead& head, int status, std::string_view type,
                        std::string_view body, const BrowserConnection::Fields& fields = {}) {
    After after = head.keep_alive ? After::KeepAlive : After::Close;
    CHECK(page_.respond(status, type, body, fields, after));
    return head.keep_alive;
  }

  Outcome<bool> serve_file(const io::HttpRequestHead& head) {
    const Asset* asset = find_asset(head.path);
    if (asset == nullptr) return respond(head, 404, "text/plain", "there is no such page\n");
    if (head.method != "GET") return respond(head, 405, "text/plain", "GET alone\n", {{"Allow", "GET"}});
    return respond(head, 200, asset->type, asset->bytes, {{"Content-Encoding", "gzip"}});
  }

  /// The token, once, for a cookie and the page's key.
  Outcome<bool> begin_session(const io::HttpRequestHead& head, const std::string& body) {
    if (head.method != "POST") return respond(head, 405, "text/plain", "POST alone\n", {{"Allow", "POST"}});
    auto document = parse_json(body);
    auto token = document ? json_string(*document, "token") : Result<std::string>(document.error());
    if (!token || !site_.gate.admits(*token)) {
      return refuse_request({401, "that is not the token that \"berth ui\" printed"}, After::KeepAlive);
    }
    std::string answer = to_json({{"key", site_.gate.key()}});
    return respond(head, 200, json_type, answer, {{"Set-Cookie", site_.gate.cookie()}});
  }

  client::Request request_for(const io::HttpRequestHead& head, std::string path) {
    client::Request request{.method = head.method, .path = std::move(path)};
    for (const auto& [name, value] : head.query.parameters()) request.query.add(name, value);
    return request;
  }

  Outcome<bool> pass_on(const io::HttpRequestHead& head, std::string_view path, std::string body) {
    if (auto refusal = site_.gate.refuse_stranger(head)) return refuse_request(*refusal, After::KeepAlive);
    auto route = find_engine_route(head.method, path, false);
    if (!route) return refuse_request({403, "the page has no use for this request"}, After::KeepAlive);
    client::Request request = request_for(head, std::move(route->path));
    request.body = std::move(body);
    auto reply = engine_.call(request);
    if (!reply) {
      int status = reply.error().http_status == 0 ? 502 : reply.error().http_status;
      return refuse_request({status, reply.error().message}, After::KeepAlive);
    }
    // 304: it was so already. Browsers would take that for a word about their cache.
    int status = reply->head.status == 304 ? 204 : reply->head.status;
    bool is_json = reply->head.header("content-type").starts_with(json_type);
    return respond(head, status, is_json ? json_type : "text/plain; charset=utf-8", reply->body);
  }

  /// Of "?h=ROWS&w=COLUMNS"; what is no size is left as it is.
  static TerminalSize terminal_size(const io::HttpRequestHead& head) {
    TerminalSize size;
    for (auto [name, value] : {std::pair{"h", &size.rows}, {"w", &size.columns}}) {
      std::string_view text = head.query.get_or(name, "");
      uint16_t number = 0;
      auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error == std::errc{} && end == text.data() + text.size() && number > 0) *value = number;
    }
    return size;
  }

  Outcome<bool> stream(const io::HttpRequestHead& head, std::string_view path) {
    // Browsers always name the origin of a WebSocket.
    if (!head.headers.get("Origin"))
      return refuse_request({403, "a WebSocket needs an Origin"}, After::Close);
    if (auto refusal = site_.gate.refuse_stranger(head)) return refuse_request(*refusal, After::Close);
    if (!asks_for_websocket(head))
      return refuse_request({400, "this address speaks WebSocket alone"}, After::Close);
    auto route = find_engine_route(head.method, path, true);
    if (!route) return refuse_request({403, "the page has no use for this request"}, After::Close);
    CHECK(accept_websocket(page_, head));
    // A failure shows with the first request as well.
    [[maybe_unused]] auto settled = engine_.negotiate();
    if (route->carriage == Carriage::Terminal) {
      CHECK(bridge_terminal(page_, engine_, std::move(route->path), terminal_size(head)));
    } else {
      CHECK(bridge_stream(page_, engine_, request_for(head, std::move(route->path))));
    }
    return false;
  }

  const Site& site_;
  BrowserConnection page_;
  client::Client engine_;
};

}  // namespace

Result<sys::UniqueFd> listen_on_loopback(uint16_t port) {
  sys::UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) return Error::from_errno("make a socket for", "the page", errno);
  int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  bool listens = ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                 ::listen(listener.get(), 64) == 0;
  if (!listens && errno == EADDRINUSE) {
    return failure(Kind::AlreadyExists, "port {} of 127.0.0.1 is taken: choose another with --port, or none",
                   port);
  }
  if (!listens) return Error::from_errno("listen on", fmt::format("127.0.0.1:{}", port), errno);
  return listener;
}

Result<uint16_t> port_of(const sys::UniqueFd& listener) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return Error::from_errno("ask for the port of", "the page", errno);
  return ntohs(address.sin_port);
}

void accept_one(const sys::UniqueFd& listener, const Site& site) {
  sys::UniqueFd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) return;
  if (connections.load() >= max_connections) return;  // closed at once: somebody opens them for sport
  int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ++connections;
  try {
    std::thread([&site, socket = std::move(socket)]() mutable {
      Visit visit(site, std::move(socket));
      visit.run();
      --connections;
    }).detach();
  } catch (const std::system_error&) {  // no more threads
    --connections;
  }
}

}  // namespace berth::cli::ui
