// berth-buildkit: speaks gRPC with BuildKit's clients for berthd, which starts it and hands it their
// connections:
//   berth-buildkit ENGINE-SOCKET HISTORY   descriptor 3 is a packet socket to berthd; HISTORY is a directory
#include <curl/curl.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "apps/buildkit/docker_builds.h"
#include "apps/buildkit/relay.h"
#include "apps/buildkit/services.h"
#include "base/format.h"
#include "base/json.h"
#include "sys/packet_socket.h"

namespace {

using namespace berth;
using namespace berth::buildkit;

constexpr int control_fd = 3;
constexpr size_t max_packet = size_t{512} << 10;
constexpr int idle_milliseconds = 60'000;
constexpr int max_message = 32 << 20;
constexpr int max_calls = 1000;  ///< at once, of one connection

class Bridge {
 public:
  Bridge(const std::string& engine_socket, const std::string& history)
      : engine_(engine_socket),
        builds_(engine_, sessions_),
        history_(history),
        services_{engine_, sessions_, builds_, history_},
        docker_builds_(services_) {}

  Result<void> run() {
    auto control = make_control_service(services_);
    auto gateway = make_gateway_service(services_);
    auto content = make_content_service(services_);
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(max_message);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, max_calls);
    builder.RegisterService(control.get());
    builder.RegisterService(gateway.get());
    builder.RegisterService(content.get());
    server_ = builder.BuildAndStart();
    if (!server_) return Error(Kind::Internal, "gRPC does not start");
    while (true) {
      if (auto awaited = sys::await_packet(control_fd, idle_milliseconds); !awaited) {
        if (awaited.error().kind() != Kind::DeadlineExceeded) return awaited;
        if (connections_ == 0) CHECK(sys::send_packet(control_fd, fmt::format("idle {}", received_)));
        continue;
      }
      TRY(auto packet, sys::receive_packet(control_fd, max_packet));
      if (!packet) continue;
      if (packet->bytes.empty() && packet->fds.empty()) return {};
      ++received_;
      // A client whose introduction cannot be read loses its connection, and nobody else does.
      if (auto taken = take(std::move(*packet)); !taken)
        fmt::print(stderr, "berth-buildkit: {}\n", taken.error().message());
    }
  }

 private:
  Result<void> take(sys::Packet packet) {
    size_t end = packet.bytes.find('\n');
    if (end == packet.bytes.npos || packet.fds.size() != 1)
      return Error(Kind::InvalidArgument, "a connection came without its introduction");
    TRY(Json introduction, parse_json(packet.bytes.substr(0, end)));
    TRY(std::string kind, json_string(introduction, "kind"));
    std::string already_read = packet.bytes.substr(end + 1);
    ++connections_;
    auto ended = [this] { --connections_; };
    if (kind == "build") {
      docker_builds_.serve(std::move(introduction), std::move(packet.fds[0]), ended);
      return {};
    }
    if (kind == "cancel") {
      --connections_;
      TRY(std::string id, json_string(introduction, "id"));
      docker_builds_.cancel(id, std::move(packet.fds[0]));
      return {};
    }
    if (kind == "session")
      return add_session(introduction, std::move(packet.fds[0]), std::move(already_read));
    auto socket =
        start_relay(std::move(packet.fds[0]), std::move(already_read), Http2Guard::Sender::Client, ended);
    if (!socket) {
      --connections_;
      return std::move(socket).error();
    }
    grpc::AddInsecureChannelFromFd(server_.get(), socket->release());
    return {};
  }

  Result<void> add_session(const Json& json, sys::UniqueFd client, std::string already_read) {
    Session::Introduction introduction;
    TRY(introduction.id, json_string(json, "id"));
    TRY(introduction.name, json_string(json, "name"));
    TRY(auto methods, json_strings(json, "methods"));
    introduction.methods = {methods.begin(), methods.end()};
    // The client may be gone before the session stands.
    struct Held {
      std::mutex mutex;
      std::shared_ptr<Session> session;
      bool ended = false;
    };
    auto held = std::make_shared<Held>();
    auto ended = [this, held] {
      std::lock_guard lock(held->mutex);
      held->ended = true;
      if (held->session) sessions_.remove(held->session->id(), held->session.get());
      held->session.reset();
      --connections_;
    };
    auto socket = start_relay(std::move(client), std::move(already_read), Http2Guard::Sender::Server, ended);
    if (!socket) {
      --connections_;
      return std::move(socket).error();
    }
    auto session = std::make_shared<Session>(std::move(introduction), std::move(*socket));
    std::lock_guard lock(held->mutex);
    if (held->ended) return {};
    held->session = session;
    sessions_.add(std::move(session));
    return {};
  }

  EngineClient engine_;
  SessionTable sessions_;
  BuildTable builds_;
  History history_;
  Services services_;
  DockerBuilds docker_builds_;
  std::unique_ptr<grpc::Server> server_;
  std::atomic<int> connections_ = 0;
  uint64_t received_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "berth-buildkit is started by berthd: it has no use of its own\n");
    return 2;
  }
  ::prctl(PR_SET_NAME, "berth-buildkit");  // it was started by a descriptor, which would be its name
  ::signal(SIGPIPE, SIG_IGN);
  // A Ctrl-C in berthd's terminal ends berthd, and its end ends this.
  ::signal(SIGINT, SIG_IGN);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  auto done = Bridge(argv[1], argv[2]).run();
  if (!done) fmt::print(stderr, "berth-buildkit: {}\n", done.error().message());
  // Connections and threads end with the process.
  std::fflush(nullptr);
  ::_exit(done ? 0 : 1);
}
