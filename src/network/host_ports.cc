// Host ports and the sockets that hold them.
#include "network/host_ports.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/format.h"
#include "network/socket_address.h"
#include "sys/netlink.h"

namespace berth::network {
namespace {

constexpr int kBacklog = 128;

std::string bracketed(const IpAddress& address) {
  return address.is_v6() ? fmt::format("[{}]", address.to_string()) : address.to_string();
}

/// SCTP may be missing from the kernel, and so may IPv6: nothing can take such a port either.
bool is_missing_protocol(int errno_value) {
  return errno_value == EPROTONOSUPPORT || errno_value == ESOCKTNOSUPPORT || errno_value == EAFNOSUPPORT;
}

std::string go_errno_text(int errno_value) {
  // Scripts match on the words of docker's log: lower case, as Go prints them.
  std::string text = std::strerror(errno_value);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

Error already_allocated(const IpAddress& host_ip, uint16_t port) {
  return failure(Kind::AlreadyExists, "Bind for {}:{} failed: port is already allocated", bracketed(host_ip),
                 port);
}

}  // namespace

BoundPort bind_host_port(Protocol protocol, const IpAddress& host_ip, uint16_t port) {
  bool stream = protocol != Protocol::Udp;
  int type = (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  BoundPort outcome;
  outcome.socket.reset(::socket(host_ip.address_family(), type, static_cast<int>(protocol)));
  if (!outcome.socket) {
    outcome.errno_value = errno;
    return outcome;
  }
  int one = 1;
  if (host_ip.is_v6()) {
    ::setsockopt(outcome.socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
  }
  // Connections of an earlier owner in TIME_WAIT do not matter; a listener still excludes every other bind.
  if (stream) ::setsockopt(outcome.socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  SocketAddress address(host_ip, port);
  if (::bind(outcome.socket.get(), address.get(), address.size()) != 0 ||
      (protocol == Protocol::Tcp && ::listen(outcome.socket.get(), kBacklog) != 0)) {
    outcome.errno_value = errno;
    outcome.socket.reset();
  }
  return outcome;
}

namespace {
PortBinder* binder_of_process = nullptr;
}  // namespace

void set_port_binder(PortBinder* binder) {
  binder_of_process = binder;
}
PortBinder* port_binder() {
  return binder_of_process;
}

PortRange read_local_port_range() {
  PortRange range;
  auto text = sys::read_sysctl("net/ipv4/ip_local_port_range");
  unsigned first = 0;
  unsigned last = 0;
  if (text && std::sscanf(text->c_str(), "%u %u", &first, &last) == 2 && first >= 1024 && first < last &&
      last <= 65535) {
    range.first = static_cast<uint16_t>(first);
    range.last = static_cast<uint16_t>(last);
  }
  return range;
}

bool HostPorts::is_taken(Protocol protocol, const IpAddress& host_ip, uint16_t port) const {
  auto [begin, end] = taken_.equal_range({protocol, port});
  for (auto entry = begin; entry != end; ++entry) {
    const IpAddress& other = entry->second;
    if (other.family() != host_ip.family()) continue;
    if (other == host_ip || other.is_unspecified() || host_ip.is_unspecified()) return true;
  }
  return false;
}

BoundPort HostPorts::bind(Protocol protocol, const IpAddress& host_ip, uint16_t port) const {
  return binder_ != nullptr ? binder_->bind(protocol, host_ip, port)
                            : bind_host_port(protocol, host_ip, port);
}

Error HostPorts::bind_failed(const PortRequest& request, const IpAddress& host_ip, uint16_t number,
                             const IpAddress& container, int errno_value) const {
  // The words of docker's rootless mode.
  if (binder_ != nullptr && errno_value == EACCES) {
    return failure(
        Kind::Forbidden,
        "cannot expose privileged port {}, you can add 'net.ipv4.ip_unprivileged_port_start={}' to "
        "/etc/sysctl.conf, or choose a larger port number (>= 1024)",
        number, number);
  }
  return failure(kind_of_errno(errno_value), "failed to bind host port for {}:{}:{}:{}/{}: {}",
                 bracketed(host_ip), number, bracketed(container), request.container_port,
                 to_string(request.protocol), go_errno_text(errno_value));
}

void HostPorts::release_outside(const std::vector<HeldPort>& held) const {
  if (binder_ == nullptr) return;
  for (const auto& port : held) binder_->release(port.port);
}

Result<std::vector<HeldPort>> HostPorts::hold_number(const PortRequest& request,
                                                     const std::vector<IpAddress>& addresses, uint16_t number,
                                                     const IpAddress& container) {
  for (const auto& host_ip : addresses) {
    if (is_taken(request.protocol, host_ip, number)) return already_allocated(host_ip, number);
  }
  std::vector<HeldPort> held;
  for (const auto& host_ip : addresses) {
    auto outcome = bind(request.protocol, host_ip, number);
    if (outcome.errno_value != 0 && !is_missing_protocol(outcome.errno_value)) {
      release_outside(held);
      return bind_failed(request, host_ip, number, container, outcome.errno_value);
    }
    // A host without IPv6 has no [::] to publish on.
    if (outcome.errno_value == EAFNOSUPPORT) continue;
    held.push_back({{request.protocol, request.container_port, host_ip, number}, std::move(outcome.socket)});
  }
  for (const auto& port : held) taken_.emplace(std::pair(request.protocol, number), port.port.host_ip);
  return held;
}

Result<std::vector<HeldPort>> HostPorts::hold_random(const PortRequest& request,
                                                     const std::vector<IpAddress>& addresses,
                                                     const IpAddress& container) {
  for (unsigned tries = random_.last - random_.first + 1u; tries > 0; --tries) {
    uint16_t number = next_;
    next_ = next_ >= random_.last ? random_.first : static_cast<uint16_t>(next_ + 1);
    auto held = hold_number(request, addresses, number, container);
    // Only a taken port is a reason to try the next one.
    if (held || held.error().kind() != Kind::AlreadyExists) return held;
  }
  return failure(Kind::Exhausted, "all ports from {} to {} are allocated", random_.first, random_.last);
}

Result<std::vector<HeldPort>> HostPorts::hold(const PortRequest& request, bool host_ipv6,
                                              const IpAddress& container) {
  std::vector<IpAddress> addresses;
  if (request.host_ip) {
    addresses.push_back(*request.host_ip);
  } else {
    addresses.push_back(IpAddress::any(IpFamily::V4));
    if (host_ipv6) addresses.push_back(IpAddress::any(IpFamily::V6));
  }
  if (request.host_port_first == 0) return hold_random(request, addresses, container);
  Result<std::vector<HeldPort>> held = failure(Kind::InvalidArgument, "invalid host port range {}-{}",
                                               request.host_port_first, request.host_port_last);
  for (unsigned number = request.host_port_first; number <= request.host_port_last; ++number) {
    held = hold_number(request, addresses, static_cast<uint16_t>(number), container);
    if (held || held.error().kind() != Kind::AlreadyExists) break;
  }
  return held;
}

Result<HeldPort> HostPorts::hold_again(const PublishedPort& port) {
  PortRequest request{port.protocol, port.container_port, port.host_ip, port.host_port, port.host_port};
  TRY(auto held, hold_number(request, {port.host_ip}, port.host_port, port.host_ip));
  if (held.empty()) return failure(Kind::Unsupported, "no socket for {}", port.host_ip.to_string());
  return std::move(held.front());
}

void HostPorts::release(const PublishedPort& port) {
  auto [begin, end] = taken_.equal_range({port.protocol, port.host_port});
  for (auto entry = begin; entry != end; ++entry) {
    if (entry->second != port.host_ip) continue;
    taken_.erase(entry);
    if (binder_ != nullptr) binder_->release(port);
    return;
  }
}

}  // namespace berth::network
