// Networks: the façade of everything between a container's network namespace and the world: networks,
// endpoints, addresses, published ports, recovery and removal. State is in memory and in the kernel; the
// engine stores the records it is given and hands them back to recover(). Calls are synchronous and take
// micro- to a millisecond, for the daemon's loop thread, except where a comment names a worker thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "network/dns_names.h"
#include "network/records.h"
#include "sys/netlink.h"
#include "sys/netns.h"

namespace berth::network {

/// As a default network's bridge it is the engine's, whoever has made it: made where it is missing, with the
/// addresses that the options give or those of its own that fit them. It stays when the engine goes, as with
/// docker: people have rules for this name.
inline constexpr std::string_view kDockerBridge = "docker0";

struct NetworkOptions {
  /// Tells engines on one host apart: names of tables and bridges follow from it. Empty for the default
  /// engine ("berth0", table "berth"); else a short token, see instance_of_exec_root().
  std::string instance;
  /// The default network's subnets; none: the first free of docker's default pools and a random ULA /64.
  std::optional<IpPrefix> bridge_subnet4;
  std::optional<IpPrefix> bridge_subnet6;
  bool enable_ipv6 = true;
  uint32_t mtu = 0;  ///< 0: that of the interface with the default route
  /// docker's icc=true: containers of the default network reach each other.
  bool inter_container = true;
  /// Where subnets come from that nobody asked for; empty: docker's pools and more (address_pool.h).
  std::vector<SubnetPool> address_pools;
  /// Published ports that name no address are bound to this one (docker's --ip).
  std::optional<IpAddress> default_host_ip;
  /// Parts of the default network's subnets that containers get their addresses from; where no subnet is
  /// given, they are the subnets themselves (docker's --fixed-cidr).
  std::optional<IpPrefix> bridge_range4;
  std::optional<IpPrefix> bridge_range6;
  /// What "host-gateway" stands for in --add-host; empty: the default network's gateways, the IPv6 one where
  /// its subnet was chosen by the user.
  std::vector<IpAddress> host_gateways;
  /// Where the default network's containers send what leaves it (docker's --default-gateway), within its
  /// subnets; none: the bridge's own address.
  std::optional<IpAddress> default_gateway4;
  std::optional<IpAddress> default_gateway6;
  /// A bridge of the host's administrator that the default network is on, with its addresses, or
  /// kDockerBridge; empty: berth's own.
  std::string bridge_name;
  /// Without it there is no network "bridge" (docker's --bridge none).
  bool default_network = true;
  /// Published ports are open at the container's own address as well (docker's --allow-direct-routing).
  bool direct_routing = false;
  /// Which families' packets berth filters and redirects (docker's --iptables, --ip6tables). Without:
  /// published ports are served by the proxy alone, and nothing keeps networks apart.
  bool firewall4 = true;
  bool firewall6 = true;
  /// Forwarding is switched on where it is off (docker's --ip-forward); then what is not containers' traffic
  /// is dropped from now on, so that the host does not become a router for everybody.
  bool forward = true;
  bool forward_drop = true;
  /// Containers of the default network have the host's address outside (docker's --ip-masq).
  bool masquerade = true;
  /// Options of new networks that do not give them, by driver (docker's --default-network-opt).
  std::map<std::string, std::map<std::string, std::string>> default_options;
};

/// InvalidArgument for subnets and ranges of the default network that do not fit each other.
Result<void> check_default_ranges(const NetworkOptions& options);
/// "bridge=com.docker.network.driver.mtu=1400". InvalidArgument.
Result<void> add_default_option(std::string_view text,
                                std::map<std::string, std::map<std::string, std::string>>& options);

/// "" for berth's default exec-root, else eight hex digits.
std::string instance_of_exec_root(std::string_view exec_root);

/// POST /networks/create
struct NetworkRequest {
  struct Pool {
    std::optional<IpPrefix> subnet = {};
    std::optional<IpPrefix> range = {};
    std::optional<IpAddress> gateway = {};
    std::map<std::string, IpAddress> auxiliary = {};
    /// The command sends an empty entry for "no wish".
    bool is_empty() const { return !subnet && !range && !gateway && auxiliary.empty(); }
  };
  std::string name;
  std::string driver = "bridge";
  bool internal = false;
  bool attachable = false;
  /// None: as the options "com.docker.network.enable_ipv4" and "..._ipv6" say; without them IPv4 alone.
  std::optional<bool> enable_ipv4;
  std::optional<bool> enable_ipv6;
  std::vector<Pool> pools;
  std::map<std::string, std::string> ipam_options;
  std::map<std::string, std::string> options;
  std::map<std::string, std::string> labels;
  bool config_only = false;  ///< a configuration for other networks (config_network.h)
  std::string config_from;   ///< name of the configuration that says the rest; empty: none
};

/// One container's wish to join one network.
struct AttachRequest {
  std::string network;  ///< id, unique id prefix or name
  std::string container_id;
  std::string container_name;
  std::vector<std::string> aliases;
  std::optional<IpAddress> ipv4;
  std::optional<IpAddress> ipv6;
  std::optional<MacAddress> mac;
  bool without_ipv6 = false;  ///< the container has IPv6 switched off: it gets no address of that family
  std::string interface = "eth0";
  /// The default route goes here. One endpoint of a container has it; its published ports hang on it.
  bool default_gateway = true;
  std::vector<PortRequest> ports;
  /// From an earlier run of the container, preferred if free.
  std::optional<IpAddress> previous_ipv4;
  std::optional<IpAddress> previous_ipv6;
};

/// A port of a container's own, published or not.
struct ExposedPort {
  Protocol protocol = Protocol::Tcp;
  uint16_t port = 0;
  friend auto operator<=>(const ExposedPort&, const ExposedPort&) = default;
};

/// docker's --link: `source` may reach `ports` of `target`. Containers by their ids, the network as find()
/// takes it.
struct ContainerLink {
  std::string network = "bridge";
  std::string source;
  std::string target;
  std::vector<ExposedPort> ports;
};

/// Links to delete; run() takes some 30 ms in the kernel: on a worker thread, nobody waits. Copyable, needs
/// no other state. The links of a container that has ended go with its namespace, and the kernel takes many
/// at once: run() a second later and merged() is cheapest. After a disconnect it should run at once.
struct LinkRemoval {
  std::vector<std::string> host_links;
  void merge(LinkRemoval other);
  /// Deletes those that are still there.
  Result<void> run() const;
};

/// What recover() found.
struct Recovery {
  std::vector<std::string> repairs;  ///< sentences for the log
  LinkRemoval stale;  ///< bridges of nobody, and ports of berth's bridges: run() on a worker thread
};

class Networks {
 public:
  static Result<std::unique_ptr<Networks>> open(NetworkOptions options);
  ~Networks();
  Networks(const Networks&) = delete;
  Networks& operator=(const Networks&) = delete;

