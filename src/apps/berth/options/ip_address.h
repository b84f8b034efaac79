// IP addresses and subnets in flags. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli::options {

struct IpAddress {
  bool six = false;
  std::array<uint8_t, 16> bytes{};  ///< the first four for IPv4
  bool operator==(const IpAddress&) const = default;

  std::string str() const;
  bool is_loopback() const;
};

std::optional<IpAddress> parse_ip(std::string_view text);

struct Subnet {
  IpAddress address;
  unsigned prefix = 0;
  bool contains(const IpAddress& other) const;
};

/// "10.0.0.0/8"; the error is Go's "invalid CIDR address: x".
Result<Subnet> parse_subnet(std::string_view text);

/// For flags: "IP address is not correctly formatted: x"; the canonical text otherwise.
Result<std::string> check_ip(std::string_view text);
/// "aa:bb:cc:dd:ee:ff" and the forms with '-' or '.'.
bool is_mac_address(std::string_view text);

}  // namespace berth::cli::options
