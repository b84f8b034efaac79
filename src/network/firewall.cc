// Rules of berth's tables.
#include "network/firewall.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace berth::network {
namespace {

using sys::NftCompare;
using sys::NftElement;
using sys::NftFamily;
using sys::NftHook;
using sys::NftKey;
using sys::NftRule;
using sys::NftSet;
using sys::NftTransaction;
using sys::NftType;
using sys::NftVerdict;
using Meta = sys::NftRule::Meta;

// Hooks run in the order of these priorities, which are nft's names raw, dstnat, filter and srcnat.
constexpr int32_t kRaw = -300;
constexpr int32_t kDestinationNat = -100;
constexpr int32_t kFilter = 0;
constexpr int32_t kSourceNat = 100;

constexpr uint32_t kRouteLocal = 2;   ///< RTN_LOCAL
constexpr uint32_t kEstablished = 2;  ///< NF_CT_STATE_BIT(IP_CT_ESTABLISHED)
constexpr uint32_t kRelated = 4;      ///< NF_CT_STATE_BIT(IP_CT_RELATED)
constexpr uint32_t kEstablishedRelated = kEstablished | kRelated;
constexpr uint32_t kDestinationNatted = 0x20;  ///< IPS_DST_NAT

// Lookups of the port maps: the key from word 0, the result from word 8.
constexpr uint32_t kResultWord = 8;

// In the headers of TCP, UDP and SCTP.
constexpr uint32_t kSourcePort = 0;
constexpr uint32_t kDestinationPort = 2;

constexpr char kPublished[] = "published";
constexpr char kPublishedAny[] = "published_any";
constexpr char kOpen[] = "open";
constexpr char kLinked[] = "linked";

// Chains of one network after the other: adding one is a few rules at their ends.
constexpr char kWithin[] = "within";
constexpr char kOpenings[] = "openings";
constexpr char kSources[] = "sources";
/// Where networks whose containers do not reach each other send what goes from one to another.
constexpr char kLinks[] = "links";
constexpr char kRedirects[] = "redirects";

std::span<const uint8_t> bytes_of(const uint32_t& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof(value)};
}

/// The rules of one family.
class FamilyPlan {
 public:
  FamilyPlan(NftTransaction& transaction, std::string_view table, NftFamily family)
      : transaction_(transaction), table_(table), family_(family), v4_(family == NftFamily::Ip) {
    NftType address = v4_ ? NftType::Ipv4Address : NftType::Ipv6Address;
    bridges_ = {kBridgeSet, 1, {NftType::InterfaceName}, {}};
    published_ = {kPublished, 2, {NftType::Protocol, address, NftType::Port}, {address, NftType::Port}};
    published_any_ = {kPublishedAny, 3, {NftType::Protocol, NftType::Port}, {address, NftType::Port}};
    open_ = {kOpen, 4, {NftType::Protocol, address, NftType::Port}, {}};
    linked_ = {kLinked, 5, {address, address, NftType::Protocol, NftType::Port}, {}};
  }

  void write(const FirewallState& state) {
    // Deleting what may not exist is an error; adding what exists is not.
    transaction_.add_table(family_, table_).delete_table(family_, table_).add_table(family_, table_);
    for (const NftSet* set : {&bridges_, &published_, &published_any_, &open_, &linked_}) {
      transaction_.add_set(family_, table_, *set);
    }
    for (const char* name : {kWithin, kOpenings, kSources, kLinks})
      transaction_.add_chain(family_, table_, {name, {}, {}, 0});
    let_links_pass();
    protect_loopback();
    redirect_published();
    forward();
    translate_sources();
    if (!v4_) chain(kRedirects, sys::NftChainType::Filter, NftHook::Output, kFilter);
    for (const auto& network : state.networks) add(network);
  }

  void add(const FirewallNetwork& network) {
    std::vector<NftElement> name = {{NftKey().interface(network.bridge), {}}};
    transaction_.add_elements(family_, table_, kBridgeSet, name);
    within(network);
    if (network.closed && !v4_) suppress_redirects(network);
    if (!subnet(network)) return;
    if (!network.internal) open_ports(network);
    translate_sources_of(network);
  }

