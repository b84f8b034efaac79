// What Networks does about published ports: which are taken on the host, what the kernel redirects, what is
// open at containers' own addresses.
#include <algorithm>
#include <set>

#include "base/format.h"
#include "network/networks_state.h"

namespace berth::network {

std::vector<PortForward> forwards_of(const EndpointRecord& endpoint) {
  std::vector<PortForward> forwards;
  for (const auto& port : endpoint.ports) {
    IpAddress target = target_of(endpoint, port);
    if (!is_bound(port) || target.family() != port.host_ip.family()) continue;
    forwards.push_back({port.protocol, port.host_ip, port.host_port, target, port.container_port});
  }
  return forwards;
}

IpAddress target_of(const EndpointRecord& endpoint, const PublishedPort& port) {
  bool prefers_v6 = port.host_ip.is_v6();
  if (prefers_v6 && endpoint.ipv6) return endpoint.ipv6->address;
  if (!prefers_v6 && endpoint.ipv4) return endpoint.ipv4->address;
  if (endpoint.ipv4) return endpoint.ipv4->address;
  return endpoint.ipv6 ? endpoint.ipv6->address : IpAddress();
}

std::vector<HeldPort> Networks::State::open_routed(const NetworkRecord& network,
                                                   const EndpointRecord& endpoint, PortRequest& request,
                                                   bool& leaves_nothing) const {
  std::vector<HeldPort> opened;
  std::vector<IpFamily> bound;
  for (IpFamily family : {IpFamily::V4, IpFamily::V6}) {
    if (request.host_ip && request.host_ip->family() != family) continue;
    if (gateway_mode(network, family) != GatewayMode::Routed) {
      bound.push_back(family);
      continue;
    }
    // An address of the host that was asked for means nothing here: none is bound.
    bool has_address = family == IpFamily::V4 ? endpoint.ipv4.has_value() : endpoint.ipv6.has_value();
    if (has_address)
      opened.push_back({{request.protocol, request.container_port, IpAddress::any(family), 0}, {}});
  }
  leaves_nothing = bound.empty();
  if (bound.size() == 1 && !request.host_ip) request.host_ip = IpAddress::any(bound.front());
  return opened;
}

Result<std::vector<HeldPort>> Networks::State::hold_ports(const NetworkRecord& network,
                                                          const AttachRequest& request,
                                                          const EndpointRecord& endpoint) {
  std::vector<HeldPort> held;
  // What is on the parent's network is reached there, as it is with docker.
  if (network.driver != NetworkDriver::Bridge) return held;
  IpAddress shown = endpoint.ipv4   ? endpoint.ipv4->address
                    : endpoint.ipv6 ? endpoint.ipv6->address
                                    : IpAddress();
  auto binding = network.options.find(std::string(kOptionHostBinding));
  std::vector<PortRequest> ports = request.ports;
  // Those of one number first: what takes any free port would else take it from them.
  std::stable_partition(ports.begin(), ports.end(), [](const PortRequest& port) {
    return port.host_port_first != 0 && port.host_port_first == port.host_port_last;
  });
  for (PortRequest& port : ports) {
    if (!port.host_ip && binding != network.options.end()) {
      TRY(IpAddress host_ip, IpAddress::parse(binding->second));
      if (!host_ip.is_unspecified()) port.host_ip = host_ip;
    }
    bool leaves_nothing = false;
    auto opened = open_routed(network, endpoint, port, leaves_nothing);
    if (!leaves_nothing) {
      auto taken = host_ports.hold(port, ipv6, shown);
      if (!taken) {
        for (const auto& earlier : held) host_ports.release(earlier.port);
        return std::move(taken).error();
      }
      std::move(taken->begin(), taken->end(), std::back_inserter(opened));
    }
    // IPv4 first, as clients show them.
    std::stable_sort(opened.begin(), opened.end(), [](const HeldPort& a, const HeldPort& b) {
      return a.port.host_ip.family() < b.port.host_ip.family();
    });
    std::move(opened.begin(), opened.end(), std::back_inserter(held));
  }
  return held;
}

std::vector<OpenPort> Networks::State::open_ports_of(const EndpointRecord& endpoint) const {
  std::set<OpenPort> open;
  auto network = networks.find(endpoint.network_id);
  if (network == networks.end()) return {};
  for (const auto& port : endpoint.ports) {
    IpAddress target = target_of(endpoint, port);
    bool routed = gateway_mode(network->second, target.family()) == GatewayMode::Routed;
    if (routed || options.direct_routing || !trusted_interfaces(network->second).empty())
      open.insert({port.protocol, target, port.container_port});
  }
  return {open.begin(), open.end()};
}

Result<void> Networks::State::publish(const EndpointRecord& endpoint, std::vector<HeldPort> held) {
  PublishedRules rules{.forwards = forwards_of(endpoint), .open = open_ports_of(endpoint)};
  auto published = nft.commit(plan_publish(table_name(options), rules, firewall_families()));
  // Somebody flushed or changed the tables: write them anew as a whole.
  if (!published) CHECK(rebuild_firewall());
  forget_flows(endpoint);
  for (auto& port : held) {
    if (!is_bound(port.port)) continue;
    IpAddress target = target_of(endpoint, port.port);
    CHECK(proxy.serve(std::move(port), target));
  }
  return {};
}

void Networks::State::unpublish(const EndpointRecord& endpoint) {
  if (endpoint.ports.empty()) return;
  PublishedRules rules{.forwards = forwards_of(endpoint), .open = open_ports_of(endpoint)};
  // A port that is published twice stays open until the second is ended too.
  if (auto found = endpoints.find(endpoint.id); found != endpoints.end()) {
    EndpointRecord left = found->second;
    std::erase_if(left.ports, [&](const PublishedPort& port) {
      return std::find(endpoint.ports.begin(), endpoint.ports.end(), port) != endpoint.ports.end();
    });
    auto still_open = open_ports_of(left);
    std::erase_if(rules.open, [&](const OpenPort& port) {
      return std::find(still_open.begin(), still_open.end(), port) != still_open.end();
    });
  }
  bool any = !rules.forwards.empty() || !rules.open.empty();
  if (any && !nft.commit(plan_unpublish(table_name(options), rules, firewall_families()))) {
    // Elements that are gone already; the rest must not stay.
    auto rebuilt = rebuild_firewall();
    if (!rebuilt) notices.push_back(fmt::format("firewall: {}", rebuilt.error().message()));
  }
  forget_flows(endpoint);
  for (const auto& port : endpoint.ports) {
    if (!is_bound(port)) continue;
    proxy.stop(port);
    host_ports.release(port);
  }
}

void Networks::State::forget_flows(const EndpointRecord& endpoint) {
  for (const auto& port : endpoint.ports) {
    // An older kernel cannot: such flows then end after two minutes of silence.
    if (port.protocol == Protocol::Udp && is_bound(port))
      (void)conntrack.forget_udp(port.host_ip.family(), port.host_port);
  }
}

}  // namespace berth::network
