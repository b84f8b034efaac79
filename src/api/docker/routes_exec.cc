// /containers/{id}/exec and /exec.
#include <unistd.h>

#include "api/docker/router.h"
#include "base/format.h"
#include "base/json.h"
#include "io/peer_reading.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

Outcome create(Context& context) {
  CO_TRY(std::string body, co_await context.json_body());
  CO_TRY(auto config, spec::parse_exec_config(body.empty() ? "{}" : body));
  if (!context.since(1, 42)) config.console_size.reset();
  CO_TRY(std::string id,
         co_await context.engine().containers().exec_create(context.capture(), std::move(config)));
  Json answer = {{"Id", std::move(id)}};
  co_return co_await context.json(201, std::move(answer));
}

struct StartBody {
  bool detach = false;
  bool tty = false;
  bool hang_up = false;  ///< berth's own: the terminal goes with its client
  std::optional<std::array<uint16_t, 2>> console_size;
};

Result<StartBody> parse_start(std::string_view body) {
  StartBody start;
  if (body.empty()) return start;
  TRY(Json object, parse_json(body));
  if (!object.is_object()) return Error(Kind::InvalidArgument, "invalid JSON: the request must be an object");
  TRY(start.detach, json_bool(object, "Detach"));
  TRY(start.tty, json_bool(object, "Tty"));
  TRY(start.hang_up, json_bool(object, "HangUp"));
  const Json* size = json_member(object, "ConsoleSize");
  if (size != nullptr && size->is_array() && size->size() == 2) {
    std::array<uint16_t, 2> values{};
    for (size_t i = 0; i < 2; ++i) {
      bool fits = (*size)[i].is_number_unsigned() && (*size)[i].get<uint64_t>() <= UINT16_MAX;
      if (!fits)
        return Error(Kind::InvalidArgument, "invalid ConsoleSize: expected two unsigned 16-bit numbers");
      values[i] = (*size)[i].get<uint16_t>();
    }
    start.console_size = values;
  }
  return start;
}

/// What went wrong once the connection was the stream's already: docker writes it into the stream.
void write_stream_error(int socket, engine::Framing framing, const Error& error) {
  std::string text = error.message() + "\r\n";
  std::string bytes;
  if (framing == engine::Framing::Multiplexed) {
    uint32_t length = static_cast<uint32_t>(text.size());
    const char header[8] = {1,
                            0,
                            0,
                            0,
                            static_cast<char>(length >> 24),
                            static_cast<char>(length >> 16),
                            static_cast<char>(length >> 8),
                            static_cast<char>(length)};
    bytes.assign(header, sizeof header);
  }
  bytes += text;
  [[maybe_unused]] ssize_t written = ::write(socket, bytes.data(), bytes.size());
}

Outcome start(Context& context) {
  CO_TRY(std::string body, co_await context.json_body());
  CO_TRY(StartBody options, parse_start(body));
  CO_TRY(auto exec, context.engine().containers().check_exec_start(context.capture()));
  std::string id = exec->id;
  engine::Containers::ExecStart request;
  request.detach = options.detach;
  request.hang_up = options.hang_up;
  if (context.since(1, 42)) request.console_size = options.console_size;
  if (options.detach) {
    CO_CHECK(co_await context.engine().containers().exec_start(std::move(id), std::move(request)));
    co_return co_await context.empty(200);
  }
  // The framing follows from this request, not from the exec's own Tty, as docker has it.
  bool tty = options.tty;
  request.framing = tty ? engine::Framing::Raw : engine::Framing::Multiplexed;
  bool multiplexed = !tty && context.since(1, 42) && context.exchange().wants_upgrade();
  CO_TRY(auto hijacked,
         co_await context.exchange().hijack(multiplexed ? "application/vnd.docker.multiplexed-stream"
                                                        : "application/vnd.docker.raw-stream"));
  CO_TRY(sys::UniqueFd copy, hijacked.socket.duplicate());
  engine::Framing framing = request.framing;
  co_await io::until_read(context.loop(), copy.get());
  request.socket = std::move(hijacked.socket);
  request.received = std::move(hijacked.already_read);
  auto started = co_await context.engine().containers().exec_start(std::move(id), std::move(request));
  if (!started) write_stream_error(copy.get(), framing, started.error());
  co_return Result<void>();
}

Outcome inspect(Context& context) {
  CO_TRY(auto exec, context.engine().containers().find_exec(context.capture()));
  CO_TRY(auto container, context.engine().containers().find(exec->container_id));
  Json answer = exec_inspect_json(*exec, *container);
  co_return co_await context.json(200, std::move(answer));
}

Outcome resize(Context& context) {
  CO_TRY(uint16_t height, context.terminal_size("h"));
  CO_TRY(uint16_t width, context.terminal_size("w"));
  CO_CHECK(co_await context.engine().containers().exec_resize(context.capture(), height, width));
  co_return co_await context.empty(200);
}

constexpr Route routes[] = {
    {"POST", "/containers/{id}/exec", create},
    {"POST", "/exec/{id}/start", start},
    {"POST", "/exec/{id}/resize", resize},
    {"GET", "/exec/{id}/json", inspect},
};

}  // namespace

std::span<const Route> exec_routes() {
  return routes;
}

}  // namespace berth::api
