// Endpoints.
#include "registry/client/settings.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/format.h"
#include "sys/ip_address.h"

namespace berth::registry {
namespace {

std::string bare(const std::string& host) {
  return host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
}

std::vector<sys::IpAddress> addresses_of(const std::string& host) {
  if (auto literal = sys::IpAddress::parse(bare(host))) return {*literal};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) return {};
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(list, &::freeaddrinfo);
  std::vector<sys::IpAddress> addresses;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    std::span<const uint8_t> bytes;
    if (entry->ai_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(entry->ai_addr);
      bytes = {reinterpret_cast<const uint8_t*>(&v4->sin_addr), 4};
    } else if (entry->ai_family == AF_INET6) {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(entry->ai_addr);
      bytes = {reinterpret_cast<const uint8_t*>(&v6->sin6_addr), 16};
    }
    if (auto address = sys::IpAddress::from_bytes(bytes)) addresses.push_back(*address);
  }
  return addresses;
}

bool is_network(std::string_view text) {
  return text.find('/') != std::string_view::npos;
}

bool is_loopback_name(const std::string& host) {
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  auto address = sys::IpAddress::parse(bare(host));
  return address && address->is_loopback();
}

bool in_insecure_network(const Settings& settings, const std::string& host) {
  bool any = std::any_of(settings.insecure.begin(), settings.insecure.end(), is_network);
  if (!any) return false;
  for (const sys::IpAddress& address : addresses_of(host)) {
    for (const std::string& entry : settings.insecure) {
      if (!is_network(entry)) continue;
      auto prefix = sys::IpPrefix::parse(entry);
      if (prefix && prefix->network().contains(address)) return true;
    }
  }
  return false;
}

void add(const Settings& settings, Url base, bool mirror, std::vector<Endpoint>& endpoints) {
  endpoints.push_back({base, mirror});
  if (mirror || !base.is_https() || !is_insecure(settings, base)) return;
  // The same port, as dockerd does it: who names no port gets http's own.
  if (base.port == 443) base.port = 80;
  base.scheme = "http";
  endpoints.push_back({std::move(base), mirror});
}

std::string setting_or_environment(const std::string& setting, std::initializer_list<const char*> names) {
  if (!setting.empty()) return setting;
  for (const char* name : names) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return {};
}

}  // namespace

Proxies proxies_in_force(const Settings& settings) {
  return {.http = setting_or_environment(settings.http_proxy,
                                         {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}),
          .https = setting_or_environment(settings.https_proxy,
                                          {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}),
          .none = setting_or_environment(settings.no_proxy, {"no_proxy", "NO_PROXY"})};
}

std::vector<std::string> overridden_proxy_variables(const Settings& settings) {
  std::vector<std::string> names;
  auto look = [&](const std::string& setting, std::initializer_list<const char*> variables) {
    for (const char* name : variables) {
      const char* value = std::getenv(name);
      if (!setting.empty() && value != nullptr && value != setting) names.emplace_back(name);
    }
  };
  look(settings.http_proxy, {"http_proxy", "HTTP_PROXY"});
  look(settings.https_proxy, {"https_proxy", "HTTPS_PROXY"});
  look(settings.no_proxy, {"no_proxy", "NO_PROXY"});
  return names;
}

Result<Mirror> parse_mirror(std::string_view text) {
  std::string registry = "docker.io";
  std::string_view address = text;
  if (size_t equals = text.find('='); equals != std::string_view::npos && equals < text.find("://")) {
    registry = text.substr(0, equals);
    address = text.substr(equals + 1);
  }
  auto url = Url::parse(address);
  if (!url) {
    return failure(Kind::InvalidArgument,
                   "invalid mirror \"{}\": expected [REGISTRY=]https://HOST[:PORT][/PATH]",
                   text.substr(0, 200));
  }
  if (url->target.find('?') != std::string::npos)
    return failure(Kind::InvalidArgument, "invalid mirror \"{}\": it has a query", text.substr(0, 200));
  if (!url->target.ends_with('/')) url->target += '/';
  return Mirror{std::move(registry), std::move(*url)};
}

Result<void> check_insecure(std::string_view text) {
  if (is_network(text) && sys::IpPrefix::parse(text)) return {};
  auto url = Url::parse("https://" + std::string(text));
  if (url && url->target == "/" && !text.ends_with('/')) return {};
  return failure(
      Kind::InvalidArgument,
      "insecure registry \"{}\" is not valid: expected HOST[:PORT] or a network such as 10.0.0.0/8",
      text.substr(0, 200));
}

bool is_insecure(const Settings& settings, const Url& url) {
  if (is_loopback_name(url.host)) return true;
  std::string with_port = fmt::format("{}:{}", url.host, url.port);
  for (const std::string& entry : settings.insecure) {
    if (!is_network(entry) && (entry == url.authority() || entry == with_port || entry == url.host))
      return true;
  }
  return in_insecure_network(settings, url.host);
}

std::string registry_host(const std::string& domain) {
  return domain == "docker.io" || domain == "index.docker.io" ? "registry-1.docker.io" : domain;
}

std::vector<Endpoint> endpoints_of(const Settings& settings, const std::string& domain) {
  std::vector<Endpoint> endpoints;
  for (const Mirror& mirror : settings.mirrors) {
    if (mirror.registry == domain) add(settings, mirror.url, true, endpoints);
  }
  if (auto base = Url::parse("https://" + registry_host(domain))) add(settings, *base, false, endpoints);
  return endpoints;
}

}  // namespace berth::registry
