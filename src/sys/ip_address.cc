// IP and MAC addresses.
#include "sys/ip_address.h"

#include <arpa/inet.h>
#include <sys/random.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

#include "base/format.h"

namespace berth::sys {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

Error invalid_address(std::string_view text) {
  return failure(Kind::InvalidArgument, "invalid IP address: \"{}\"", text.substr(0, 64));
}

/// 1 bits for the first `length` bits of byte `index`.
uint8_t mask_byte(uint8_t length, size_t index) {
  size_t first = index * 8;
  if (length >= first + 8) return 0xff;
  if (length <= first) return 0;
  return static_cast<uint8_t>(0xff << (8 - (length - first)));
}

}  // namespace

Result<IpAddress> IpAddress::parse(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN + 1];
  if (text.empty() || text.size() >= sizeof(buffer) || text.find('\0') != text.npos) {
    return invalid_address(text);
  }
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  IpAddress address;
  if (::inet_pton(AF_INET, buffer, address.bytes_.data()) == 1) return address;
  if (::inet_pton(AF_INET6, buffer, address.bytes_.data()) != 1) return invalid_address(text);
  address.family_ = IpFamily::V6;
  if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), address.bytes_.begin())) {
    return v4(address.bytes_[12], address.bytes_[13], address.bytes_[14], address.bytes_[15]);
  }
  return address;
}

Result<IpAddress> IpAddress::from_bytes(std::span<const uint8_t> bytes) {
  IpAddress address;
  if (bytes.size() != 4 && bytes.size() != 16) {
    return failure(Kind::InvalidArgument, "an IP address has 4 or 16 bytes, not {}", bytes.size());
  }
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  address.family_ = bytes.size() == 4 ? IpFamily::V4 : IpFamily::V6;
  return address;
}

IpAddress IpAddress::v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  IpAddress address;
  address.bytes_ = {a, b, c, d};
  return address;
}

IpAddress IpAddress::v4(uint32_t host_order) {
  return v4(host_order >> 24, host_order >> 16 & 0xff, host_order >> 8 & 0xff, host_order & 0xff);
}

IpAddress IpAddress::v6(const std::array<uint8_t, 16>& bytes) {
  IpAddress address;
  address.bytes_ = bytes;
  address.family_ = IpFamily::V6;
  return address;
}

IpAddress IpAddress::any(IpFamily family) {
  IpAddress address;
  address.family_ = family;
  return address;
}

int IpAddress::address_family() const {
  return is_v4() ? AF_INET : AF_INET6;
}

std::span<const uint8_t> IpAddress::bytes() const {
  return {bytes_.data(), is_v4() ? 4u : 16u};
}

bool IpAddress::is_unspecified() const {
  return std::all_of(bytes_.begin(), bytes_.end(), [](uint8_t byte) { return byte == 0; });
}

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes_[0] == 127;
  return bytes_[15] == 1 && std::all_of(bytes_.begin(), bytes_.end() - 1, [](uint8_t b) { return b == 0; });
}

