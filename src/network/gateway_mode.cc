// Gateway modes.
#include "network/gateway_mode.h"

#include <algorithm>
#include <optional>

#include "base/format.h"

namespace berth::network {
namespace {

std::string_view option_of(IpFamily family) {
  return family == IpFamily::V4 ? kOptionGatewayMode4 : kOptionGatewayMode6;
}

std::string value_of(const NetworkRecord& network, std::string_view option) {
  auto found = network.options.find(std::string(option));
  return found == network.options.end() ? std::string() : found->second;
}

std::optional<GatewayMode> parse_gateway_mode(std::string_view text) {
  if (text.empty() || text == "nat") return GatewayMode::Nat;
  if (text == "nat-unprotected") return GatewayMode::NatUnprotected;
  if (text == "routed") return GatewayMode::Routed;
  if (text == "isolated") return GatewayMode::Isolated;
  return std::nullopt;
}

}  // namespace

GatewayMode gateway_mode(const NetworkRecord& network, IpFamily family) {
  return parse_gateway_mode(value_of(network, option_of(family))).value_or(GatewayMode::Nat);
}

Result<void> check_gateway_modes(const NetworkRecord& network) {
  for (IpFamily family : {IpFamily::V4, IpFamily::V6}) {
    std::string text = value_of(network, option_of(family));
    auto mode = parse_gateway_mode(text);
    if (!mode) {
      return failure(Kind::InvalidArgument, "unknown gateway mode \"{}\" of option {}", text.substr(0, 32),
                     option_of(family));
    }
    if (mode == GatewayMode::Isolated && !network.internal) {
      return Error(Kind::InvalidArgument, "gateway mode 'isolated' can only be used for an internal network");
    }
  }
  return {};
}

std::vector<std::string> trusted_interfaces(const NetworkRecord& network) {
  std::string text = value_of(network, kOptionTrusted);
  std::vector<std::string> names;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view name = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (!name.empty()) names.emplace_back(name);
  }
  return names;
}

}  // namespace berth::network
