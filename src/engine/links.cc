// Legacy links.
#include "engine/links.h"

#include <algorithm>

#include "base/format.h"

namespace berth::engine {
namespace {

struct Linked {
  ContainerHandle container;
  LinkName name;
  std::string address;
};

bool links_are_legacy(const ContainerRecord& record) {
  return record.host_config.network_mode == "bridge";
}

/// Who shares another's network is reached there.
Result<ContainerHandle> find_linked(const Core& core, std::string_view name) {
  TRY(auto other, core.containers.find(name));
  for (int shared = 0; shared < 16 && other->record.host_config.network_mode.starts_with("container:");
       ++shared) {
    TRY(other, core.containers.find(std::string_view(other->record.host_config.network_mode).substr(10)));
  }
  return other;
}

std::vector<network::ExposedPort> ports_of(const spec::ContainerConfig& config) {
  std::vector<network::ExposedPort> ports;
  for (const std::string& text : config.exposed_ports) {
    auto port = spec::parse_container_port(text);
    if (!port) continue;
    if (auto protocol = network::parse_protocol(port->protocol)) ports.push_back({*protocol, port->port});
  }
  return ports;
}

Result<std::vector<Linked>> linked_containers(Core& core, const ContainerRecord& record) {
  std::vector<Linked> linked;
  if (!links_are_legacy(record)) return linked;
  for (const std::string& text : record.host_config.links) {
    TRY(auto name, parse_link(text));
    TRY(auto other, find_linked(core, name.container));
    if (other->record.host_config.network_mode == "host") {
      return Error(Kind::InvalidArgument,
                   "conflicting options: host type networking can't be used with links. This would result in "
                   "undefined behavior");
    }
    if (!is_alive(other->record.state.status)) {
      return failure(Kind::WrongState, "Cannot link to a non running container: /{} AS /{}/{}",
                     other->record.name, record.name, name.alias);
    }
    auto endpoint = other->record.endpoints.find("bridge");
    if (endpoint == other->record.endpoints.end()) {
      return failure(Kind::WrongState, "Cannot link to /{}, as it does not belong to the default network",
                     other->record.name);
    }
    linked.push_back({other, std::move(name), endpoint->second.ip_address});
  }
  return linked;
}

std::string upper(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return std::toupper(c); });
  std::replace(result.begin(), result.end(), '-', '_');
  return result;
}

}  // namespace

Result<LinkName> parse_link(std::string_view text) {
  size_t colon = text.find(':');
  LinkName link{.container = std::string(text.substr(0, colon))};
  link.alias = colon == std::string_view::npos ? link.container : std::string(text.substr(colon + 1));
  // Inspect shows links as "/container:/owner/alias"; clients send that back.
  if (size_t slash = link.alias.rfind('/'); slash != std::string::npos) link.alias.erase(0, slash + 1);
  if (link.container.starts_with('/')) link.container.erase(0, 1);
  if (link.container.empty() || link.alias.empty() || link.alias.find(':') != std::string::npos) {
    return failure(Kind::InvalidArgument, "bad format for links: {}", text);
  }
  return link;
}

Result<std::vector<std::pair<sys::IpAddress, std::string>>> link_addresses(Core& core,
                                                                           const ContainerRecord& record) {
  std::vector<std::pair<sys::IpAddress, std::string>> lines;
  TRY(auto linked, linked_containers(core, record));
  for (const Linked& link : linked) {
    TRY(auto address, sys::IpAddress::parse(link.address));
    const ContainerRecord& other = link.container->record;
    std::string names = link.name.alias + " " + other.config.hostname;
    if (other.name != link.name.alias) names += " " + other.name;
    lines.emplace_back(address, std::move(names));
  }
  return lines;
}

std::vector<ContainerHandle> linking_containers(const Core& core, const ContainerRecord& record) {
  std::vector<ContainerHandle> linking;
  for (const auto& [id, other] : core.containers.linking()) {
    const spec::StringList& links = other->record.host_config.links;
    if (!is_alive(other->record.state.status) || !links_are_legacy(other->record)) continue;
    bool links_here = std::any_of(links.begin(), links.end(), [&](const std::string& text) {
      auto name = parse_link(text);
      if (!name) return false;
      auto found = core.containers.find(name->container);
      return found && (*found)->record.id == record.id;
    });
    if (links_here) linking.push_back(other);
  }
  return linking;
}

Result<void> open_links(Core& core, const ContainerRecord& record) {
  if (!links_are_legacy(record)) return {};
  for (const std::string& text : record.host_config.links) {
    auto name = parse_link(text);
    if (!name) continue;
    auto other = find_linked(core, name->container);
    if (!other) continue;
    CHECK(core.network->open_link(
        {.source = record.id, .target = (*other)->record.id, .ports = ports_of((*other)->record.config)}));
  }
  return {};
}

void close_link(Core& core, const ContainerRecord& record, const LinkName& former) {
  auto target = find_linked(core, former.container);
  if (!target) return;
  for (const std::string& text : record.host_config.links) {
    auto name = parse_link(text);
    auto other = name ? find_linked(core, name->container) : Result<ContainerHandle>(name.error());
    if (other && *other == *target) return;
  }
  core.network->close_link("bridge", record.id, (*target)->record.id);
}

Result<std::vector<std::string>> link_environment(Core& core, const ContainerRecord& record) {
  std::vector<std::string> variables;
  TRY(auto linked, linked_containers(core, record));
  for (const Linked& link : linked) {
    auto more = link_variables(link.container->record, record.name, link.name.alias, link.address);
    variables.insert(variables.end(), more.begin(), more.end());
  }
  return variables;
}

std::vector<std::string> link_variables(const ContainerRecord& other, std::string_view own_name,
                                        std::string_view alias, std::string_view address) {
  std::vector<std::string> variables;
  std::string prefix = upper(alias);
  std::vector<spec::ContainerPort> ports;
  for (const std::string& text : other.config.exposed_ports) {
    if (auto port = spec::parse_container_port(text)) ports.push_back(*port);
  }
  std::sort(ports.begin(), ports.end());
  auto url = [&](const spec::ContainerPort& port) {
    return fmt::format("{}://{}:{}", port.protocol, address, port.port);
  };
  if (!ports.empty()) variables.push_back(fmt::format("{}_PORT={}", prefix, url(ports.front())));
  for (const spec::ContainerPort& port : ports) {
    std::string name = fmt::format("{}_PORT_{}_{}", prefix, port.port, upper(port.protocol));
    variables.push_back(fmt::format("{}={}", name, url(port)));
    variables.push_back(fmt::format("{}_ADDR={}", name, address));
    variables.push_back(fmt::format("{}_PORT={}", name, port.port));
    variables.push_back(fmt::format("{}_PROTO={}", name, port.protocol));
  }
  variables.push_back(fmt::format("{}_NAME=/{}/{}", prefix, own_name, alias));
  for (const std::string& variable : other.config.env) {
    std::string_view name = std::string_view(variable).substr(0, variable.find('='));
    if (name == "HOME" || name == "PATH" || name.size() == variable.size()) continue;
    variables.push_back(fmt::format("{}_ENV_{}", prefix, variable));
  }
  return variables;
}

}  // namespace berth::engine