  /// Takes over what an earlier daemon left: `networks` as stored, `endpoints` of containers that still run.
  /// Brings the kernel in line (bridges, addresses, the nft table in one transaction, reserved host ports)
  /// and removes links of berth's bridges that belong to nobody. Also makes the predefined networks when they
  /// are not among the records: store list() afterwards. Called once, also with nothing to recover.
  Result<Recovery> recover(std::vector<NetworkRecord> networks, std::vector<EndpointRecord> endpoints);

  /// All networks, predefined first, then by creation.
  std::vector<const NetworkRecord*> list() const;
  /// By id, name or unique id prefix, in this order. NotFound: "network x not found".
  Result<const NetworkRecord*> find(std::string_view name_or_id) const;
  /// Endpoints on a network.
  std::vector<const EndpointRecord*> endpoints(std::string_view network_id) const;
  std::vector<const EndpointRecord*> endpoints_of_container(std::string_view container_id) const;

  /// The host's addresses that containers know as "host-gateway"; empty without a default network.
  std::vector<IpAddress> host_gateways() const;

  /// A new bridge network. AlreadyExists: "network with name x already exists"; InvalidArgument for
  /// overlapping or malformed ranges. The kernel's link is there afterwards.
  Result<const NetworkRecord*> create(const NetworkRequest& request);
  /// Forbidden for predefined ones, or while endpoints are attached (docker's words). The link is removed by
  /// the returned work.
  Result<LinkRemoval> remove(std::string_view name_or_id);