bool IpAddress::is_link_local() const {
  if (is_v4()) return bytes_[0] == 169 && bytes_[1] == 254;
  return bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

bool IpAddress::is_multicast() const {
  if (is_v4()) return (bytes_[0] & 0xf0) == 0xe0;
  return bytes_[0] == 0xff;
}

std::string IpAddress::to_string() const {
  char buffer[INET6_ADDRSTRLEN];
  ::inet_ntop(address_family(), bytes_.data(), buffer, sizeof(buffer));
  return buffer;
}

IpAddress IpAddress::plus(uint64_t offset) const {
  IpAddress result = *this;
  uint64_t carry = offset;
  for (size_t i = bytes().size(); i > 0 && carry != 0; --i) {
    carry += result.bytes_[i - 1];
    result.bytes_[i - 1] = carry & 0xff;
    carry >>= 8;
  }
  return result;
}

uint64_t IpAddress::distance_from(const IpAddress& base) const {
  unsigned __int128 mine = 0;
  unsigned __int128 theirs = 0;
  for (uint8_t byte : bytes()) mine = mine << 8 | byte;
  for (uint8_t byte : base.bytes()) theirs = theirs << 8 | byte;
  if (mine < theirs) return 0;
  unsigned __int128 distance = mine - theirs;
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  return distance > kMax ? kMax : static_cast<uint64_t>(distance);
}

Result<IpPrefix> IpPrefix::parse(std::string_view text) {
  size_t slash = text.find('/');
  TRY(IpAddress address, IpAddress::parse(text.substr(0, slash)));
  IpPrefix prefix{address, address.width()};
  if (slash == text.npos) return prefix;
  std::string_view digits = text.substr(slash + 1);
  auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix.length);
  if (status != std::errc() || end != digits.data() + digits.size() || prefix.length > address.width()) {
    return failure(Kind::InvalidArgument, "invalid CIDR address: {}", text.substr(0, 64));
  }
  return prefix;
}

IpPrefix IpPrefix::network() const {
  std::array<uint8_t, 16> bytes{};
  auto source = address.bytes();
  for (size_t i = 0; i < source.size(); ++i) bytes[i] = source[i] & mask_byte(length, i);
  return {*IpAddress::from_bytes({bytes.data(), source.size()}), length};
}

IpAddress IpPrefix::last() const {
  std::array<uint8_t, 16> bytes{};
  auto source = address.bytes();
  for (size_t i = 0; i < source.size(); ++i)
    bytes[i] = source[i] | static_cast<uint8_t>(~mask_byte(length, i));
  return *IpAddress::from_bytes({bytes.data(), source.size()});
}

bool IpPrefix::contains(const IpAddress& other) const {
  if (other.family() != family()) return false;
  return IpPrefix{other, length}.network().address == network().address;
}

bool IpPrefix::contains(const IpPrefix& other) const {
  return other.length >= length && contains(other.address);
}

bool IpPrefix::overlaps(const IpPrefix& other) const {
  return contains(other.address) || other.contains(address);
}

uint64_t IpPrefix::size() const {
  unsigned bits = address.width() - length;
  return bits >= 64 ? std::numeric_limits<uint64_t>::max() : uint64_t{1} << bits;
}

std::string IpPrefix::to_string() const {
  return fmt::format("{}/{}", address.to_string(), length);
}

Result<MacAddress> MacAddress::parse(std::string_view text) {
  MacAddress mac;
  auto invalid = [&] {
    return failure(Kind::InvalidArgument, "{} is not a valid mac address", text.substr(0, 64));
  };
  if (text.size() != 17) return invalid();
  for (size_t i = 0; i < 6; ++i) {
    const char* pair = text.data() + i * 3;
    if (i > 0 && pair[-1] != text[2]) return invalid();
    auto [end, status] = std::from_chars(pair, pair + 2, mac.bytes[i], 16);
    if (status != std::errc() || end != pair + 2) return invalid();
  }
  if (text[2] != ':' && text[2] != '-') return invalid();
  return mac;
}

MacAddress MacAddress::of_ipv4(const IpAddress& address) {
  auto ip = address.bytes();
  return {{0x02, 0x42, ip[0], ip[1], ip[2], ip[3]}};
}

MacAddress MacAddress::random() {
  MacAddress mac;
  if (::getrandom(mac.bytes.data(), mac.bytes.size(), 0) != static_cast<ssize_t>(mac.bytes.size()))
    std::abort();
  mac.bytes[0] = (mac.bytes[0] & 0xfe) | 0x02;
  return mac;
}

bool MacAddress::is_zero() const {
  return *this == MacAddress{};
}

std::string MacAddress::to_string() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2], bytes[3],
                     bytes[4], bytes[5]);
}

}  // namespace berth::sys
