// The loop between the two sockets.
#include "apps/berth/ui/socket_bridge.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <functional>

#include "base/json.h"
#include "io/websocket.h"

namespace berth::cli::ui {
namespace {

using io::WebSocketOpcode;

/// Input that a program does not take: what comes beyond waits in the browser.
constexpr size_t max_waiting_input = size_t{1} << 20;
constexpr size_t max_frame = size_t{256} << 10;

Result<void> send_text(BrowserConnection& page, const Json& message) {
  return page.send(io::websocket_frame(WebSocketOpcode::Text, to_json(message)));
}

/// The status codes of RFC 6455, section 7.4.1.
constexpr std::string_view normal_end = "\x03\xe8", protocol_error = "\x03\xea";

Outcome<void> send_close(BrowserConnection& page, std::string_view code) {
  CHECK(page.send(io::websocket_frame(WebSocketOpcode::Close, code)));
  return {};
}

/// Tells the page why there is no stream, and closes.
Outcome<void> tell_failure(BrowserConnection& page, const Failure& failure) {
  int status = failure.http_status == 0 ? 502 : failure.http_status;
  CHECK(send_text(page, {{"status", status}, {"message", failure.message}}));
  return send_close(page, normal_end);
}

/// The engine's end of the bridge.
struct EngineStream {
  int fd = -1;
  bool takes_input = false;
  /// Appends what has arrived; false at the end.
  std::function<Outcome<bool>(std::string& bytes)> take;
};

class Bridge {
 public:
  Bridge(BrowserConnection& page, EngineStream engine) : page_(page), engine_(std::move(engine)) {
    frames_.push(page.take_rest());
  }

  Outcome<void> carry() {
    CHECK(take_output());  // what came along with the engine's head
    CHECK(read_frames());
    while (!over_) {
      bool page_may_send = input_.size() < max_waiting_input;
      short engine_events = static_cast<short>(POLLIN | (input_.empty() ? 0 : POLLOUT));
      std::array<pollfd, 2> wait{pollfd{page_.fd(), static_cast<short>(page_may_send ? POLLIN : 0), 0},
                                 pollfd{engine_.fd, engine_events, 0}};
      if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR)
        return Error::from_errno("poll", "a stream of the page", errno);
      if ((wait[1].revents & POLLOUT) != 0) CHECK(write_input());
      if ((wait[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) CHECK(take_output());
      if (!over_ && (wait[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) CHECK(take_page());
    }
    return {};
  }

 private:
  Outcome<void> take_page() {
    std::array<char, 16 * 1024> piece;
    ssize_t got = ::recv(page_.fd(), piece.data(), piece.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (got <= 0) return page_has_gone();
    frames_.push({piece.data(), static_cast<size_t>(got)});
    return read_frames();
  }

  Outcome<void> read_frames() {
    while (!over_) {
      auto frame = frames_.next();
      if (!frame) {
        over_ = true;
        return send_close(page_, protocol_error);
      }
      if (!*frame) return {};
      switch ((*frame)->opcode) {
        case WebSocketOpcode::Close:
          CHECK(send_close(page_, normal_end));
          return page_has_gone();
        case WebSocketOpcode::Ping:
          CHECK(page_.send(io::websocket_frame(WebSocketOpcode::Pong, (*frame)->payload)));
          break;
        case WebSocketOpcode::Pong:
          break;
        default:
          if (engine_.takes_input) input_ += (*frame)->payload;
      }
    }
    return {};
  }

  Outcome<void> write_input() {
    ssize_t sent = ::send(engine_.fd, input_.data(), input_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      input_.erase(0, static_cast<size_t>(sent));
    } else if (errno == EPIPE || errno == ECONNRESET) {
      input_.clear();  // the program has ended; its last words may still come
      engine_.takes_input = false;
    } else if (errno != EAGAIN && errno != EINTR) {
      return Error::from_errno("send to", "the engine", errno);
    }
    return {};
  }

  Outcome<void> take_output() {
    std::string bytes;
    auto going_on = engine_.take(bytes);
    for (std::string_view rest = bytes; !rest.empty(); rest.remove_prefix(std::min(rest.size(), max_frame)))
      CHECK(page_.send(io::websocket_frame(WebSocketOpcode::Binary, rest.substr(0, max_frame))));
    if (going_on && *going_on) return {};
    over_ = true;
    if (!going_on) return tell_failure(page_, going_on.error());
    return send_close(page_, normal_end);
  }

  Outcome<void> page_has_gone() {
    over_ = true;
    return {};
  }

  BrowserConnection& page_;
  EngineStream engine_;
  io::WebSocketReader frames_;
  std::string input_;
  bool over_ = false;
};

}  // namespace

bool asks_for_websocket(const io::HttpRequestHead& head) {
  return head.method == "GET" && head.headers.has_token("Connection", "upgrade") &&
         head.headers.has_token("Upgrade", "websocket") &&
         head.headers.get("Sec-WebSocket-Version") == "13" &&
         !head.headers.get("Sec-WebSocket-Key").value_or("").empty();
}

Result<void> accept_websocket(BrowserConnection& page, const io::HttpRequestHead& head) {
  std::string_view key = head.headers.get("Sec-WebSocket-Key").value_or("");
  return page.switch_protocols({{"Connection", "Upgrade"},
                                {"Upgrade", "websocket"},
                                {"Sec-WebSocket-Accept", io::websocket_accept(key)},
                                {"Sec-WebSocket-Protocol", "berth"}});
}

Outcome<void> bridge_stream(BrowserConnection& page, client::Client& engine, const client::Request& request) {
  auto pending = engine.begin(request);
  if (!pending) return tell_failure(page, pending.error());
  // Also while the engine is silent the page may leave, so nothing here waits for the engine alone.
  bool announced = false;
  EngineStream stream{.fd = pending->fd()};
  stream.take = [&](std::string& bytes) -> Outcome<bool> {
    CHECK(pending->advance());
    if (!pending->head_done()) return true;
    if (pending->head().status >= 400) {
      CHECK(pending->wait());
      return false;
    }
    if (!announced) {
      announced = true;
      CHECK(send_text(page, {{"status", pending->head().status},
                             {"type", std::string(pending->head().header("content-type"))}}));
    }
    bytes.swap(pending->body());
    return !pending->complete();
  };
  Bridge bridge(page, std::move(stream));
  return bridge.carry();
}

Outcome<void> bridge_terminal(BrowserConnection& page, client::Client& engine, std::string path,
                              TerminalSize size) {
  Json body = {
      {"Detach", false}, {"Tty", true}, {"HangUp", true}, {"ConsoleSize", {size.rows, size.columns}}};
  client::Request request{.method = "POST", .path = std::move(path), .body = to_json(body)};
  auto upgraded = engine.upgrade(request);
  if (!upgraded) return tell_failure(page, upgraded.error());
  CHECK(send_text(page, {{"status", 101}, {"type", "application/octet-stream"}}));
  client::Connection& connection = upgraded->connection;
  EngineStream stream{.fd = connection.fd(), .takes_input = true};
  stream.take = [&](std::string& bytes) -> Outcome<bool> {
    TRY(auto got, connection.receive(client::Connection::Wait::Poll));
    std::string_view arrived = connection.buffered();
    bytes = arrived;
    connection.consume_to(arrived.substr(arrived.size()));
    return got != client::Connection::Got::End;
  };
  Bridge bridge(page, std::move(stream));
  return bridge.carry();
}

}  // namespace berth::cli::ui