 private:
  void chain(std::string_view name, sys::NftChainType type, NftHook hook, int32_t priority) {
    transaction_.add_chain(family_, table_, {std::string(name), type, hook, priority});
  }
  void rule(std::string_view chain, const NftRule& rule) {
    transaction_.add_rule(family_, table_, chain, rule);
  }

  std::optional<IpPrefix> subnet(const FirewallNetwork& network) const {
    return v4_ ? network.subnet4 : network.subnet6;
  }
  GatewayMode mode(const FirewallNetwork& network) const { return v4_ ? network.mode4 : network.mode6; }
  uint32_t source_offset() const { return v4_ ? 12 : 8; }
  uint32_t destination_offset() const { return v4_ ? 16 : 24; }
  uint32_t address_size() const { return v4_ ? 4 : 16; }

  NftRule& match_address(NftRule& rule, uint32_t offset, const IpPrefix& prefix, NftCompare how) const {
    IpPrefix ones{v4_ ? IpAddress::v4(0xffffffff) : IpAddress::v6([] {
                    std::array<uint8_t, 16> all;
                    all.fill(0xff);
                    return all;
                  }()),
                  prefix.length};
    IpPrefix mask = ones.network();
    rule.network_header(offset, address_size());
    if (prefix.length < prefix.address.width()) rule.mask(mask.address.bytes());
    return rule.compare(how, prefix.network().address.bytes());
  }
  IpPrefix loopback() const {
    return v4_ ? IpPrefix{IpAddress::v4(127, 0, 0, 0), 8} : *IpPrefix::parse("::1/128");
  }

  static NftRule& match_interface(NftRule& rule, Meta direction, NftCompare how, std::string_view name) {
    return rule.meta(direction).compare(how, name);
  }
  static NftRule& match_bits(NftRule& rule, uint32_t bits) {
    constexpr uint32_t kZero = 0;
    return rule.mask(bytes_of(bits)).compare(NftCompare::NotEqual, bytes_of(kZero));
  }

  /// route_localnet lets the host's 127.0.0.1 be translated on the bridges; without this rule it would also
  /// let containers reach services that listen on the host's loopback (CVE-2020-8558).
  void protect_loopback() {
    if (!v4_) return;
    chain("raw", sys::NftChainType::Filter, NftHook::Prerouting, kRaw);
    NftRule drop;
    drop.meta(Meta::InputName).lookup(bridges_);
    match_address(drop, destination_offset(), loopback(), NftCompare::Equal).verdict(NftVerdict::Drop);
    rule("raw", drop);
  }

  /// Published ports, for what comes in and for what the host itself sends.
  void redirect_published() {
    chain("prerouting", sys::NftChainType::Nat, NftHook::Prerouting, kDestinationNat);
    // A packet for 127.0.0.1 from outside is a martian that routing drops: translated here, a neighbour on
    // the link would reach ports that are published on the loopback only.
    NftRule martian;
    match_interface(martian, Meta::InputName, NftCompare::NotEqual, "lo");
    match_address(martian, destination_offset(), loopback(), NftCompare::Equal).verdict(NftVerdict::Return);
    rule("prerouting", martian);
    translate_destination("prerouting");
    chain("output", sys::NftChainType::Nat, NftHook::Output, kDestinationNat);
    if (!v4_) {
      // IPv6 has no route_localnet: answers to ::1 from another link are dropped. PortProxy serves these.
      NftRule local;
      match_address(local, destination_offset(), loopback(), NftCompare::Equal).verdict(NftVerdict::Return);
      rule("output", local);
    }
    translate_destination("output");
  }

  void translate_destination(std::string_view chain) {
    if (!v4_) {
      // The container could not answer an address that means something on another link. PortProxy serves
      // these.
      NftRule link_local;
      match_address(link_local, source_offset(), *IpPrefix::parse("fe80::/10"), NftCompare::Equal)
          .verdict(NftVerdict::Return);
      rule(chain, link_local);
    }
    const uint32_t address_words = address_size() / 4;
    NftRule exact;
    exact.meta(Meta::Protocol)
        .network_header(destination_offset(), address_size(), 1)
        .transport_header(2, 2, 1 + address_words)
        .lookup_map(published_, 0, kResultWord)
        .destination_nat(family_, kResultWord, kResultWord + address_words);
    rule(chain, exact);
    NftRule any;
    any.destination_route_type()
        .compare(NftCompare::Equal, bytes_of(kRouteLocal))
        .meta(Meta::Protocol)
        .transport_header(2, 2, 1)
        .lookup_map(published_any_, 0, kResultWord)
        .destination_nat(family_, kResultWord, kResultWord + address_words);
    rule(chain, any);
  }

