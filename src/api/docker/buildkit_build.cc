// Builds through the gate: parameters as the introduction, and a socket that carries the request's body one
// way and, the other way, a line {"status": 200} or {"status": 400, "message": "..."} before the answer's
// body.
#include "api/docker/buildkit_build.h"

#include <sys/socket.h>

#include <array>

#include "api/docker/buildkit_gate.h"
#include "base/format.h"
#include "base/json.h"
#include "io/cancel.h"
#include "io/task_group.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

constexpr size_t max_status_line = size_t{64} << 10;

struct SocketEnds {
  sys::UniqueFd ours;  ///< does not block
  sys::UniqueFd theirs;
};

Result<SocketEnds> make_ends() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    return Error::from_errno("socketpair", "build", errno);
  return SocketEnds{sys::UniqueFd(ends[0]), sys::UniqueFd(ends[1])};
}

io::Task<Result<size_t>> receive(io::EventLoop& loop, int socket, std::span<char> buffer) {
  while (true) {
    ssize_t count = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (count >= 0) co_return static_cast<size_t>(count);
    if (errno != EAGAIN && errno != EINTR) co_return Error::from_errno("recv", "build", errno);
    CO_CHECK(co_await loop.readable(socket));
  }
}

Outcome send_all(io::EventLoop& loop, int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t count = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count >= 0) {
      bytes.remove_prefix(static_cast<size_t>(count));
      continue;
    }
    if (errno != EAGAIN && errno != EINTR) co_return Error::from_errno("send", "build", errno);
    CO_CHECK(co_await loop.writable(socket));
  }
  co_return Result<void>();
}

/// The body's end is the end of what is sent; a body that breaks off closes both ways, and so ends the build.
io::Task<void> send_body(Context& context, int socket) {
  std::array<char, 65536> buffer;
  while (true) {
    auto count = co_await context.exchange().read_some(buffer);
    if (!count) {
      ::shutdown(socket, SHUT_RDWR);
      co_return;
    }
    if (*count == 0) break;
    auto sent = co_await send_all(context.loop(), socket, std::string_view(buffer.data(), *count));
    if (!sent) co_return;  // a build that has ended wants no more
  }
  ::shutdown(socket, SHUT_WR);
}

Outcome answer(Context& context, int socket) {
  std::array<char, 65536> buffer;
  std::string line;
  size_t end = line.npos;
  while (end == line.npos) {
    CO_TRY(size_t count, co_await receive(context.loop(), socket, buffer));
    if (count == 0) co_return Error(Kind::Unavailable, "berth-buildkit ended before it answered");
    line.append(buffer.data(), count);
    end = line.find('\n');
    if (line.size() > max_status_line && end == line.npos)
      co_return Error(Kind::Internal, "berth-buildkit answered without a status");
  }
  CO_TRY(Json head, parse_json(std::string_view(line).substr(0, end)));
  CO_TRY(int64_t status, json_int(head, "status"));
  CO_TRY(std::string message, json_string(head, "message"));
  if (!message.empty()) {
    Json body = {{"message", message}};
    co_return co_await context.json(static_cast<int>(status), std::move(body));
  }
  CO_CHECK(co_await context.exchange().begin(200, "application/json"));
  std::string_view rest = std::string_view(line).substr(end + 1);
  if (!rest.empty()) CO_CHECK(co_await context.exchange().write(rest));
  while (true) {
    CO_TRY(size_t count, co_await receive(context.loop(), socket, buffer));
    if (count == 0) co_return co_await context.exchange().finish();
    CO_CHECK(co_await context.exchange().write(std::string_view(buffer.data(), count)));
  }
}

Result<BuildkitGate*> ready_gate(Context& context) {
  BuildkitGate* gate = context.buildkit();
  if (gate == nullptr) {
    return Error(
        Kind::Unsupported,
        "this engine was installed without berth-buildkit: set DOCKER_BUILDKIT=0, or use \"berth build\"");
  }
  CHECK(gate->prepare());
  return gate;
}

Result<sys::UniqueFd> hand_over(BuildkitGate& gate, const Json& introduction) {
  TRY(auto ends, make_ends());
  CHECK(gate.hand_over(to_json(introduction), {.socket = std::move(ends.theirs), .already_read = {}}));
  return std::move(ends.ours);
}

}  // namespace

Outcome build_by_buildkit(Context& context) {
  CO_TRY(BuildkitGate * gate, ready_gate(context));
  Json query = Json::object();
  for (const auto& [name, value] : context.exchange().query().parameters()) query[name].push_back(value);
  Json introduction = {{"kind", "build"}, {"query", std::move(query)}};
  if (auto registries = context.exchange().header("X-Registry-Config"))
    introduction["registries"] = std::string(*registries);
  CO_TRY(sys::UniqueFd socket, hand_over(*gate, introduction));
  io::TaskGroup tasks;
  tasks.spawn(send_body(context, socket.get()));
  io::CancelToken gone = context.exchange().client_gone();
  Outcome answering = answer(context, socket.get());
  auto outcome = co_await io::unless_cancelled(std::move(answering), std::move(gone));
  ::shutdown(socket.get(), SHUT_RDWR);
  co_return outcome;
}

Outcome cancel_by_buildkit(Context& context, std::string id) {
  CO_TRY(BuildkitGate * gate, ready_gate(context));
  Json introduction = {{"kind", "cancel"}, {"id", std::move(id)}};
  CO_TRY(sys::UniqueFd socket, hand_over(*gate, introduction));
  Outcome answering = answer(context, socket.get());
  co_return co_await std::move(answering);
}

}  // namespace berth::api
