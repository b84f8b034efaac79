// IP addresses, prefixes and MAC addresses as values: parse, print, compare, arithmetic. Pure; names are
// never resolved here.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::sys {

enum class IpFamily : uint8_t { V4, V6 };

class IpAddress {
 public:
  /// 0.0.0.0
  IpAddress() = default;
  /// Dotted quad or RFC 4291 text without zone; an IPv4-mapped IPv6 address becomes IPv4.
  static Result<IpAddress> parse(std::string_view text);
  /// 4 or 16 bytes in network order.
  static Result<IpAddress> from_bytes(std::span<const uint8_t> bytes);
  static IpAddress v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
  static IpAddress v4(uint32_t host_order);
  static IpAddress v6(const std::array<uint8_t, 16>& bytes);
  /// 0.0.0.0 or ::
  static IpAddress any(IpFamily family);

  IpFamily family() const { return family_; }
  bool is_v4() const { return family_ == IpFamily::V4; }
  bool is_v6() const { return family_ == IpFamily::V6; }
  /// AF_INET or AF_INET6.
  int address_family() const;
  /// 4 or 16 bytes in network order.
  std::span<const uint8_t> bytes() const;
  /// 32 or 128.
  uint8_t width() const { return is_v4() ? 32 : 128; }
  bool is_unspecified() const;
  bool is_loopback() const;
  bool is_link_local() const;
  bool is_multicast() const;
  std::string to_string() const;
  /// The address `offset` further on; wraps at the end of the address space.
  IpAddress plus(uint64_t offset) const;
  /// The distance from `base` (same family, base <= this), saturating at 2^64-1.
  uint64_t distance_from(const IpAddress& base) const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  IpFamily family_ = IpFamily::V4;
  std::array<uint8_t, 16> bytes_{};
};

/// An address with a prefix length: a subnet (host bits zero) or an interface address (host bits set).
struct IpPrefix {
  IpAddress address;
  uint8_t length = 0;

  /// "172.17.0.0/16"; without "/n" the full width.
  static Result<IpPrefix> parse(std::string_view text);
  /// The same prefix with host bits cleared.
  IpPrefix network() const;
  /// The highest address of the prefix (IPv4: the broadcast address).
  IpAddress last() const;
  bool contains(const IpAddress& other) const;
  bool contains(const IpPrefix& other) const;
  bool overlaps(const IpPrefix& other) const;
  /// The number of addresses, saturating at 2^64-1.
  uint64_t size() const;
  IpFamily family() const { return address.family(); }
  std::string to_string() const;
  friend auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

struct MacAddress {
  std::array<uint8_t, 6> bytes{};

  /// Six hex pairs separated by ':' or '-'.
  static Result<MacAddress> parse(std::string_view text);
  /// 02:42: followed by the four bytes of an IPv4 address: the same address always has the same MAC, so
  /// that no neighbour holds a stale entry when an address is used again.
  static MacAddress of_ipv4(const IpAddress& address);
  /// Random, locally administered, unicast.
  static MacAddress random();
  bool is_zero() const;
  std::string to_string() const;
  friend auto operator<=>(const MacAddress&, const MacAddress&) = default;
};

}  // namespace berth::sys