  static NftRule jump(std::string_view chain) {
    NftRule rule;
    rule.verdict(NftVerdict::Jump, chain);
    return rule;
  }

  void forward() {
    chain("forward", sys::NftChainType::Filter, NftHook::Forward, kFilter);
    NftRule not_ours;
    not_ours.meta(Meta::InputName).lookup(bridges_, 0, true);
    not_ours.meta(Meta::OutputName).lookup(bridges_, 0, true).verdict(NftVerdict::Accept);
    rule("forward", not_ours);
    rule("forward", jump(kWithin));
    NftRule replies;
    match_bits(replies.conntrack_state(), kEstablishedRelated).verdict(NftVerdict::Accept);
    rule("forward", replies);
    NftRule published;
    match_bits(published.conntrack_status(), kDestinationNatted).verdict(NftVerdict::Accept);
    rule("forward", published);
    NftRule outbound;
    outbound.meta(Meta::OutputName).lookup(bridges_, 0, true).verdict(NftVerdict::Accept);
    rule("forward", outbound);
    rule("forward", jump(kOpenings));
    // What is left goes to a container and was not asked for: from another network, or from a neighbour that
    // routes to container addresses.
    rule("forward", NftRule().counter().verdict(NftVerdict::Drop));
  }

  /// From one container to another that do not reach each other: what a link has opened, and what answers
  /// it. No more than that goes on when the link ends, also of a connection that has begun.
  void let_links_pass() {
    NftRule asked;
    linked_addresses(asked, source_offset(), destination_offset(), kDestinationPort);
    asked.lookup(linked_).verdict(NftVerdict::Accept);
    rule(kLinks, asked);
    NftRule answered;
    match_bits(answered.conntrack_state(), kEstablished);
    linked_addresses(answered, destination_offset(), source_offset(), kSourcePort);
    answered.lookup(linked_).verdict(NftVerdict::Accept);
    rule(kLinks, answered);
    NftRule failed;  // ICMP's errors about them
    match_bits(failed.conntrack_state(), kRelated).verdict(NftVerdict::Accept);
    rule(kLinks, failed);
    NftRule published;  // at the host's address, as everybody reaches it
    match_bits(published.conntrack_status(), kDestinationNatted).verdict(NftVerdict::Accept);
    rule(kLinks, published);
    rule(kLinks, NftRule().counter().verdict(NftVerdict::Drop));
  }

  /// The host would tell a container, of what it routes within the network, to send it to the other's MAC
  /// address itself, where isolated ports end it. Of IPv4 nobody heeds that without a gateway in between.
  void suppress_redirects(const FirewallNetwork& network) {
    const uint8_t icmp = IPPROTO_ICMPV6;
    const uint8_t redirect = 137;
    NftRule told;
    match_interface(told, Meta::OutputName, NftCompare::Equal, network.bridge);
    told.meta(Meta::Protocol).compare(NftCompare::Equal, std::span<const uint8_t>(&icmp, 1));
    told.transport_header(0, 1).compare(NftCompare::Equal, std::span<const uint8_t>(&redirect, 1));
    rule(kRedirects, told.verdict(NftVerdict::Drop));
  }

  /// The key of the set of linked ports, from word 0.
  void linked_addresses(NftRule& rule, uint32_t source, uint32_t target, uint32_t port_offset) const {
    const uint32_t address_words = address_size() / 4;
    rule.network_header(source, address_size(), 0)
        .network_header(target, address_size(), address_words)
        .meta(Meta::Protocol, 2 * address_words)
        .transport_header(port_offset, 2, 2 * address_words + 1);
  }

