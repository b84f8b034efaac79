// What berth's nf_tables tables should hold, as a value, and the pure planners that turn it into
// transactions. One table per family and engine instance; other tables and firewalls are left alone.
//
// Published ports are elements of two maps per family: {protocol, address, port} and, for ports on all
// addresses, {protocol, port}; both give {container address, container port}. Publishing is one element.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "network/records.h"
#include "sys/nftables.h"

namespace berth::network {

struct FirewallNetwork {
  std::string bridge;
  std::optional<IpPrefix> subnet4;
  std::optional<IpPrefix> subnet6;
  bool internal = false;   ///< nothing passes between this network and anything else
  bool masquerade = true;  ///< hide container addresses behind the host's
};

/// One published address. `host_ip` and `container_ip` are of one family.
struct PortForward {
  Protocol protocol = Protocol::Tcp;
  IpAddress host_ip;  ///< unspecified: every local address
  uint16_t host_port = 0;
  IpAddress container_ip;
  uint16_t container_port = 0;
  friend auto operator<=>(const PortForward&, const PortForward&) = default;
};

struct FirewallState {
  std::vector<FirewallNetwork> networks;
  std::vector<PortForward> ports;
};

/// Replaces the instance's tables by ones that hold `state`, in one transaction.
sys::NftTransaction plan_firewall(std::string_view table, const FirewallState& state, bool ipv6);
/// Adds or removes published ports, in one transaction.
sys::NftTransaction plan_publish(std::string_view table, const std::vector<PortForward>& ports);
sys::NftTransaction plan_unpublish(std::string_view table, const std::vector<PortForward>& ports);
/// Removes the tables; each family's must exist.
sys::NftTransaction plan_remove_tables(std::string_view table, const std::vector<sys::NftFamily>& families);

}  // namespace berth::network
