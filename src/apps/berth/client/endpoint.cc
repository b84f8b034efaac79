// Connecting to unix sockets, tcp ports and through ssh.
#include "apps/berth/client/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "apps/berth/client/resolver.h"
#include "apps/berth/client/tls.h"
#include "base/format.h"
#include "sys/user_directories.h"

extern char** environ;

namespace berth::cli::client {
namespace {

struct HostPort {
  std::string host;
  uint16_t port = 0;
};

Error bad_host(std::string_view text, std::string_view why) {
  return failure(Kind::InvalidArgument, "unable to parse docker host `{}`: {}", text, why);
}

/// "host", "host:port", "[v6]:port"; a path after the port is not supported.
Result<HostPort> split_host_port(std::string_view whole, std::string_view text, uint16_t fallback) {
  HostPort result{std::string(), fallback};
  std::string_view port;
  while (!text.empty() && text.back() == '/') text.remove_suffix(1);
  if (text.starts_with('[')) {
    size_t close = text.find(']');
    if (close == std::string_view::npos) return bad_host(whole, "missing ']'");
    result.host = text.substr(1, close - 1);
    text.remove_prefix(close + 1);
    if (!text.empty() && text[0] != ':') return bad_host(whole, "unexpected text after ']'");
    if (!text.empty()) port = text.substr(1);
  } else {
    size_t colon = text.find(':');
    result.host = text.substr(0, colon);
    if (colon != std::string_view::npos) port = text.substr(colon + 1);
  }
  if (!port.empty()) {
    auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), result.port);
    if (error != std::errc() || end != port.data() + port.size() || result.port == 0) {
      return bad_host(whole, "the port must be a number from 1 to 65535");
    }
  }
  if (result.host.find('/') != std::string::npos) return bad_host(whole, "a path is not supported here");
  return result;
}

Result<sys::UniqueFd> connect_unix(const Endpoint& endpoint) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (endpoint.address.size() >= sizeof address.sun_path) {
    return failure(Kind::InvalidArgument, "socket path \"{}\" is longer than {} bytes", endpoint.address,
                   sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, endpoint.address.data(), endpoint.address.size());
  sys::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return Error::from_errno("socket", "AF_UNIX", errno);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return Error::from_errno("connect", endpoint.str(), errno);
  }
  return fd;
}

Result<sys::UniqueFd> connect_tcp(const Endpoint& endpoint) {
  TRY(auto addresses, resolve(endpoint.address));
  int last_error = EHOSTUNREACH;
  for (const Address& address : addresses) {
    sys::UniqueFd fd(::socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) continue;
    sockaddr_in6 six{};
    sockaddr_in four{};
    const sockaddr* where = nullptr;
    socklen_t size = 0;
    if (address.family == AF_INET6) {
      six.sin6_family = AF_INET6;
      six.sin6_port = htons(endpoint.port);
      std::memcpy(&six.sin6_addr, address.bytes.data(), 16);
      where = reinterpret_cast<const sockaddr*>(&six);
      size = sizeof six;
    } else {
      four.sin_family = AF_INET;
      four.sin_port = htons(endpoint.port);
      std::memcpy(&four.sin_addr, address.bytes.data(), 4);
      where = reinterpret_cast<const sockaddr*>(&four);
      size = sizeof four;
    }
    if (::connect(fd.get(), where, size) == 0) {
      int on = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      return fd;
    }
    last_error = errno;
  }
  return Error::from_errno("connect", endpoint.str(), last_error);
}

