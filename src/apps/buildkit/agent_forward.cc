// One listening socket per agent; each of its connections is a stream of the session, pumped by two threads.
#include "apps/buildkit/agent_forward.h"

#include <grpcpp/client_context.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <list>
#include <thread>

#include <ssh.grpc.pb.h>
#include "base/format.h"
#include "sys/fd.h"

namespace berth::buildkit {
namespace {

namespace ssh = moby::sshforward::v1;

constexpr size_t max_connections = 64;  // of one agent
constexpr size_t piece_bytes = 32 << 10;
constexpr const char* id_field = "buildkit.ssh.id";

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

/// One client of the socket.
class Connection {
 public:
  Connection(std::shared_ptr<Session> session, const std::string& id, sys::UniqueFd socket)
      : session_(std::move(session)), socket_(std::move(socket)) {
    context_.AddMetadata(id_field, id);
    thread_ = std::thread([this] { run(); });
  }
  ~Connection() {
    context_.TryCancel();
    ::shutdown(socket_.get(), SHUT_RDWR);
    thread_.join();
  }
  bool has_ended() const { return ended_; }

 private:
  void run() {
    auto stub = ssh::SSH::NewStub(session_->channel());
    auto stream = stub->ForwardAgent(&context_);
    std::thread requests([&] {
      std::string piece(piece_bytes, '\0');
      while (true) {
        const ssize_t count = ::recv(socket_.get(), piece.data(), piece.size(), 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        ssh::BytesMessage message;
        message.set_data(piece.data(), static_cast<size_t>(count));
        if (!stream->Write(message)) break;
      }
      stream->WritesDone();
    });
    ssh::BytesMessage message;
    while (stream->Read(&message) && send_all(socket_.get(), message.data())) {
    }
    ::shutdown(socket_.get(), SHUT_RDWR);
    context_.TryCancel();
    requests.join();
    stream->Finish();
    ended_ = true;
  }

  std::shared_ptr<Session> session_;
  sys::UniqueFd socket_;
  grpc::ClientContext context_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

Result<void> check_agent(const Session& session, const std::string& id) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  ssh::CheckAgentRequest request;
  request.set_id(id);
  ssh::CheckAgentResponse answer;
  auto status = ssh::SSH::NewStub(session.channel())->CheckAgent(&context, request, &answer);
  if (!status.ok()) return to_error("SSH agent " + id, status.error_code(), status.error_message());
  return {};
}

}  // namespace

class AgentForward {
 public:
  AgentForward(std::shared_ptr<Session> session, std::string id, std::string path, sys::UniqueFd listener,
               sys::UniqueFd stop)
      : session_(std::move(session)),
        id_(std::move(id)),
        path_(std::move(path)),
        listener_(std::move(listener)),
        stop_(std::move(stop)),
        thread_([this] { accept(); }) {}
  ~AgentForward() {
    ::eventfd_write(stop_.get(), 1);
    thread_.join();
    ::unlink(path_.c_str());
  }

 private:
  void accept() {
    std::list<Connection> connections;
    while (true) {
      pollfd watched[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      if (::poll(watched, 2, -1) < 0 && errno != EINTR) return;
      if (watched[1].revents != 0) return;
      sys::UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      connections.remove_if([](const Connection& connection) { return connection.has_ended(); });
      if (client && connections.size() < max_connections)
        connections.emplace_back(session_, id_, std::move(client));
    }
  }

  std::shared_ptr<Session> session_;
  std::string id_;
  std::string path_;
  sys::UniqueFd listener_;
  sys::UniqueFd stop_;
  std::thread thread_;
};

AgentForwards::AgentForwards(std::string parent) : parent_(std::move(parent)) {}

AgentForwards::~AgentForwards() {
  forwards_.clear();
  if (!directory_.empty()) ::rmdir(directory_.c_str());
}

Result<std::string> AgentForwards::add(std::shared_ptr<Session> session, const std::string& id) {
  CHECK(check_agent(*session, id));
  if (directory_.empty()) {
    std::string made = parent_ + "/ssh-XXXXXX";
    if (::mkdtemp(made.data()) == nullptr) return Error::from_errno("mkdir", made, errno);
    directory_ = std::move(made);
  }
  const std::string path = fmt::format("{}/{}", directory_, forwards_.size());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return failure(Kind::InvalidArgument, "the path {} is too long for a socket", path);
  std::memcpy(address.sun_path, path.data(), path.size());
  sys::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sys::UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  if (!listener || !stop) return Error::from_errno("make", "socket", errno);
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
    return Error::from_errno("bind", path, errno);
  if (::listen(listener.get(), static_cast<int>(max_connections)) < 0)
    return Error::from_errno("listen at", path, errno);
  forwards_.push_back(
      std::make_unique<AgentForward>(std::move(session), id, path, std::move(listener), std::move(stop)));
  return path;
}

}  // namespace berth::buildkit