  /// Within a network: seen here when bridged packets pass the IP hooks, or when the host routes them.
  /// Nothing else passes an internal one's border.
  void within(const FirewallNetwork& network) {
    NftRule within;
    match_interface(within, Meta::InputName, NftCompare::Equal, network.bridge);
    match_interface(within, Meta::OutputName, NftCompare::Equal, network.bridge);
    if (network.closed) {
      within.verdict(NftVerdict::Jump, kLinks);
    } else {
      within.verdict(NftVerdict::Accept);
    }
    rule(kWithin, within);
    if (!network.internal) return;
    for (Meta direction : {Meta::InputName, Meta::OutputName}) {
      NftRule closed;
      match_interface(closed, direction, NftCompare::Equal, network.bridge).verdict(NftVerdict::Drop);
      rule(kWithin, closed);
    }
  }

  /// What comes to containers at their own addresses. Other networks' containers are let into routed networks
  /// alone.
  void open_ports(const FirewallNetwork& network) {
    if (mode(network) == GatewayMode::NatUnprotected) {
      NftRule all;
      all.meta(Meta::InputName).lookup(bridges_, 0, true);
      match_interface(all, Meta::OutputName, NftCompare::Equal, network.bridge).verdict(NftVerdict::Accept);
      rule(kOpenings, all);
      return;
    }
    if (mode(network) == GatewayMode::Routed) {
      const auto icmp = static_cast<uint8_t>(v4_ ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
      NftRule echo;
      match_interface(echo, Meta::OutputName, NftCompare::Equal, network.bridge);
      echo.meta(Meta::Protocol)
          .compare(NftCompare::Equal, std::span<const uint8_t>(&icmp, 1))
          .verdict(NftVerdict::Accept);
      rule(kOpenings, echo);
    }
    if (mode(network) == GatewayMode::Routed || network.direct) {
      NftRule from_anywhere;
      if (mode(network) != GatewayMode::Routed) from_anywhere.meta(Meta::InputName).lookup(bridges_, 0, true);
      accept_open(from_anywhere, network);
      return;
    }
    for (const std::string& interface : network.trusted) {
      NftRule from_trusted;
      match_interface(from_trusted, Meta::InputName, NftCompare::Equal, interface);
      accept_open(from_trusted, network);
    }
  }

  void accept_open(NftRule& rule, const FirewallNetwork& network) {
    match_interface(rule, Meta::OutputName, NftCompare::Equal, network.bridge);
    rule.meta(Meta::Protocol)
        .network_header(destination_offset(), address_size(), 1)
        .transport_header(2, 2, 1 + address_size() / 4)
        .lookup(open_)
        .verdict(NftVerdict::Accept);
    this->rule(kOpenings, rule);
  }

  void translate_sources() {
    chain("postrouting", sys::NftChainType::Nat, NftHook::Postrouting, kSourceNat);
    rule("postrouting", jump(kSources));
    if (!v4_) return;
    NftRule local;
    local.meta(Meta::OutputName).lookup(bridges_);
    match_address(local, source_offset(), loopback(), NftCompare::Equal).masquerade();
    rule("postrouting", local);
  }

  void translate_sources_of(const FirewallNetwork& network) {
    auto range = subnet(network);
    if (network.masquerade && !network.internal && mode(network) != GatewayMode::Routed) {
      NftRule outbound;
      match_interface(outbound, Meta::OutputName, NftCompare::NotEqual, network.bridge);
      match_address(outbound, source_offset(), *range, NftCompare::Equal);
      if (const auto& source = v4_ ? network.source4 : network.source6) {
        outbound.load(source->bytes()).source_nat(family_, 0);
      } else {
        outbound.masquerade();
      }
      rule(kSources, outbound);
    }
    // A container that reaches itself or a neighbour through the host's address: the answer must come back
    // through the host, which undoes the translation.
    NftRule hairpin;
    match_interface(hairpin, Meta::OutputName, NftCompare::Equal, network.bridge);
    match_address(hairpin, source_offset(), *range, NftCompare::Equal);
    match_bits(hairpin.conntrack_status(), kDestinationNatted).masquerade();
    rule(kSources, hairpin);
  }

  NftTransaction& transaction_;
  std::string_view table_;
  NftFamily family_;
  bool v4_;
  NftSet bridges_;
  NftSet published_;
  NftSet published_any_;
  NftSet open_;
  NftSet linked_;
};

NftElement element_of(const PortForward& port) {
  NftKey key;
  key.byte(static_cast<uint8_t>(port.protocol));
  if (!port.host_ip.is_unspecified()) key.bytes(port.host_ip.bytes());
  key.port(port.host_port);
  return {key, NftKey().bytes(port.container_ip.bytes()).port(port.container_port)};
}

/// The elements of one family's map, exact or any.
std::vector<NftElement> elements_of(const std::vector<PortForward>& ports, IpFamily family, bool any) {
  std::vector<NftElement> elements;
  for (const auto& port : ports) {
    if (port.host_ip.family() != family || port.host_ip.is_unspecified() != any) continue;
    elements.push_back(element_of(port));
  }
  return elements;
}

std::vector<NftElement> elements_of(const std::vector<OpenPort>& ports, IpFamily family) {
  std::vector<NftElement> elements;
  for (const auto& port : ports) {
    if (port.container_ip.family() != family) continue;
    elements.push_back({NftKey()
                            .byte(static_cast<uint8_t>(port.protocol))
                            .bytes(port.container_ip.bytes())
                            .port(port.container_port),
                        {}});
  }
  return elements;
}

std::vector<NftElement> elements_of(const std::vector<LinkedPort>& ports, IpFamily family) {
  std::vector<NftElement> elements;
  for (const auto& port : ports) {
    if (port.container_ip.family() != family) continue;
    elements.push_back({NftKey()
                            .bytes(port.source_ip.bytes())
                            .bytes(port.container_ip.bytes())
                            .byte(static_cast<uint8_t>(port.protocol))
                            .port(port.container_port),
                        {}});
  }
  return elements;
}

NftFamily table_family(IpFamily family) {
  return family == IpFamily::V4 ? NftFamily::Ip : NftFamily::Ip6;
}

template <class Change>
void for_each_map(const PublishedRules& ports, const FirewallFamilies& families, Change change) {
  for (IpFamily family : families.list()) {
    for (bool any : {false, true}) {
      auto elements = elements_of(ports.forwards, family, any);
      if (!elements.empty()) change(table_family(family), any ? kPublishedAny : kPublished, elements);
    }
    auto open = elements_of(ports.open, family);
    if (!open.empty()) change(table_family(family), kOpen, open);
    auto linked = elements_of(ports.linked, family);
    if (!linked.empty()) change(table_family(family), kLinked, linked);
  }
}

}  // namespace

