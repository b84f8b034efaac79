// Starting and entering.
#include "apps/berthd/rootless/enter.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "apps/berthd/host_setup.h"
#include "apps/berthd/rootless/host_process.h"
#include "apps/berthd/rootless/id_maps.h"
#include "apps/berthd/rootless/messages.h"
#include "apps/berthd/rootless/own_scope.h"
#include "base/format.h"
#include "sys/packet_socket.h"
#include "sys/process.h"

extern char** environ;

namespace berth::berthd::rootless {
namespace {

constexpr int kPatience = 30'000;  // milliseconds: two uplinks may be tried

struct Reply {
  int error = 0;
  std::string text;
  std::vector<sys::UniqueFd> fds;
};

Result<Reply> ask(int socket, const Request& request) {
  CHECK(sys::send_packet(socket, bytes_of(request)));
  CHECK(sys::await_packet(socket, kPatience));
  TRY(auto packet, sys::receive_packet(socket, kMaxPacket));
  Answer answer;
  if (!packet || packet->bytes.size() < sizeof answer)
    return Error(Kind::Unavailable, "the namespace host has gone");
  std::memcpy(&answer, packet->bytes.data(), sizeof answer);
  return Reply{
      .error = answer.error, .text = packet->bytes.substr(sizeof answer), .fds = std::move(packet->fds)};
}

Result<std::string> next_word(int socket) {
  CHECK(sys::await_packet(socket, kPatience));
  TRY(auto packet, sys::receive_packet(socket, kMaxPacket));
  if (!packet || packet->bytes.empty()) return Error(Kind::Unavailable, "the namespace host has ended");
  return std::move(packet->bytes);
}

/// Starts the host, gives it its id maps, and waits until it serves. Returns what it lacks.
Result<std::string> start_host(const std::string& exec_root, const std::string& uplink) {
  TRY(auto pair, sys::make_packet_pair());
  TRY(auto program, sys::open_file("/proc/self/exe", O_RDONLY));
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    // It is the daemon that announces itself.
    std::string_view text = *variable;
    if (!text.starts_with("BERTHD_READY_FD=") && !text.starts_with("NOTIFY_SOCKET=") &&
        !text.starts_with("LISTEN_"))
      environment.emplace_back(text);
  }
  TRY(pid_t starter, sys::spawn_process({.program = program.get(),
                                         .arguments = {"berthd-rootless", kHostVerb, exec_root, uplink},
                                         .environment = std::move(environment),
                                         .fds = {{pair.second.get(), kStarterFd}}}));
  pair.second.reset();
  std::string warning;
  while (true) {
    auto word = next_word(pair.first.get());
    sys::reap_process(starter);
    if (!word) return std::move(word).error();
    std::string rest = word->substr(1);
    if (word->front() == kSaysReady) return warning;
    if (word->front() == kSaysFailed) return Error(Kind::Unsupported, rest);
    pid_t pid = 0;
    std::from_chars(rest.data(), rest.data() + rest.size(), pid);
    TRY(warning, write_id_maps(pid));
    CHECK(sys::send_packet(pair.first.get(), "mapped"));
  }
}

/// The host's own socket lies where nobody but the user can have put it; still, ask the kernel.
Result<void> check_peer(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return Error::from_errno("identify", "the namespace host", errno);
  if (peer.uid != ::geteuid())
    return failure(Kind::Forbidden, "the namespace host belongs to user {}", peer.uid);
  return {};
}

Result<void> join(const Reply& reply) {
  constexpr size_t kNamespaces = 3;
  if (reply.fds.size() != kNamespaces)
    return Error(Kind::Corrupt, "the namespace host speaks another version");
  for (auto [index, type, name] : {std::tuple{0, CLONE_NEWUSER, "user"}, std::tuple{1, CLONE_NEWNS, "mount"},
                                   std::tuple{2, CLONE_NEWNET, "network"}}) {
    if (::setns(reply.fds[static_cast<size_t>(index)].get(), type) != 0)
      return Error::from_errno("enter namespace", name, errno);
  }
  if (::setresgid(0, 0, 0) != 0) return Error::from_errno("become", "group 0 of the user namespace", errno);
  if (::setresuid(0, 0, 0) != 0) return Error::from_errno("become", "root of the user namespace", errno);
  ::setgroups(0, nullptr);
  return {};
}

}  // namespace

network::BoundPort NamespaceHost::bind(network::Protocol protocol, const sys::IpAddress& host_ip,
                                       uint16_t port) {
  auto reply = ask(socket_.get(), request_for(Ask::Hold, protocol, host_ip, port));
  if (!reply) return {.errno_value = EIO};
  if (reply->error != 0 || reply->fds.empty())
    return {.errno_value = reply->error != 0 ? reply->error : EPROTO};
  return {.socket = std::move(reply->fds.front())};
}

void NamespaceHost::release(const network::PublishedPort& port) {
  (void)ask(socket_.get(), request_for(Ask::Release, port.protocol, port.host_ip, port.host_port));
}

void NamespaceHost::settle() {
  (void)ask(socket_.get(), Request{.ask = Ask::Settle});
}

void NamespaceHost::end() {
  (void)ask(socket_.get(), Request{.ask = Ask::End});
}

Result<Entered> enter_namespaces(const std::string& exec_root, const std::string& uplink) {
  std::string directory = exec_root + "/rootless";
  CHECK(make_directory(exec_root, 0700));
  CHECK(make_directory(directory, 0700));
  std::string lock_path = directory + "/start.lock";
  TRY(auto lock, sys::open_file(lock_path.c_str(), O_RDWR | O_CREAT, 0600));
  if (::flock(lock.get(), LOCK_EX) != 0) return Error::from_errno("lock", lock_path, errno);
  Entered entered;
  // Before the namespace host starts, which stays where it is born.
  if (std::string missing = move_to_own_scope(exec_root); !missing.empty())
    entered.warnings.push_back(missing);
  auto socket = sys::connect_packet_socket(exec_root + kHostSocket);
  if (!socket) {
    if (socket.error().kind() != Kind::NotFound && socket.error().kind() != Kind::Unavailable)
      return std::move(socket).error();
    TRY(std::string warning, start_host(exec_root, uplink));
    if (!warning.empty()) entered.warnings.push_back(std::move(warning));
    socket = sys::connect_packet_socket(exec_root + kHostSocket);
    if (!socket) return std::move(socket).error();
  }
  CHECK(check_peer(socket->get()));
  TRY(Reply reply, ask(socket->get(), Request{.ask = Ask::Enter}));
  CHECK(join(reply));
  if (!reply.text.empty()) entered.warnings.push_back(std::move(reply.text));
  entered.host = std::make_unique<NamespaceHost>(*std::move(socket));
  return entered;
}

}  // namespace berth::berthd::rootless
