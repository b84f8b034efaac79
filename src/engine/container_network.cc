// Networks of one container.
#include "engine/container_network.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/format.h"
#include "base/log.h"
#include "engine/container_files.h"
#include "engine/container_ports.h"
#include "engine/endpoint_settings.h"
#include "engine/links.h"
#include "engine/sandbox_table.h"
#include "network/resolv_conf.h"
#include "sys/file.h"

namespace berth::engine {
namespace {

void publish_network(Core& core, const network::NetworkRecord& network, std::string action,
                     const std::string& container_id) {
  core.events.publish("network", std::move(action), network.id,
                      {{"container", container_id},
                       {"name", network.name},
                       {"type", std::string(network::to_string(network.driver))}});
}

/// The networks in the order of their interfaces: the one of the network mode first.
std::vector<std::string> ordered_networks(const Core& core, const ContainerRecord& record) {
  std::vector<std::string> names;
  const std::string main = main_network(core, record);
  if (record.endpoints.contains(main)) names.push_back(main);
  for (const auto& [name, settings] : record.endpoints) {
    if (name != main) names.push_back(name);
  }
  return names;
}

/// Those that are asked for, and the first "ethN" that are free.
std::map<std::string, std::string> interface_names(const Core& core, const ContainerRecord& record) {
  std::map<std::string, std::string> names;
  std::set<std::string> taken;
  for (const auto& [network, settings] : record.endpoints) {
    if (std::string asked = asked_interface(settings); !asked.empty()) taken.insert(names[network] = asked);
  }
  int number = 0;
  for (const std::string& network : ordered_networks(core, record)) {
    std::string& name = names[network];
    while (name.empty()) {
      std::string candidate = fmt::format("eth{}", number++);
      if (!taken.contains(candidate)) name = std::move(candidate);
    }
  }
  return names;
}

template <class T, class Parse>
Result<std::optional<T>> parse_optional(const std::string& text, Parse parse) {
  if (text.empty()) return std::optional<T>();
  TRY(T value, parse(text));
  return std::optional<T>(value);
}

Result<network::AttachRequest> attach_request(const Core& core, const ContainerRecord& record,
                                              const std::string& name) {
  const spec::EndpointSettings& settings = record.endpoints.at(name);
  network::AttachRequest request{.network = name,
                                 .container_id = record.id,
                                 .container_name = record.name,
                                 .aliases = dns_aliases(record, settings)};
  if (settings.ipam) {
    TRY(request.ipv4, parse_optional<sys::IpAddress>(settings.ipam->ipv4_address, sys::IpAddress::parse));
    TRY(request.ipv6, parse_optional<sys::IpAddress>(settings.ipam->ipv6_address, sys::IpAddress::parse));
  }
  const std::string& wanted_mac = settings.mac_address.empty() && name == main_network(core, record)
                                      ? record.config.mac_address
                                      : settings.mac_address;
  TRY(request.mac, parse_optional<sys::MacAddress>(wanted_mac, sys::MacAddress::parse));
  auto ipv6_off = record.host_config.sysctls.find("net.ipv6.conf.all.disable_ipv6");
  request.without_ipv6 = ipv6_off != record.host_config.sysctls.end() && ipv6_off->second == "1";
  // Also for what an earlier version has recorded, and for networks that were made after the container.
  auto network = core.network->find(name);
  CHECK(check_endpoint(network ? *network : nullptr, name, settings));
  return request;
}

Result<const network::EndpointRecord*> attach_one(Core& core, ContainerRecord& record,
                                                  const network::AttachRequest& request,
                                                  sys::NetworkNamespace& netns) {
  TRY(const network::EndpointRecord* endpoint, core.network->attach(request, netns));
  bool recorded = SandboxTable::of(core).find(record.id) == nullptr;
  auto settled = endpoint->interface.empty()
                     ? Result<void>()
                     : apply_endpoint(record.endpoints.at(request.network), endpoint->interface, netns);
  if (settled && recorded) settled = core.records->save_endpoint(*endpoint);
  if (!settled) {
    if (auto removal = core.network->detach(endpoint->id); removal) (void)removal->run();
    return std::move(settled).error();
  }
  fill_endpoint(record.endpoints.at(request.network), *endpoint);
  if (auto network = core.network->find(endpoint->network_id); network) {
    spec::EndpointSettings& settings = record.endpoints.at(request.network);
    settings.network_id = (*network)->id;
    if ((*network)->has_names()) settings.dns_names = dns_names(record, settings);
    publish_network(core, **network, "connect", record.id);
  }
  return endpoint;
}

/// Nothing of the outside reaches an internal network: no ports are published on it.
bool is_internal(const Core& core, const std::string& name) {
  auto network = core.network->find(name);
  return network && (*network)->internal;
}

/// The endpoints' links: network -> alias -> name. What does not exist yet is taken for a name.
Result<network::DnsLinks> dns_links(const Core& core, const ContainerRecord& record) {
  network::DnsLinks links;
  for (const auto& [network, settings] : record.endpoints) {
    for (const std::string& text : settings.links) {
      TRY(auto link, parse_link(text));
      auto other = core.containers.find(link.container);
      std::string name = other ? (*other)->record.name : link.container;
      links[network][network::dns_name_of(link.alias)] = network::dns_name_of(name);
    }
  }
  return links;
}

}  // namespace

std::string main_network(const Core& core, const ContainerRecord& record) {
  const std::string& mode = record.host_config.network_mode;
  if (record.endpoints.contains(mode)) return mode;
  auto network = core.network->find(mode);
  return network ? (*network)->name : mode;
}

NetworkPlace network_place(const spec::HostConfig& host) {
  if (host.network_mode == "host") return NetworkPlace::Host;
  if (host.network_mode.starts_with("container:")) return NetworkPlace::Container;
  return NetworkPlace::Own;
}

std::vector<std::string> dns_aliases(const ContainerRecord& record, const spec::EndpointSettings& settings) {
  std::vector<std::string> aliases = settings.aliases;
  for (const std::string& name : {record.short_id(), record.config.hostname}) {
    if (!name.empty() && std::find(aliases.begin(), aliases.end(), name) == aliases.end())
      aliases.push_back(name);
  }
  return aliases;
}

std::vector<std::string> dns_names(const ContainerRecord& record, const spec::EndpointSettings& settings) {
  std::vector<std::string> names = dns_aliases(record, settings);
  std::erase(names, record.name);
  names.insert(names.begin(), record.name);
  return names;
}

void fill_endpoint(spec::EndpointSettings& settings, const network::EndpointRecord& endpoint) {
  settings.network_id = endpoint.network_id;
  settings.endpoint_id = endpoint.id;
  settings.mac_address = endpoint.mac.is_zero() ? "" : endpoint.mac.to_string();
  settings.ip_address = endpoint.ipv4 ? endpoint.ipv4->address.to_string() : "";
  settings.ip_prefix_len = endpoint.ipv4 ? endpoint.ipv4->length : 0;
  settings.gateway = endpoint.gateway4 ? endpoint.gateway4->to_string() : "";
  settings.global_ipv6_address = endpoint.ipv6 ? endpoint.ipv6->address.to_string() : "";
  settings.global_ipv6_prefix_len = endpoint.ipv6 ? endpoint.ipv6->length : 0;
  settings.ipv6_gateway = endpoint.gateway6 ? endpoint.gateway6->to_string() : "";
}

void clear_endpoint(spec::EndpointSettings& settings, const network::EndpointRecord& endpoint) {
  if (endpoint.generated_mac) settings.mac_address.clear();
  settings.endpoint_id.clear();
  settings.ip_address.clear();
  settings.ip_prefix_len = 0;
  settings.gateway.clear();
  settings.global_ipv6_address.clear();
  settings.global_ipv6_prefix_len = 0;
  settings.ipv6_gateway.clear();
}

std::string gateway_network(const Core& core, const ContainerRecord& record) {
  std::string best;
  auto rank = [&](const std::string& name) {
    auto network = core.network->find(name);
    bool internal = network && (*network)->internal;
    return std::pair(!internal, record.endpoints.at(name).gw_priority);
  };
  for (const auto& [name, settings] : record.endpoints) {
    if (best.empty() || rank(name) > rank(best)) best = name;
  }
  return best;
}

Result<std::string> attach_network(Core& core, ContainerRecord& record, const std::string& network,
                                   sys::NetworkNamespace& netns, const std::string& interface,
                                   bool default_gateway) {
  TRY(auto request, attach_request(core, record, network));
  request.interface = asked_interface(record.endpoints.at(network));
  if (request.interface.empty()) request.interface = interface;
  request.default_gateway = default_gateway;
  bool published = std::any_of(record.ports.begin(), record.ports.end(),
                               [](const auto& port) { return !port.second.empty(); });
  bool publishes = default_gateway && !published && !is_internal(core, network);
  if (publishes) {
    TRY(request.ports, port_requests(record.config, record.host_config));
  }
  TRY(const network::EndpointRecord* endpoint, attach_one(core, record, request, netns));
  if (publishes) record.ports = published_ports(record.config, endpoint->ports);
  return endpoint->id;
}

Result<std::vector<std::string>> attach_networks(Core& core, ContainerRecord& record,
                                                 sys::NetworkNamespace& netns,
                                                 const std::map<std::string, FormerAddresses>& former) {
  settle_default_network(*core.network, record.endpoints);
  std::vector<std::string> attached;
  std::vector<network::PublishedPort> published;
  std::string gateway = gateway_network(core, record);
  auto interfaces = interface_names(core, record);
  auto attach_all = [&]() -> Result<void> {
    for (const std::string& name : ordered_networks(core, record)) {
      TRY(auto request, attach_request(core, record, name));
      if (auto had = former.find(name); had != former.end() && !request.ipv4 && !request.ipv6) {
        TRY(request.ipv4, parse_optional<sys::IpAddress>(had->second.ipv4, sys::IpAddress::parse));
        TRY(request.ipv6, parse_optional<sys::IpAddress>(had->second.ipv6, sys::IpAddress::parse));
      }
      request.interface = interfaces.at(name);
      request.default_gateway = name == gateway;
      if (request.default_gateway && !is_internal(core, name)) {
        TRY(request.ports, port_requests(record.config, record.host_config));
      }
      TRY(const network::EndpointRecord* endpoint, attach_one(core, record, request, netns));
      attached.push_back(endpoint->id);
      published.insert(published.end(), endpoint->ports.begin(), endpoint->ports.end());
    }
    return {};
  };
  if (auto done = attach_all(); !done) {
    auto removal = detach_networks(core, record, attached);
    if (auto removed = removal.run(); !removed) log::warn("{}", removed.error().message());
    return std::move(done).error();
  }
  record.ports = published_ports(record.config, published);
  return attached;
}

network::LinkRemoval detach_networks(Core& core, ContainerRecord& record,
                                     const std::vector<std::string>& endpoints) {
  network::LinkRemoval all;
  for (const std::string& id : endpoints) {
    network::EndpointRecord leaving;
    for (const network::EndpointRecord* endpoint : core.network->endpoints_of_container(record.id)) {
      if (endpoint->id == id) leaving = *endpoint;
    }
    for (auto& [name, settings] : record.endpoints) {
      if (settings.endpoint_id != id) continue;
      clear_endpoint(settings, leaving);
      if (auto network = core.network->find(name); network)
        publish_network(core, **network, "disconnect", record.id);
    }
    auto removal = core.network->detach(id);
    if (removal)
      all.host_links.insert(all.host_links.end(), removal->host_links.begin(), removal->host_links.end());
    if (auto removed = core.records->remove_endpoint(id); !removed) {
      log::warn("endpoint {}: {}", id, removed.error().message());
    }
  }
  record.ports.clear();
  return all;
}

io::Task<void> run_removal(Core& core, network::LinkRemoval removal) {
  auto work = [removal] { return removal.run(); };
  auto removed = co_await core.loop.on_worker(work);
  if (!removed) log::warn("{}", removed.error().message());
}

Result<void> serve_names(Core& core, const ContainerRecord& record, const sys::NetworkNamespace& netns) {
  if (!core.network->needs_dns(record.id)) return {};
  TRY(auto links, dns_links(core, record));
  auto resolver = network::make_resolv_conf(network::read_host_resolv_conf(), dns_options(record),
                                            network::ResolverView::EmbeddedDns, false);
  return core.network->serve_dns(record.id, netns, resolver.upstream, std::move(links));
}

Result<void> write_container_files(Core& core, ContainerRecord& record) {
  NetworkPlace place = network_place(record.host_config);
  if (place == NetworkPlace::Container) return {};  // those of the other container are mounted
  std::string directory = core.container_dir(record.id);
  FileInputs inputs{.record = &record,
                    .endpoints = core.network->endpoints_of_container(record.id),
                    .host_network = place == NetworkPlace::Host,
                    .host_resolv_conf = network::read_host_resolv_conf(),
                    .host_gateways = core.network->host_gateways()};
  for (const auto& [name, settings] : record.endpoints) {
    auto network = core.network->find(name);
    if (network && (*network)->has_names()) inputs.user_defined_network = true;
  }
  if (inputs.host_network) {
    if (auto hosts = sys::read_file("/etc/hosts", 1 << 20)) inputs.host_hosts = std::move(*hosts);
  }
  TRY(inputs.links, link_addresses(core, record));
  TRY(auto files, plan_files(inputs));
  return write_files(directory, files);
}

}  // namespace berth::engine
