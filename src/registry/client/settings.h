// Which hosts stand for a registry and how they are spoken to: mirrors, insecure registries, proxies, where
// certificates lie. Pure but for the resolution of names in insecure networks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "registry/client/url.h"

namespace berth::registry {

struct Mirror {
  std::string registry;  ///< "docker.io", "ghcr.io"
  Url url;
};

struct Settings {
  std::vector<std::string> insecure = {};  ///< "host", "host:port" or a network ("10.0.0.0/8")
  std::vector<Mirror> mirrors = {};
  /// Token servers ("host" or "host:port") that may be given credentials besides those that belong to the
  /// registry by their name.
  std::vector<std::string> token_servers = {};
  std::vector<std::string> certificate_folders = {"/etc/berth/certs.d", "/etc/docker/certs.d"};
  std::string http_proxy = {};  ///< empty: of the environment
  std::string https_proxy = {};
  std::string no_proxy = {};
  /// Path of a document (signature_policy.h) that says which images need whose signatures; read at each pull.
  /// Empty: none.
  std::string signature_policy = {};
  unsigned max_downloads = 3;
  unsigned max_uploads = 5;
  unsigned max_download_attempts = 5;  ///< in a row that bring nothing
};

/// Where requests go through: what the settings say, else the environment.
struct Proxies {
  std::string http;
  std::string https;
  std::string none;  ///< hosts that are reached without
};
Proxies proxies_in_force(const Settings& settings);
/// Variables of the environment that the settings take the place of: "http_proxy", "HTTP_PROXY".
std::vector<std::string> overridden_proxy_variables(const Settings& settings);

/// "[REGISTRY=]URL"; without a registry: docker.io, as dockerd has it.
Result<Mirror> parse_mirror(std::string_view text);
/// Host, host:port or network; anything else: InvalidArgument.
Result<void> check_insecure(std::string_view text);

/// One address of a registry.
struct Endpoint {
  Url base;             ///< "https://registry-1.docker.io/"
  bool mirror = false;  ///< gets no credentials
};

/// Where a registry may be found, best first: mirrors, then itself; insecure ones by https, then by http.
std::vector<Endpoint> endpoints_of(const Settings& settings, const std::string& domain);

/// Plain http and unverified certificates are acceptable: loopback, and what the settings name.
bool is_insecure(const Settings& settings, const Url& url);

/// The host that a reference's domain means: docker.io is served by registry-1.docker.io.
std::string registry_host(const std::string& domain);

}  // namespace berth::registry
