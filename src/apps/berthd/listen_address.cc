// Reading -H.
#include "apps/berthd/listen_address.h"

#include <charconv>

#include "base/format.h"
#include "sys/ip_address.h"

namespace berth::berthd {
namespace {

Error invalid(std::string_view text, std::string_view why) {
  return failure(Kind::InvalidArgument, "invalid bind address ({}): {}", text, why);
}

Result<ListenAddress> parse_tcp(std::string_view whole, std::string_view text) {
  if (text.ends_with('/')) text.remove_suffix(1);
  std::string_view host = text;
  std::string_view port;
  size_t colon = text.rfind(':');
  size_t bracket = text.rfind(']');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || host == "localhost") host = "127.0.0.1";
  TcpAddress address{.ip = std::string(host)};
  if (!port.empty()) {
    auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
    if (error != std::errc{} || end != port.data() + port.size() || address.port == 0)
      return invalid(whole, "the port must be a number from 1 to 65535");
  }
  auto ip = sys::IpAddress::parse(host);
  if (!ip) return invalid(whole, "the host must be an IP address");
  address.loopback = host.starts_with("127.") || ip->to_string() == "::1";
  return ListenAddress(std::move(address));
}

}  // namespace

Result<ListenAddress> parse_listen_address(std::string_view text) {
  constexpr std::string_view kUnix = "unix://", kTcp = "tcp://", kFd = "fd://", kScheme = "://";
  std::string_view path;
  if (text.starts_with(kUnix)) {
    path = text.substr(kUnix.size());
  } else if (text.starts_with('/')) {
    path = text;
  } else if (text.starts_with(kTcp)) {
    return parse_tcp(text, text.substr(kTcp.size()));
  } else if (text.starts_with(kFd)) {
    return ListenAddress(ActivatedSockets{});
  } else if (text.find(kScheme) == text.npos && text.find(':') != text.npos) {
    return parse_tcp(text, text);  // dockerd takes what has no scheme for TCP
  } else {
    return invalid(text, "expected unix://PATH, tcp://IP:PORT or fd://");
  }
  if (!path.starts_with('/')) return invalid(text, "the socket's path must be absolute");
  return ListenAddress(UnixAddress{.path = std::string(path)});
}

}  // namespace berth::berthd
