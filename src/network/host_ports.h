// HostPorts: the host ports of published container ports. A port is taken by a listening socket (tcp) or a
// bound one (udp, sctp) on the host, so that a conflict with any other program is found in both directions.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "network/records.h"
#include "sys/fd.h"

namespace berth::network {

/// A published port with the socket that holds it. Closing the socket frees the port.
struct HeldPort {
  PublishedPort port;
  sys::UniqueFd socket;
};

/// A socket that holds a port, or the errno value that stood in its way.
struct BoundPort {
  sys::UniqueFd socket;
  int errno_value = 0;
};
/// Binds (tcp: and listens) in the calling process's network namespace.
BoundPort bind_host_port(Protocol protocol, const IpAddress& host_ip, uint16_t port);

/// Takes ports where this process cannot: an ordinary user's daemon lives in a network namespace of its own,
/// and somebody outside binds for it.
class PortBinder {
 public:
  virtual ~PortBinder() = default;
  virtual BoundPort bind(Protocol protocol, const IpAddress& host_ip, uint16_t port) = 0;
  virtual void release(const PublishedPort& port) = 0;
  /// Ports that an earlier daemon has had and this one has not taken again are released.
  virtual void settle() = 0;
};

/// Said once, before networks are opened; not owned.
void set_port_binder(PortBinder* binder);
/// nullptr: this process binds.
PortBinder* port_binder();

/// Where random ports come from: [first, last], from ip_local_port_range.
struct PortRange {
  uint16_t first = 32768;
  uint16_t last = 60999;
};
PortRange read_local_port_range();

class HostPorts {
 public:
  explicit HostPorts(PortRange random = read_local_port_range()) : random_(random), next_(random.first) {}

  /// Takes host ports for one request; with no address given on 0.0.0.0 and (host_ipv6) on [::], with the
  /// same number. `container` is the address shown in messages. AlreadyExists in docker's words: "Bind for
  /// 0.0.0.0:80 failed: port is already allocated" when berth itself has it, "failed to bind host port for
  /// ..." when another program has.
  Result<std::vector<HeldPort>> hold(const PortRequest& request, bool host_ipv6, const IpAddress& container);
  /// The same for a binding that is in force already (recovery).
  Result<HeldPort> hold_again(const PublishedPort& port);
  /// Forgets the binding; the caller closes the socket.
  void release(const PublishedPort& port);

 private:
  bool is_taken(Protocol protocol, const IpAddress& host_ip, uint16_t port) const;
  Result<std::vector<HeldPort>> hold_number(const PortRequest& request,
                                            const std::vector<IpAddress>& addresses, uint16_t number,
                                            const IpAddress& container);
  Result<std::vector<HeldPort>> hold_random(const PortRequest& request,
                                            const std::vector<IpAddress>& addresses,
                                            const IpAddress& container);

  BoundPort bind(Protocol protocol, const IpAddress& host_ip, uint16_t port) const;
  Error bind_failed(const PortRequest& request, const IpAddress& host_ip, uint16_t number,
                    const IpAddress& container, int errno_value) const;
  /// Lets go of what another holds for us; sockets of our own are closed by who has them.
  void release_outside(const std::vector<HeldPort>& held) const;

  PortBinder* binder_ = port_binder();
  PortRange random_;
  uint16_t next_;
  std::multimap<std::pair<Protocol, uint16_t>, IpAddress> taken_;
};

}  // namespace berth::network
