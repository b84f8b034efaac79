// /containers/{id}/attach/ws: a container's streams over a WebSocket, in binary frames and never multiplexed.
// The keeper knows sockets only, so a pair lies between: it holds one end, this file carries the other's
// bytes.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "api/docker/router.h"
#include "base/format.h"
#include "io/sync.h"
#include "io/task_group.h"
#include "io/websocket.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;
using io::WebSocketOpcode;

constexpr size_t piece_size = size_t{32} << 10;

/// Some bytes; none at the end.
io::Task<Result<std::string>> read_piece(io::EventLoop& loop, int fd) {
  std::string bytes(piece_size, '\0');
  while (true) {
    ssize_t count = ::recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count >= 0) {
      bytes.resize(static_cast<size_t>(count));
      co_return bytes;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return Error::from_errno("read", "websocket", errno);
    CO_CHECK(co_await loop.readable(fd));
  }
}

Outcome write_whole(io::EventLoop& loop, int fd, std::string bytes) {
  std::string_view rest = bytes;
  while (!rest.empty()) {
    ssize_t count = ::send(fd, rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
      rest.remove_prefix(static_cast<size_t>(count));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return Error::from_errno("write", "websocket", errno);
    CO_CHECK(co_await loop.writable(fd));
  }
  co_return Result<void>();
}

/// Carries bytes between a client's WebSocket and the container's end of a pair until one of them ends.
class Bridge {
 public:
  Bridge(io::EventLoop& loop, io::HijackedSocket client, sys::UniqueFd pair)
      : loop_(loop), client_(std::move(client.socket)), pair_(std::move(pair)) {
    reader_.push(client.already_read);
  }
  ~Bridge() { tasks_.destroy_all(); }

  io::Task<void> run() {
    tasks_.spawn(input());
    tasks_.spawn(output());
    co_await over_.wait();
  }

 private:
  io::Task<void> input() {
    io::Task<Result<void>> work = carry_input();
    [[maybe_unused]] auto ended = co_await std::move(work);
    over_.set();
  }
  io::Task<void> output() {
    io::Task<Result<void>> work = carry_output();
    [[maybe_unused]] auto ended = co_await std::move(work);
    over_.set();
  }

  Outcome carry_input() {
    while (true) {
      auto frame = reader_.next();
      if (!frame) {
        CO_CHECK(co_await send_frame(WebSocketOpcode::Close, "\x03\xea"));  // 1002: protocol error
        co_return std::move(frame).error();
      }
      if (!*frame) {
        CO_TRY(std::string bytes, co_await read_piece(loop_, client_.get()));
        if (bytes.empty()) co_return Result<void>();
        reader_.push(bytes);
        continue;
      }
      switch ((*frame)->opcode) {
        case WebSocketOpcode::Close:
          co_return co_await send_frame(WebSocketOpcode::Close,
                                        std::string_view((*frame)->payload).substr(0, 2));
        case WebSocketOpcode::Ping:
          CO_CHECK(co_await send_frame(WebSocketOpcode::Pong, (*frame)->payload));
          break;
        case WebSocketOpcode::Pong:
          break;
        default:
          CO_CHECK(co_await write_whole(loop_, pair_.get(), std::move((*frame)->payload)));
      }
    }
  }

  Outcome carry_output() {
    while (true) {
      CO_TRY(std::string bytes, co_await read_piece(loop_, pair_.get()));
      if (bytes.empty()) co_return co_await send_frame(WebSocketOpcode::Close, "\x03\xe8");  // 1000: the end
      CO_CHECK(co_await send_frame(WebSocketOpcode::Binary, bytes));
    }
  }

  Outcome send_frame(WebSocketOpcode opcode, std::string_view payload) {
    return send_whole(io::websocket_frame(opcode, payload));
  }
  /// Whole frames: the two directions must not mix their bytes.
  Outcome send_whole(std::string frame) {
    io::Mutex::Guard guard = co_await sending_.lock();
    co_return co_await write_whole(loop_, client_.get(), std::move(frame));
  }

  io::EventLoop& loop_;
  sys::UniqueFd client_;
  sys::UniqueFd pair_;
  io::WebSocketReader reader_;
  io::Mutex sending_;
  io::Event over_;
  io::TaskGroup tasks_;
};

/// Streams that the client wants; before API 1.42 docker gave all of them.
engine::Attach wanted_streams(Context& context) {
  engine::Attach request;
  bool all = !context.since(1, 42);
  request.stream = context.flag("stream", true);
  request.logs = context.flag("logs");
  request.input = all || context.flag("stdin");
  request.output = all || context.flag("stdout");
  request.error = all || context.flag("stderr");
  request.framing = engine::Framing::Raw;
  request.detach_keys = context.text("detachKeys");
  return request;
}

Outcome attach(Context& context) {
  engine::Attach request = wanted_streams(context);
  if (!request.detach_keys.empty()) CO_CHECK(engine::parse_detach_keys(request.detach_keys));
  CO_TRY(auto record, context.engine().containers().check_attach(context.capture()));
  auto key = context.exchange().header("Sec-WebSocket-Key");
  std::string_view version = context.exchange().header("Sec-WebSocket-Version").value_or("");
  if (!key || key->empty() || !context.exchange().wants_upgrade() || version != "13") {
    co_return Error(
        Kind::InvalidArgument,
        "attach/ws needs a WebSocket handshake: Upgrade: websocket, Sec-WebSocket-Version: 13 and "
        "Sec-WebSocket-Key");
  }
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0)
    co_return Error::from_errno("socketpair", "attach", errno);
  sys::UniqueFd ours(pair[0]);
  request.socket = sys::UniqueFd(pair[1]);
  context.exchange().set_header("Sec-WebSocket-Accept", io::websocket_accept(*key));
  std::string id = record->id;
  CO_TRY(auto client, co_await context.exchange().hijack("application/octet-stream"));
  CO_CHECK(co_await context.engine().containers().attach(std::move(id), std::move(request)));
  Bridge bridge(context.loop(), std::move(client), std::move(ours));
  co_await bridge.run();
  co_return Result<void>();
}

constexpr Route routes[] = {{"GET", "/containers/{id}/attach/ws", attach}};

}  // namespace

std::span<const Route> websocket_routes() {
  return routes;
}

}  // namespace berth::api
