// Settings of an endpoint.
#include "engine/endpoint_settings.h"

#include <algorithm>
#include <array>

#include "base/format.h"
#include "sys/netlink.h"

namespace berth::engine {
namespace {

constexpr size_t kMaxLinkName = 15;
constexpr size_t kMaxSysctls = 64;
constexpr size_t kMaxLinkLocal = 32;

Error invalid(std::string cause) {
  return Error(Kind::InvalidArgument, "invalid endpoint settings: " + std::move(cause));
}

/// What the kernel takes, and what names one interface among sysctls.
bool is_interface_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxLinkName || name == "lo" || name == "all" || name == "default")
    return false;
  if (name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-' || c == '.'; });
}

bool is_sysctl_word(std::string_view word) {
  if (word.empty() || word.size() > 64) return false;
  return std::all_of(word.begin(), word.end(),
                     [](unsigned char c) { return std::islower(c) || std::isdigit(c) || c == '_'; });
}

bool is_sysctl_value(std::string_view value) {
  if (value.empty() || value.size() > 64) return false;
  return std::all_of(value.begin(), value.end(), [](unsigned char c) { return c >= ' ' && c < 0x7f; });
}

bool is_link_local(const sys::IpAddress& address) {
  static const sys::IpPrefix v4 = *sys::IpPrefix::parse("169.254.0.0/16");
  static const sys::IpPrefix v6 = *sys::IpPrefix::parse("fe80::/10");
  return (address.is_v6() ? v6 : v4).contains(address);
}

Result<void> check_address(const network::NetworkRecord* network, const std::string& text,
                           sys::IpFamily family) {
  if (text.empty()) return {};
  bool v4 = family == sys::IpFamily::V4;
  auto address = sys::IpAddress::parse(text);
  bool mapped = !v4 && text.find('.') != std::string::npos;
  if (!address || address->family() != family || mapped)
    return invalid(fmt::format("invalid {} address: {}", v4 ? "IPv4" : "IPv6", text.substr(0, 64)));
  if (network == nullptr || !network->has_links()) return {};
  const network::IpamPool* pool = network->pool(family);
  if (pool == nullptr || pool->automatic) {
    return invalid(
        "user specified IP address is supported only when connecting to networks with user configured "
        "subnets");
  }
  return {};
}

Result<void> check_names(std::string_view network, const spec::EndpointSettings& settings) {
  constexpr std::array<std::string_view, 4> predefined = {"bridge", "default", "host", "none"};
  if (std::find(predefined.begin(), predefined.end(), network) == predefined.end()) return {};
  if (settings.ipam && !(settings.ipam->ipv4_address.empty() && settings.ipam->ipv6_address.empty()))
    return invalid("user specified IP address is supported on user defined networks only");
  if (!settings.aliases.empty())
    return invalid("network-scoped alias is supported only for containers in user defined networks");
  return {};
}

Result<void> check_link_local(const spec::EndpointSettings& settings) {
  if (!settings.ipam) return {};
  if (settings.ipam->link_local_ips.size() > kMaxLinkLocal)
    return invalid(fmt::format("more than {} link-local addresses", kMaxLinkLocal));
  for (const std::string& text : settings.ipam->link_local_ips) {
    auto address = sys::IpAddress::parse(text);
    if (!address || !is_link_local(*address))
      return invalid(fmt::format("invalid link-local IP address: {}", text.substr(0, 64)));
  }
  return {};
}

/// "net.ipv4.conf.IFNAME.log_martians=1"; the command writes IFNAME in small letters.
Result<EndpointSysctl> parse_sysctl(std::string_view text, std::string_view interface) {
  size_t equals = text.find('=');
  std::vector<std::string_view> words;
  for (std::string_view rest = text.substr(0, equals); words.size() < 8;) {
    size_t dot = rest.find('.');
    words.push_back(rest.substr(0, dot));
    if (dot == rest.npos) break;
    rest.remove_prefix(dot + 1);
  }
  bool known = equals != text.npos && words.size() == 5 && words[0] == "net" &&
               (words[1] == "ipv4" || words[1] == "ipv6" || words[1] == "mpls") &&
               (words[3] == "IFNAME" || words[3] == "ifname");
  if (!known || !is_sysctl_word(words[2]) || !is_sysctl_word(words[4]) ||
      !is_sysctl_value(text.substr(equals + 1))) {
    return invalid(
        fmt::format("unrecognised network interface sysctl '{}'; represent 'net.X.Y.ethN.Z=V' as "
                    "'net.X.Y.IFNAME.Z=V', 'X' "
                    "must be 'ipv4', 'ipv6' or 'mpls'",
                    text.substr(0, 128)));
  }
  return EndpointSysctl{fmt::format("net/{}/{}/{}/{}", words[1], words[2], interface, words[4]),
                        std::string(text.substr(equals + 1))};
}

const std::string* option_of(const spec::EndpointSettings& settings, std::string_view name) {
  auto found = settings.driver_opts.find(std::string(name));
  return found == settings.driver_opts.end() ? nullptr : &found->second;
}

}  // namespace

