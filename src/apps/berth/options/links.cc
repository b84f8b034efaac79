// Links and hosts.
#include "apps/berth/options/links.h"

#include <algorithm>

#include "apps/berth/options/ip_address.h"
#include "base/format.h"

namespace berth::cli::options {

Result<std::string> check_link(std::string_view value) {
  if (value.empty()) return failure(Kind::InvalidArgument, "empty string specified for links");
  if (std::count(value.begin(), value.end(), ':') > 1) {
    return failure(Kind::InvalidArgument, "bad format for links: {}", value);
  }
  return std::string(value);
}

Result<std::string> check_extra_host(std::string_view value) {
  size_t split = value.find('=');
  if (split == std::string_view::npos) split = value.find(':');
  std::string_view name = value.substr(0, split);
  if (split == std::string_view::npos || name.empty() || name.find(':') != std::string_view::npos) {
    return failure(Kind::InvalidArgument, "bad format for add-host: \"{}\"", value);
  }
  std::string_view address = value.substr(split + 1);
  if (address != "host-gateway") {
    if (address.size() > 2 && address.front() == '[' && address.back() == ']') {
      address = address.substr(1, address.size() - 2);
    }
    if (!check_ip(address))
      return failure(Kind::InvalidArgument, "invalid IP address in add-host: \"{}\"", address);
  }
  return fmt::format("{}:{}", name, address);
}

Result<std::string> check_dns_search(std::string_view value) {
  while (value.starts_with(' ')) value.remove_prefix(1);
  while (value.ends_with(' ')) value.remove_suffix(1);
  if (value == ".") return std::string(value);
  std::string_view domain = value.ends_with('.') ? value.substr(0, value.size() - 1) : value;
  auto bad = [&] { return failure(Kind::InvalidArgument, "{} is not a valid domain", value); };
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (std::none_of(domain.begin(), domain.end(), letter) || domain.size() >= 255) return bad();
  char before = '.';
  for (char c : domain) {
    bool word = letter(c) || (c >= '0' && c <= '9');
    if (!word && c != '-' && c != '.') return bad();
    if ((c == '.' && (before == '.' || before == '-')) || (c == '-' && before == '.')) return bad();
    before = c;
  }
  if (before == '.' || before == '-') return bad();
  return std::string(domain);
}

}  // namespace berth::cli::options
