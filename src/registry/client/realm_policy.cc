// The rules for realms.
#include "registry/client/realm_policy.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/format.h"

namespace berth::registry {
namespace {

std::vector<std::string_view> labels_of(std::string_view host) {
  std::vector<std::string_view> labels;
  while (true) {
    size_t dot = host.find('.');
    labels.push_back(host.substr(0, dot));
    if (dot == std::string_view::npos) return labels;
    host.remove_prefix(dot + 1);
  }
}

/// How many labels the part of a name that anybody can register below has.
size_t suffix_labels(const std::vector<std::string_view>& labels) {
  if (labels.size() < 2) return 1;
  std::string_view top = labels.back();
  std::string_view second = labels[labels.size() - 2];
  // "co.uk", "com.au": a short second label under a country's domain.
  if (top.size() == 2 && second.size() <= 3) return 2;
  constexpr std::array<std::string_view, 12> shared = {
      "github.io",    "gitlab.io",         "amazonaws.com", "azurecr.io", "cloudfront.net", "appspot.com",
      "cloudapp.net", "azurewebsites.net", "herokuapp.com", "pkg.dev",    "run.app",        "workers.dev"};
  std::string name = std::string(second) + "." + std::string(top);
  return std::find(shared.begin(), shared.end(), name) != shared.end() ? 2 : 1;
}

bool is_numeric_address(const std::string& host) {
  return host.starts_with('[') || sys::IpAddress::parse(host).has_value();
}

}  // namespace

bool same_site(const std::string& a, const std::string& b) {
  if (is_numeric_address(a) || is_numeric_address(b)) return false;
  auto left = labels_of(a);
  auto right = labels_of(b);
  size_t needed = suffix_labels(left) + 1;
  if (left.size() < needed || right.size() < needed) return false;
  return std::equal(left.end() - static_cast<std::ptrdiff_t>(needed), left.end(),
                    right.end() - static_cast<std::ptrdiff_t>(needed), right.end());
}

RealmTrust judge_realm(const Settings& settings, const Url& registry, const Url& realm) {
  if (registry.same_origin(realm)) return RealmTrust::Credentials;
  if (registry.is_https() && !realm.is_https()) return RealmTrust::Refused;
  for (const std::string& allowed : settings.token_servers) {
    if (allowed == realm.authority() || allowed == fmt::format("{}:{}", realm.host, realm.port))
      return RealmTrust::Credentials;
  }
  bool usual_port = realm.is_https() && realm.port == 443;
  if (usual_port && registry.is_https() && same_site(registry.host, realm.host))
    return RealmTrust::Credentials;
  return RealmTrust::Anonymous;
}

bool is_inner_address(const sys::IpAddress& address) {
  if (address.is_loopback() || address.is_link_local() || address.is_unspecified() || address.is_multicast())
    return true;
  auto bytes = address.bytes();
  if (address.is_v6()) return (bytes[0] & 0xfe) == 0xfc;  // unique local
  if (bytes[0] == 10 || bytes[0] == 0) return true;
  if (bytes[0] == 172 && (bytes[1] & 0xf0) == 16) return true;
  if (bytes[0] == 192 && bytes[1] == 168) return true;
  return bytes[0] == 100 && (bytes[1] & 0xc0) == 64;  // shared by carriers
}

}  // namespace berth::registry