std::vector<IpFamily> FirewallFamilies::list() const {
  std::vector<IpFamily> families;
  for (IpFamily family : {IpFamily::V4, IpFamily::V6}) {
    if (has(family)) families.push_back(family);
  }
  return families;
}

NftTransaction plan_publish(std::string_view table, const PublishedRules& ports,
                            const FirewallFamilies& families) {
  NftTransaction transaction;
  auto add = [&](NftFamily family, const char* map, const std::vector<NftElement>& elements) {
    transaction.add_elements(family, table, map, elements);
  };
  for_each_map(ports, families, add);
  return transaction;
}

NftTransaction plan_unpublish(std::string_view table, const PublishedRules& ports,
                              const FirewallFamilies& families) {
  NftTransaction transaction;
  auto remove = [&](NftFamily family, const char* map, const std::vector<NftElement>& elements) {
    transaction.delete_elements(family, table, map, elements);
  };
  for_each_map(ports, families, remove);
  return transaction;
}

NftTransaction plan_firewall(std::string_view table, const FirewallState& state,
                             const FirewallFamilies& families) {
  NftTransaction transaction;
  for (IpFamily family : families.list()) FamilyPlan(transaction, table, table_family(family)).write(state);
  auto add = [&](NftFamily family, const char* map, const std::vector<NftElement>& elements) {
    transaction.add_elements(family, table, map, elements);
  };
  for_each_map(state.ports, families, add);
  return transaction;
}

NftTransaction plan_add_network(std::string_view table, const FirewallNetwork& network,
                                const FirewallFamilies& families) {
  NftTransaction transaction;
  for (IpFamily family : families.list()) FamilyPlan(transaction, table, table_family(family)).add(network);
  return transaction;
}

std::vector<std::string> network_chains() {
  return {kWithin, kOpenings, kSources, kRedirects};
}

NftTransaction plan_remove_tables(std::string_view table, const std::vector<NftFamily>& families) {
  NftTransaction transaction;
  for (NftFamily family : families) transaction.delete_table(family, table);
  return transaction;
}

}  // namespace berth::network
