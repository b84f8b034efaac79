// Addresses by inet_pton, so exactly the kernel's notion of them.
#include "apps/berth/options/ip_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>

#include "base/format.h"

namespace berth::cli::options {

std::string IpAddress::str() const {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(six ? AF_INET6 : AF_INET, bytes.data(), text, sizeof text);
  return text;
}

bool IpAddress::is_loopback() const {
  if (!six) return bytes[0] == 127;
  for (size_t i = 0; i < 15; ++i) {
    if (bytes[i] != 0) return false;
  }
  return bytes[15] == 1;
}

std::optional<IpAddress> parse_ip(std::string_view text) {
  std::string copy(text);
  IpAddress address;
  if (copy.find('\0') != std::string::npos) return std::nullopt;
  if (::inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) return address;
  address.six = true;
  if (::inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

bool Subnet::contains(const IpAddress& other) const {
  if (other.six != address.six) return false;
  for (unsigned bit = 0; bit < prefix; ++bit) {
    auto mask = static_cast<uint8_t>(0x80 >> (bit % 8));
    if ((address.bytes[bit / 8] & mask) != (other.bytes[bit / 8] & mask)) return false;
  }
  return true;
}

Result<Subnet> parse_subnet(std::string_view text) {
  auto bad = [&] { return failure(Kind::InvalidArgument, "invalid CIDR address: {}", text); };
  size_t slash = text.find('/');
  if (slash == std::string_view::npos) return bad();
  auto address = parse_ip(text.substr(0, slash));
  std::string_view digits = text.substr(slash + 1);
  Subnet subnet;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), subnet.prefix);
  if (!address || error != std::errc() || end != digits.data() + digits.size()) return bad();
  if (subnet.prefix > (address->six ? 128u : 32u)) return bad();
  subnet.address = *address;
  return subnet;
}

Result<std::string> check_ip(std::string_view text) {
  std::string_view trimmed = text;
  while (trimmed.starts_with(' ')) trimmed.remove_prefix(1);
  while (trimmed.ends_with(' ')) trimmed.remove_suffix(1);
  auto address = parse_ip(trimmed);
  if (!address) return failure(Kind::InvalidArgument, "IP address is not correctly formatted: {}", text);
  return address->str();
}

bool is_mac_address(std::string_view text) {
  auto hex = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  // Six pairs with ':' or '-', or three groups of four with '.'.
  bool dots = text.size() == 14;
  if (!dots && text.size() != 17) return false;
  size_t group = dots ? 4 : 2;
  char separator = dots ? '.' : text[2];
  if (!dots && separator != ':' && separator != '-') return false;
  for (size_t i = 0; i < text.size(); ++i) {
    bool at_separator = i % (group + 1) == group;
    if (at_separator ? text[i] != separator : !hex(text[i])) return false;
  }
  return true;
}

}  // namespace berth::cli::options
