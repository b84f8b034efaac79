// Strict URLs.
#include "registry/client/url.h"

#include <algorithm>
#include <charconv>

#include "base/format.h"

namespace berth::registry {
namespace {

constexpr size_t max_url = 16384;  // signed storage URLs take kilobytes

Error invalid(std::string_view text, std::string_view reason) {
  return failure(Kind::InvalidArgument, "invalid URL \"{}\": {}", text.substr(0, 200), reason);
}

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

bool is_address_character(char c) {
  return (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9') || c == ':' || c == '.';
}

bool is_host(std::string_view host) {
  if (host.starts_with('[')) {
    if (host.size() < 4 || !host.ends_with(']')) return false;
    host = host.substr(1, host.size() - 2);
    return std::all_of(host.begin(), host.end(), is_address_character);
  }
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), is_host_character);
}

Result<void> parse_authority(std::string_view text, std::string_view authority, Url& url) {
  size_t host_end = authority.starts_with('[') ? authority.find(']') : authority.find(':');
  if (authority.starts_with('[') && host_end != std::string_view::npos) ++host_end;
  url.host = authority.substr(0, host_end);
  for (char& c : url.host) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  if (!is_host(url.host)) return invalid(text, "no plain host name");
  url.port = url.is_https() ? 443 : 80;
  if (host_end == std::string_view::npos || host_end == authority.size()) return {};
  std::string_view digits = authority.substr(host_end);
  if (!digits.starts_with(':')) return invalid(text, "no plain host name");
  digits.remove_prefix(1);
  if (digits.empty()) return {};
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), url.port);
  if (error != std::errc{} || end != digits.data() + digits.size() || url.port == 0)
    return invalid(text, "no valid port");
  return {};
}

}  // namespace

Result<Url> Url::parse(std::string_view text) {
  if (text.size() > max_url) return invalid(text, "too long");
  for (char c : text) {
    bool visible = c > 0x20 && c != 0x7f && c != '\\';
    if (!visible) return invalid(text, "it has characters that are none of a URL's");
  }
  Url url;
  std::string_view rest = text;
  for (std::string_view scheme : {"https", "http"}) {
    if (!rest.starts_with(scheme) || !rest.substr(scheme.size()).starts_with("://")) continue;
    url.scheme = scheme;
    rest.remove_prefix(scheme.size() + 3);
    break;
  }
  if (url.scheme.empty()) return invalid(text, "expected http:// or https://");
  size_t end = rest.find_first_of("/?#");
  std::string_view authority = rest.substr(0, end);
  if (authority.find('@') != std::string_view::npos) return invalid(text, "it names a user");
  CHECK(parse_authority(text, authority, url));
  std::string_view target = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  target = target.substr(0, target.find('#'));
  url.target = target.starts_with('/') ? std::string(target) : "/" + std::string(target);
  return url;
}

Result<Url> Url::resolve(std::string_view location) const {
  if (location.find("://") < location.find_first_of("/?#")) return parse(location);
  if (location.starts_with("//")) return parse(scheme + ":" + std::string(location));
  std::string origin = scheme + "://" + authority();
  if (location.starts_with('/')) return parse(origin + std::string(location));
  std::string base = target.substr(0, target.find('?'));
  if (location.starts_with('?') || location.empty()) return parse(origin + base + std::string(location));
  return parse(origin + base.substr(0, base.rfind('/') + 1) + std::string(location));
}

std::string Url::authority() const {
  bool is_default = port == (is_https() ? 443 : 80);
  return is_default ? host : fmt::format("{}:{}", host, port);
}

std::string Url::str() const {
  return scheme + "://" + authority() + target;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  for (char c : text) {
    bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '.' || c == '_' || c == '~';
    if (unreserved) {
      encoded += c;
      continue;
    }
    auto byte = static_cast<unsigned char>(c);
    encoded += '%';
    encoded += digits[byte >> 4];
    encoded += digits[byte & 15];
  }
  return encoded;
}

std::string with_query(std::string target, std::string_view name, std::string_view value) {
  target += target.find('?') == std::string::npos ? '?' : '&';
  target += name;
  target += '=';
  target += percent_encode(value);
  return target;
}

}  // namespace berth::registry
