// What berth remembers of networks and endpoints: plain values that the engine stores and hands back at
// recovery, with their JSON text. The shapes follow docker's Network and EndpointSettings resources.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "sys/ip_address.h"

namespace berth::network {

using sys::IpAddress;
using sys::IpFamily;
using sys::IpPrefix;
using sys::MacAddress;

/// One address range of a network: IPAM.Config[i].
struct IpamPool {
  IpPrefix subnet;
  std::optional<IpPrefix> range;  ///< addresses are given out of this part only
  IpAddress gateway;
  std::map<std::string, IpAddress> auxiliary;  ///< reserved by name
  bool automatic = false;  ///< berth chose the subnet, and may choose another while unused
  /// Follows from a range of the default network (--fixed-cidr): docker shows none then.
  bool implied_gateway = false;

  /// Where containers send what leaves the subnet: the auxiliary address of docker's name for it, else the
  /// gateway.
  const IpAddress& container_gateway() const;
};
/// "DefaultGatewayIPv4", "DefaultGatewayIPv6"
std::string_view default_gateway_key(IpFamily family);

/// Where subnets of networks that ask for none come from: the parts of `base` that are `size` bits long.
struct SubnetPool {
  IpPrefix base;
  uint8_t size = 0;
};
/// "base=10.10.0.0/16,size=24" (--default-address-pool). InvalidArgument.
Result<SubnetPool> parse_subnet_pool(std::string_view text);

enum class NetworkDriver { Bridge, Host, Null, Macvlan, Ipvlan };
/// "bridge", "host", "null", "macvlan", "ipvlan"
std::string_view to_string(NetworkDriver driver);

struct NetworkRecord {
  std::string id;
  std::string name;
  Timestamp created{};
  NetworkDriver driver = NetworkDriver::Bridge;
  bool predefined = false;  ///< bridge, host, none: cannot be removed
  bool internal = false;
  bool attachable = false;
  bool enable_ipv4 = true;
  bool enable_ipv6 = false;
  std::vector<IpamPool> pools;  ///< at most one per family
  std::map<std::string, std::string> ipam_options;
  std::map<std::string, std::string> options;  ///< "com.docker.network.bridge.name", ...
  std::map<std::string, std::string> labels;
  std::string bridge;           ///< link name; empty for host and none
  bool config_only = false;     ///< a configuration of other networks: no container joins it
  std::string config_from;      ///< name of the network that has configured this one
  bool foreign_bridge = false;  ///< the link is somebody else's: it is neither made nor removed
  uint32_t mtu = 1500;          ///< of a bridge network's interfaces, since its bridge is there; not stored

  /// Whether its containers find each other by name: user-defined networks have the embedded DNS.
  bool has_names() const { return has_links() && !predefined; }
  /// Whether its containers get an interface of their own on it; host and none only have a record.
  bool has_links() const { return driver != NetworkDriver::Host && driver != NetworkDriver::Null; }
  /// The pool of a family, or nullptr.
  const IpamPool* pool(IpFamily family) const;
};

enum class Protocol : uint8_t { Tcp = 6, Udp = 17, Sctp = 132 };
/// "tcp", "udp", "sctp"
std::string_view to_string(Protocol protocol);
/// InvalidArgument: "Invalid proto: x".
Result<Protocol> parse_protocol(std::string_view text);

/// A wanted binding: HostConfig.PortBindings["80/tcp"][i].
struct PortRequest {
  Protocol protocol = Protocol::Tcp;
  uint16_t container_port = 0;
  std::optional<IpAddress> host_ip;  ///< none: all addresses of both families
  uint16_t host_port_first = 0;      ///< 0: any free port
  uint16_t host_port_last = 0;       ///< a range to choose from; equal to first for a fixed port
};

/// A binding in force: NetworkSettings.Ports["80/tcp"][i].
struct PublishedPort {
  Protocol protocol = Protocol::Tcp;
  uint16_t container_port = 0;
  IpAddress host_ip;       ///< 0.0.0.0 and :: for all addresses
  uint16_t host_port = 0;  ///< 0: none is taken, the container's own port is open (a routed network)
  friend auto operator<=>(const PublishedPort&, const PublishedPort&) = default;
};

struct EndpointRecord {
  std::string id;
  std::string network_id;
  std::string container_id;
  std::string container_name;
  std::vector<std::string> aliases;  ///< names besides container_name (embedded DNS)
  std::string interface;             ///< inside: "eth0"
  std::string host_link;             ///< outside; empty for host and none
  MacAddress mac;
  bool generated_mac = false;  ///< nobody has asked for it: the next start brings another one
  std::optional<IpPrefix> ipv4;
  std::optional<IpAddress> gateway4;
  std::optional<IpPrefix> ipv6;
  std::optional<IpAddress> gateway6;
  bool is_default_gateway = false;  ///< carries the container's default route and published ports
  std::vector<PublishedPort> ports;
};

/// One line of JSON, stable across versions of berth.
std::string encode(const NetworkRecord& record);
std::string encode(const EndpointRecord& record);
/// Corrupt when the text is not what encode() writes.
Result<NetworkRecord> decode_network(std::string_view text);
Result<EndpointRecord> decode_endpoint(std::string_view text);

}  // namespace berth::network
