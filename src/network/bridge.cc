// Bridges and endpoints in the kernel.
#include "network/bridge.h"

#include <dirent.h>

#include <algorithm>

#include "base/format.h"
#include "base/rollback.h"
#include "network/network_plan.h"
#include "sys/netlink.h"
#include "sys/netlink_neighbour.h"

namespace berth::network {
namespace {

/// Interfaces that take their own route from router advertisements would stop doing so when the host becomes
/// a router, unless told to go on ("2").
Result<void> keep_router_advertisements(std::vector<std::string>& notices) {
  DIR* directory = ::opendir("/proc/sys/net/ipv6/conf");
  if (directory == nullptr) return {};
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory)) {
    std::string_view name = entry->d_name;
    if (name != "." && name != ".." && name != "all" && name != "default" && name != "lo")
      names.emplace_back(name);
  }
  ::closedir(directory);
  for (const auto& name : names) {
    std::string path = fmt::format("net/ipv6/conf/{}/accept_ra", name);
    auto value = sys::read_sysctl(path);
    if (!value || *value != "1") continue;
    CHECK(sys::write_sysctl(path, "2"));
    notices.push_back(fmt::format("set {} to 2, so that the host keeps its IPv6 routes as a router", path));
  }
  return {};
}

/// A sysctl that a kernel without the feature does not have.
void write_if_there(const std::string& path, std::string_view value) {
  auto now = sys::read_sysctl(path);
  if (now && *now != value) (void)sys::write_sysctl(path, value);
}

}  // namespace

sys::BridgePortChange plan_port(const NetworkRecord& network, const std::string& host_link) {
  // Hairpin: where bridged packets pass the IP hooks (br_netfilter), a container that reaches itself through
  // a published port gets its packet back through the port it came from.
  sys::BridgePortChange port{.name = host_link, .hairpin = true};
  // Isolated ports talk to the bridge itself but not to each other, whatever other firewalls do.
  if (is_closed(network)) port.isolated = true;
  return port;
}

BridgeAddressPlan plan_bridge_address(const IpPrefix& wanted, const std::vector<IpPrefix>& present) {
  BridgeAddressPlan plan{.removed = {}, .added = wanted};
  std::optional<IpPrefix> former;
  for (const IpPrefix& address : present) {
    if (address.family() != wanted.family()) continue;
    if (wanted.address.is_v6()) {
      bool is_same = address.address == wanted.address;  // of whatever length: it names no route
      if (is_same) plan.added.reset();
      if (!is_same && !is_standard_link_local(address.address)) plan.removed.push_back(address);
      continue;
    }
    if (address == wanted) return {};
    bool is_better = former && !wanted.contains(former->address) && wanted.contains(address.address);
    if (!former || is_better) former = address;
  }
  if (former) plan.removed.push_back(*former);
  return plan;
}

sys::RouteBatch plan_host_side(const EndpointLinks& links, const EndpointRecord& endpoint) {
  sys::RouteBatch batch;
  batch.create_veth({.name = links.host_link,
                     .master = links.bridge_index,
                     .mtu = links.mtu,
                     .peer_netns = links.netns,
                     .peer_name = endpoint.interface,
                     .peer_mac = endpoint.mac});
  batch.change_bridge_port(links.port);
  return batch;
}

sys::RouteBatch plan_inside(uint32_t index, const EndpointRecord& endpoint, bool has_ipv6) {
  sys::RouteBatch batch;
  if (!endpoint.ipv6 && has_ipv6) batch.change_link({.index = index, .link_local = sys::Ipv6LinkLocal::None});
  batch.change_link({.index = index, .up = true});
  if (endpoint.ipv4) batch.add_address({index, *endpoint.ipv4});
  if (endpoint.ipv6) batch.add_address({index, *endpoint.ipv6});
  if (!endpoint.is_default_gateway) return batch;
  for (const auto& gateway : {endpoint.gateway4, endpoint.gateway6}) {
    if (!gateway) continue;
    batch.add_route(
        {.destination = {IpAddress::any(gateway->family()), 0}, .gateway = gateway, .link = index});
  }
  return batch;
}

Result<void> BridgeLinks::configure(const NetworkRecord& network, uint32_t index, bool is_new) {
  std::string v4 = fmt::format("net/ipv4/conf/{}/", network.bridge);
  std::string v6 = fmt::format("net/ipv6/conf/{}/", network.bridge);
  if (!network.foreign_bridge) {
    // Containers are not routers of the host (CVE-2020-13401).
    write_if_there(v6 + "accept_ra", "0");
    write_if_there(v6 + "disable_ipv6", network.enable_ipv6 ? "0" : "1");
  }
  // The host's own clients of 127.0.0.1 are redirected to containers; the table's raw chain keeps
  // containers away from the host's loopback.
  if (!network.internal) write_if_there(v4 + "route_localnet", "1");
  std::vector<sys::LinkAddress> present;
  if (!is_new) {
    TRY(present, routes_.addresses());
  }
  sys::RouteBatch batch;
  std::vector<IpPrefix> own;
  for (const auto& other : present) {
    if (other.link == index) own.push_back(other.address);
  }
  for (const auto& pool : network.pools) {
    if (!host_has_gateway(network, pool.subnet.family())) continue;
    BridgeAddressPlan plan = plan_bridge_address({pool.gateway, pool.subnet.length}, own);
    for (const IpPrefix& former : plan.removed) {
      if (keeps_bridge(network)) batch.delete_address({index, former});
    }
    if (plan.added) batch.add_address({index, *plan.added});
  }
  return routes_.run(batch);
}