void settle_default_network(const network::Networks& networks, spec::EndpointMap& endpoints) {
  auto found = endpoints.find("bridge");
  if (found == endpoints.end() || networks.find("bridge")) return;
  endpoints.erase(found);
  if (endpoints.empty()) endpoints.try_emplace("none");
}

std::string asked_interface(const spec::EndpointSettings& settings) {
  const std::string* name = option_of(settings, kEndpointInterface);
  return name == nullptr ? std::string() : *name;
}

Result<std::vector<EndpointSysctl>> endpoint_sysctls(const spec::EndpointSettings& settings,
                                                     std::string_view interface) {
  std::vector<EndpointSysctl> sysctls;
  const std::string* option = option_of(settings, kEndpointSysctls);
  if (option == nullptr || option->empty()) return sysctls;
  for (std::string_view rest = *option;;) {
    size_t comma = rest.find(',');
    TRY(EndpointSysctl sysctl, parse_sysctl(rest.substr(0, comma), interface));
    sysctls.push_back(std::move(sysctl));
    if (sysctls.size() > kMaxSysctls) return invalid(fmt::format("more than {} sysctls", kMaxSysctls));
    if (comma == rest.npos) return sysctls;
    rest.remove_prefix(comma + 1);
  }
}

Result<void> check_endpoint(const network::NetworkRecord* network, std::string_view name,
                            const spec::EndpointSettings& settings) {
  CHECK(check_names(name, settings));
  if (settings.ipam) {
    CHECK(check_address(network, settings.ipam->ipv4_address, sys::IpFamily::V4));
    CHECK(check_address(network, settings.ipam->ipv6_address, sys::IpFamily::V6));
  }
  CHECK(check_link_local(settings));
  std::string interface = asked_interface(settings);
  if (!interface.empty() && !is_interface_name(interface))
    return invalid(fmt::format("invalid interface name \"{}\"", interface.substr(0, 64)));
  CHECK(endpoint_sysctls(settings, interface));
  return {};
}

Result<void> apply_endpoint(const spec::EndpointSettings& settings, const std::string& interface,
                            sys::NetworkNamespace& netns) {
  if (settings.ipam && !settings.ipam->link_local_ips.empty()) {
    TRY(sys::Link link, netns.routes().link(interface));
    sys::RouteBatch batch;
    bool needs_ipv6 = false;
    for (const std::string& text : settings.ipam->link_local_ips) {
      TRY(sys::IpAddress address, sys::IpAddress::parse(text));
      needs_ipv6 = needs_ipv6 || address.is_v6();
      uint8_t length = address.is_v6() ? 64 : 16;
      batch.add_address({link.index, {address, length}});
    }
    // On a network without IPv6 it is switched off.
    auto enable = [&] { return sys::write_sysctl("net/ipv6/conf/" + interface + "/disable_ipv6", "0"); };
    if (needs_ipv6) CHECK(netns.run_inside(enable));
    CHECK(netns.routes().run(batch));
  }
  TRY(auto sysctls, endpoint_sysctls(settings, interface));
  if (sysctls.empty()) return {};
  return netns.run_inside([&]() -> Result<void> {
    for (const EndpointSysctl& sysctl : sysctls) CHECK(sys::write_sysctl(sysctl.path, sysctl.value));
    return {};
  });
}

}  // namespace berth::engine