/// Runs `ssh ... berth system dial-stdio` with both its ends on a socket pair.
Result<sys::UniqueFd> connect_ssh(const Endpoint& endpoint) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return Error::from_errno("socketpair", "ssh", errno);
  }
  sys::UniqueFd ours(pair[0]);
  sys::UniqueFd theirs(pair[1]);
  std::vector<std::string> words{"ssh", "-o", "ConnectTimeout=30", "-T"};
  if (!endpoint.user.empty()) words.insert(words.end(), {"-l", endpoint.user});
  if (endpoint.port != 0) words.insert(words.end(), {"-p", std::to_string(endpoint.port)});
  words.insert(words.end(), {"--", endpoint.address, "berth", "system", "dial-stdio"});
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), 0);
  ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), 1);
  // A session blocks signals; ssh must not inherit that.
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t child = 0;
  int error = ::posix_spawnp(&child, "ssh", &actions, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Error::from_errno("start ssh for", endpoint.str(), error);
  return ours;
}

}  // namespace

std::string Endpoint::str() const {
  std::string host = address.find(':') != std::string::npos ? "[" + address + "]" : address;
  switch (scheme) {
    case Scheme::Unix:
      return "unix://" + address;
    case Scheme::Tcp:
      return fmt::format("tcp://{}:{}", host, port);
    case Scheme::Ssh:
      return fmt::format("ssh://{}{}{}{}", user, user.empty() ? "" : "@", host,
                         port == 0 ? "" : ":" + std::to_string(port));
  }
  return {};
}

Endpoint default_endpoint() {
  constexpr char system_socket[] = "/run/berth/berth.sock";
  uid_t uid = ::geteuid();
  if (uid == 0) return {.scheme = Endpoint::Scheme::Unix, .address = system_socket};
  auto directory = sys::user_runtime_directory(uid);
  std::string own = directory ? *directory + "/berth.sock" : std::string();
  // Members of the system engine's group mean that one, unless they have started their own.
  bool uses_system =
      own.empty() || (::access(own.c_str(), F_OK) != 0 && ::access(system_socket, R_OK | W_OK) == 0);
  return {.scheme = Endpoint::Scheme::Unix, .address = uses_system ? system_socket : own};
}

Result<Endpoint> parse_endpoint(std::string_view text, uint16_t tcp_port) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (text.empty()) return default_endpoint();
  if (text.starts_with("unix://")) {
    std::string_view path = text.substr(7);
    if (path.empty()) return default_endpoint();
    return Endpoint{.scheme = Endpoint::Scheme::Unix, .address = std::string(path)};
  }
  if (text.starts_with("ssh://")) {
    std::string_view rest = text.substr(6);
    std::string user;
    if (size_t at = rest.find('@'); at != std::string_view::npos) {
      user = rest.substr(0, at);
      rest.remove_prefix(at + 1);
    }
    TRY(HostPort place, split_host_port(text, rest, 0));
    if (place.host.empty() || place.host.starts_with('-') || user.starts_with('-')) {
      return bad_host(text, "ssh needs a host name");
    }
    return Endpoint{.scheme = Endpoint::Scheme::Ssh, .address = place.host, .port = place.port, .user = user};
  }
  std::string_view rest = text;
  if (rest.starts_with("tcp://")) {
    rest.remove_prefix(6);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else if (rest.find("://") != std::string_view::npos) {
    return bad_host(text, "use unix://PATH, tcp://HOST:PORT or ssh://HOST");
  }
  TRY(HostPort place, split_host_port(text, rest, tcp_port));
  if (place.host.empty()) place.host = "localhost";
  return Endpoint{.scheme = Endpoint::Scheme::Tcp, .address = place.host, .port = place.port};
}

Result<sys::UniqueFd> connect(const Endpoint& endpoint) {
  switch (endpoint.scheme) {
    case Endpoint::Scheme::Unix:
      return connect_unix(endpoint);
    case Endpoint::Scheme::Tcp: {
      TRY(sys::UniqueFd socket, connect_tcp(endpoint));
      if (!endpoint.tls) return socket;
      return start_tls(std::move(socket), endpoint.address, *endpoint.tls);
    }
    case Endpoint::Scheme::Ssh:
      return connect_ssh(endpoint);
  }
  return failure(Kind::Internal, "unknown scheme of endpoint");
}

}  // namespace berth::cli::client