Result<uint32_t> BridgeLinks::ensure(const NetworkRecord& network, uint32_t mtu) {
  auto known = ready_.find(network.bridge);
  if (known != ready_.end()) return known->second;
  Rollback rollback;
  auto link = routes_.link(network.bridge);
  bool is_new = !link;
  if (link && link->kind != "bridge") {
    return failure(Kind::AlreadyExists, "link {} exists and is not a bridge", network.bridge);
  }
  if (!link) {
    if (network.foreign_bridge || link.error().kind() != Kind::NotFound) return std::move(link).error();
    // A fixed MAC: else the bridge would take the lowest of its ports' and change with them.
    const IpamPool* pool4 = network.pool(IpFamily::V4);
    // A container that has the gateway's address has the MAC that follows from it.
    bool own = pool4 != nullptr && reserves_gateway(network, IpFamily::V4);
    MacAddress mac = own ? MacAddress::of_ipv4(pool4->gateway) : MacAddress::random();
    sys::RouteBatch batch;
    batch.create_bridge({.name = network.bridge, .mac = mac, .mtu = mtu, .alias = owner_});
    CHECK(routes_.run(batch));
    rollback.add([this, name = network.bridge] {
      sys::RouteBatch undo;
      undo.delete_link(name);
      (void)routes_.run(undo);
    });
    link = routes_.link(network.bridge);
    if (!link) return std::move(link).error();
  } else if (!link->up) {
    sys::RouteBatch batch;
    batch.change_link({.index = link->index, .up = true});
    CHECK(routes_.run(batch));
  }
  CHECK(configure(network, link->index, is_new));
  rollback.keep();
  ready_[network.bridge] = link->index;
  return link->index;
}

Result<void> BridgeLinks::answer_for(const std::string& bridge, const std::set<IpAddress>& containers) {
  const uint32_t link = ready_.at(bridge);
  auto has = [&](IpFamily family) {
    return std::any_of(containers.begin(), containers.end(),
                       [&](const IpAddress& address) { return address.family() == family; });
  };
  // The kernel would answer after a random time of up to 0.8 seconds.
  write_if_there(fmt::format("net/ipv4/neigh/{}/proxy_delay", bridge), "0");
  write_if_there(fmt::format("net/ipv4/conf/{}/proxy_arp_pvlan", bridge), has(IpFamily::V4) ? "1" : "0");
  auto known = answered_.find(bridge);
  if (known == answered_.end()) {
    if (!sys::has_ipv6()) return {};
    // What an earlier daemon has left.
    TRY(auto left, sys::neighbour_proxies(link));
    known = answered_.emplace(bridge, std::set<IpAddress>(left.begin(), left.end())).first;
  }
  std::set<IpAddress>& answered = known->second;
  write_if_there(fmt::format("net/ipv6/neigh/{}/proxy_delay", bridge), "0");
  write_if_there(fmt::format("net/ipv6/conf/{}/proxy_ndp", bridge), has(IpFamily::V6) ? "1" : "0");
  for (const IpAddress& address : containers) {
    if (address.is_v4() || answered.contains(address)) continue;
    CHECK(sys::begin_neighbour_proxy(link, address));
    answered.insert(address);
  }
  for (auto address = answered.begin(); address != answered.end();) {
    if (containers.contains(*address)) {
      ++address;
      continue;
    }
    CHECK(sys::end_neighbour_proxy(link, *address));
    address = answered.erase(address);
  }
  return {};
}

Result<std::vector<std::string>> enable_forwarding(IpFamily family) {
  std::vector<std::string> notices;
  bool v4 = family == IpFamily::V4;
  std::string_view path = v4 ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding";
  auto value = sys::read_sysctl(path);
  if (!value) return std::move(value).error().in("packets cannot be forwarded to containers");
  if (*value != "0") return notices;
  if (!v4) CHECK(keep_router_advertisements(notices));
  CHECK(sys::write_sysctl(path, "1"));
  notices.push_back(fmt::format("switched {} on: containers need packets to be forwarded", path));
  return notices;
}

bool host_has_ipv6() {
  if (!sys::has_ipv6()) return false;
  auto disabled = sys::read_sysctl("net/ipv6/conf/all/disable_ipv6");
  return disabled && *disabled == "0";
}

Result<uint32_t> uplink_mtu(sys::RouteSocket& routes) {
  TRY(auto all, routes.routes());
  TRY(auto links, routes.links());
  for (const auto& route : all) {
    if (route.destination.length != 0 || route.link == 0) continue;
    for (const auto& link : links) {
      if (link.index == route.link) return link.mtu;
    }
  }
  return uint32_t{0};
}

}  // namespace berth::network