  /// Gives `netns` an interface on the network, addresses, routes and published ports. Nothing is left behind
  /// on failure. For "host" and "none" only a record results. The record stays valid until detach().
  Result<const EndpointRecord*> attach(const AttachRequest& request, sys::NetworkNamespace& netns);
  /// Releases ports and addresses at once; the link goes with the returned work (or with the namespace).
  /// NotFound when there is no such endpoint.
  Result<LinkRemoval> detach(std::string_view endpoint_id);
  /// Tells neighbours, as often as the network's options say, which MAC address the endpoint's addresses have
  /// now. Call it when the start has been answered: from then on it happens beside, and ends with detach().
  /// `netns` is a descriptor of the container's.
  void announce(std::string_view endpoint_id, int netns);
  /// Publishes further ports of an endpoint that is attached, or all of them not at all; what there is goes
  /// on undisturbed. Store the endpoint's record again. WrongState for an endpoint without the default route.
  Result<std::vector<PublishedPort>> publish_ports(std::string_view endpoint_id,
                                                   const std::vector<PortRequest>& ports);
  /// Ends bindings that are in force: no new connection comes in; those that are under way go on. Store the
  /// record again.
  Result<void> unpublish_ports(std::string_view endpoint_id, const std::vector<PublishedPort>& ports);
  /// On a network whose containers do not reach each other (docker's icc=false), the link's source reaches
  /// the ports and gets their answers, until one of the two leaves the network or close_link(). Replaces an
  /// earlier call for the two. Nothing happens where they reach each other anyway, or where one of them is
  /// not on the network. Links are not stored: call it again after recover().
  Result<void> open_link(const ContainerLink& link);
  void close_link(std::string_view network, std::string_view source, std::string_view target);
  /// The container's default route is this endpoint's from now on, and ports are published on it alone. Which
  /// routes there are and what the other endpoints publish is not touched. Store the container's endpoints
  /// again. NotFound when there is no such endpoint.
  Result<void> make_gateway(std::string_view endpoint_id);
  /// docker's rename: the name that the embedded DNS answers. Store the container's endpoints again.
  void rename_container(std::string_view container_id, std::string_view new_name);

  /// Whether the container is on a user-defined network and so has the embedded DNS at 127.0.0.11.
  bool needs_dns(std::string_view container_id) const;
  /// Starts answering inside the container's namespace (about 300 us). Call it when needs_dns(): after the
  /// container's networks are attached, and for each running container after recover(). `upstream` is
  /// ResolvConf::upstream, `links` are names for this container alone. Replaces an earlier call. Ends by
  /// itself when the container leaves its last user-defined network.
  Result<void> serve_dns(std::string_view container_id, const sys::NetworkNamespace& netns,
                         const std::vector<std::string>& upstream, DnsLinks links = {});

  /// Counters as seen from inside the container.
  Result<sys::LinkStatistics> statistics(std::string_view endpoint_id);

  /// Sentences to log once: forwarding was switched on, ....
  std::vector<std::string> take_notices();
  /// Networks whose record attach() has changed: a subnet that berth chose itself may move before the first
  /// container joins, when the host has come to route it elsewhere. Ask after attach() and store them.
  std::vector<const NetworkRecord*> take_changed_networks();

  /// Removes every link and table of this instance from the kernel; records stay. For a graceful stop with
  /// no running container (worker thread or last thing of the process: tens of milliseconds).
  Result<void> shut_down();

 private:
  friend class NetworkRecovery;
  struct State;
  explicit Networks(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace berth::network
