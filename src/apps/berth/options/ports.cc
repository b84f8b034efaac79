// Reading --publish and --expose.
#include "apps/berth/options/ports.h"

#include <charconv>

#include "apps/berth/options/ip_address.h"
#include "base/format.h"

namespace berth::cli::options {
namespace {

constexpr size_t max_ports = 65536;

struct Range {
  unsigned first = 0;
  unsigned last = 0;
  unsigned size() const { return last - first + 1; }
};

struct Parts {
  std::string ip;
  std::string host;
  std::string container;
};

/// "ip:host:container", from the right; the ip may hold colons.
Parts split_parts(std::string_view text) {
  size_t last = text.rfind(':');
  if (last == std::string_view::npos) return {"", "", std::string(text)};
  std::string_view container = text.substr(last + 1);
  std::string_view rest = text.substr(0, last);
  // "[::1]:80" has a colon inside the brackets only.
  size_t before = rest.rfind(':');
  if (before == std::string_view::npos) return {"", std::string(rest), std::string(container)};
  return {std::string(rest.substr(0, before)), std::string(rest.substr(before + 1)), std::string(container)};
}

bool parse_number(std::string_view text, unsigned& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() && number <= 65535;
}

bool parse_range(std::string_view text, Range& range) {
  size_t dash = text.find('-');
  if (!parse_number(text.substr(0, dash), range.first)) return false;
  range.last = range.first;
  if (dash != std::string_view::npos && !parse_number(text.substr(dash + 1), range.last)) return false;
  return range.last >= range.first;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return result;
}

/// "published=8080,target=80,protocol=udp" as "8080:80/udp".
Result<std::string> short_form(const std::string& text) {
  if (text.find('=') == std::string::npos) return text;
  std::map<std::string, std::string> parameters{{"protocol", "tcp"}};
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return failure(Kind::InvalidArgument, "invalid publish opts format (should be name=value but got '{}')",
                     part);
    }
    parameters[std::string(part.substr(0, equals))] = part.substr(equals + 1);
  }
  return fmt::format("{}:{}/{}", parameters["published"], parameters["target"], parameters["protocol"]);
}

Result<std::string> host_ip_of(const Parts& parts) {
  std::string ip = parts.ip;
  if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  if (!ip.empty() && !parse_ip(ip)) return failure(Kind::InvalidArgument, "invalid IP address: {}", ip);
  return ip;
}

Result<void> add_published(const std::string& text, Ports& ports) {
  size_t slash = text.find('/');
  std::string protocol = slash == std::string::npos ? "tcp" : lower(std::string_view(text).substr(slash + 1));
  Parts parts = split_parts(std::string_view(text).substr(0, slash));
  TRY(std::string ip, host_ip_of(parts));
  if (parts.container.empty()) return failure(Kind::InvalidArgument, "no port specified: {}<empty>", text);
  Range inside;
  if (!parse_range(parts.container, inside)) {
    return failure(Kind::InvalidArgument, "invalid containerPort: {}", parts.container);
  }
  Range outside;
  if (!parts.host.empty() && !parse_range(parts.host, outside)) {
    return failure(Kind::InvalidArgument, "invalid hostPort: {}", parts.host);
  }
  if (!parts.host.empty() && outside.size() != inside.size() && inside.size() != 1) {
    return failure(Kind::InvalidArgument, "invalid ranges specified for container and host Ports: {} and {}",
                   parts.container, parts.host);
  }
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") {
    return failure(Kind::InvalidArgument, "invalid proto: {}", protocol);
  }
  if (ports.exposed.size() + inside.size() > max_ports) {
    return failure(Kind::InvalidArgument, "more than {} published ports", max_ports);
  }
  for (unsigned i = 0; i < inside.size(); ++i) {
    std::string host_port;
    if (!parts.host.empty()) host_port = fmt::format("{}", outside.first + i);
    // One port of the container, several of the host: the engine takes a free one of them.
    if (!parts.host.empty() && inside.size() == 1 && outside.size() != 1) {
      host_port = fmt::format("{}-{}", outside.first, outside.last);
    }
    std::string port = fmt::format("{}/{}", inside.first + i, protocol);
    ports.exposed.insert(port);
    ports.bindings[port].push_back({ip, host_port});
  }
  return {};
}

Result<void> add_exposed(const std::string& text, Ports& ports) {
  if (text.find(':') != std::string::npos) {
    return failure(Kind::InvalidArgument, "invalid port format for --expose: {}", text);
  }
  size_t slash = text.find('/');
  std::string protocol = slash == std::string::npos ? "tcp" : lower(std::string_view(text).substr(slash + 1));
  Range range;
  if (!parse_range(std::string_view(text).substr(0, slash), range)) {
    return failure(Kind::InvalidArgument, "invalid range format for --expose: {}, error: invalid port", text);
  }
  for (unsigned port = range.first; port <= range.last; ++port) {
    ports.exposed.insert(fmt::format("{}/{}", port, protocol));
  }
  return {};
}

}  // namespace

Result<Ports> parse_ports(const std::vector<std::string>& publish, const std::vector<std::string>& expose) {
  Ports ports;
  for (const std::string& text : publish) {
    TRY(std::string plain, short_form(text));
    CHECK(add_published(plain, ports));
  }
  for (const std::string& text : expose) CHECK(add_exposed(text, ports));
  return ports;
}

}  // namespace berth::cli::options
