// Names of containers.
#include "network/dns_names.h"

#include <algorithm>
#include <cctype>

namespace berth::network {
namespace {

constexpr uint16_t kInternet = 1;
constexpr size_t kShortId = 12;

bool has_name(const DnsEndpoint& endpoint, std::string_view name) {
  return std::find(endpoint.names.begin(), endpoint.names.end(), name) != endpoint.names.end();
}

/// "web.mynet" -> "web" on mynet; any other name stays as it is.
std::string_view within(std::string_view name, const DnsNetwork& network) {
  std::string suffix = "." + dns_name_of(network.name);
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
}

DnsDecision answer_reverse(const IpAddress& address, const std::vector<const DnsNetwork*>& networks) {
  DnsDecision decision;
  for (const auto* network : networks) {
    for (const auto& endpoint : network->endpoints) {
      if (endpoint.ipv4 != address && endpoint.ipv6 != address) continue;
      if (endpoint.names.empty()) continue;
      decision.act = DnsDecision::Act::Answer;
      decision.answer.pointer = endpoint.names.front() + "." + dns_name_of(network->name);
      return decision;
    }
  }
  return decision;
}

/// What the asker's link on this network calls by this name; the name itself without such a link.
std::string_view linked_name(std::string_view name, const DnsNetwork& network, const DnsLinks& links) {
  auto own = links.find(network.name);
  if (own == links.end()) return name;
  auto link = own->second.find(name);
  return link == own->second.end() ? name : std::string_view(link->second);
}

DnsDecision answer_name(const DnsQuestion& question, const std::vector<const DnsNetwork*>& networks,
                        const DnsLinks& links) {
  DnsDecision decision;
  for (const auto* network : networks) {
    std::string_view name = linked_name(question.name, *network, links);
    std::string_view short_name = linked_name(within(question.name, *network), *network, links);
    for (const auto& endpoint : network->endpoints) {
      if (!has_name(endpoint, name) && !has_name(endpoint, short_name)) continue;
      decision.act = DnsDecision::Act::Answer;
      bool wants_v6 = question.type == static_cast<uint16_t>(DnsType::Aaaa);
      const auto& address = wants_v6 ? endpoint.ipv6 : endpoint.ipv4;
      bool wants_address = wants_v6 || question.type == static_cast<uint16_t>(DnsType::A);
      if (wants_address && address) decision.answer.addresses.push_back(*address);
    }
  }
  return decision;
}

}  // namespace

std::string dns_name_of(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

DnsEndpoint dns_endpoint_of(const EndpointRecord& endpoint) {
  DnsEndpoint result;
  result.names.push_back(dns_name_of(endpoint.container_name));
  for (const auto& alias : endpoint.aliases) result.names.push_back(dns_name_of(alias));
  result.names.push_back(dns_name_of(std::string_view(endpoint.container_id).substr(0, kShortId)));
  if (endpoint.ipv4) result.ipv4 = endpoint.ipv4->address;
  if (endpoint.ipv6) result.ipv6 = endpoint.ipv6->address;
  return result;
}

DnsDecision decide_dns(const DnsQuestion& question, const std::vector<const DnsNetwork*>& networks,
                       bool has_way_out, const DnsLinks& links) {
  DnsDecision decision;
  if (question.dns_class == kInternet && !question.name.empty()) {
    auto reverse = parse_reverse_name(question.name);
    if (question.type == static_cast<uint16_t>(DnsType::Ptr) && reverse) {
      decision = answer_reverse(*reverse, networks);
    } else {
      decision = answer_name(question, networks, links);
    }
  }
  if (decision.act == DnsDecision::Act::Forward && !has_way_out) decision.act = DnsDecision::Act::Refuse;
  return decision;
}

}  // namespace berth::network
