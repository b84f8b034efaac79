// From JSON to a server's settings.
#include "api/registry/registry_settings.h"

#include <algorithm>
#include <charconv>

#include "base/format.h"
#include "base/id.h"
#include "base/json.h"
#include "registry/server/upstream.h"
#include "sys/ip_address.h"

namespace berth::api {
namespace {

Result<std::optional<uint64_t>> read_bytes(const Json& json, const char* key) {
  if (json_member(json, key) == nullptr) return std::optional<uint64_t>();
  TRY(int64_t value, json_int(json, key));
  if (value < 0) return failure(Kind::InvalidArgument, "{}: must not be negative", key);
  return std::optional<uint64_t>(static_cast<uint64_t>(value));
}

bool is_plain_url(std::string_view url) {
  return (url.starts_with("http://") || url.starts_with("https://")) &&
         url.find_first_of(" \"\\\r\n\t") == std::string_view::npos;
}

/// Whoever reaches the cache sees what its credentials open. So they are used only for those who show who
/// they are, or are on this machine.
Result<registry::Credentials> proxy_credentials(const RegistrySettings& settings) {
  registry::Credentials credentials;
  std::string_view text = settings.proxy_credentials;
  while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
  if (text.empty()) return credentials;
  size_t colon = text.find(':');
  bool one_line = std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (colon == std::string_view::npos || colon == 0 || !one_line) {
    return Error(Kind::InvalidArgument,
                 "the credentials for the other registry must be one line, USER:PASSWORD");
  }
  TRY(RegistryAddress address, parse_registry_address(settings.address));
  TRY(sys::IpAddress ip, sys::IpAddress::parse(address.ip));
  bool guarded = !settings.htpasswd.empty() || !settings.token_key.empty() || !settings.client_ca.empty();
  if (!guarded && !ip.is_loopback()) {
    return failure(Kind::InvalidArgument,
                   "everyone who reaches {} would see what the credentials for {} open: give --htpasswd, "
                   "--token-key or --tls-client-ca as well, or an address of the loopback",
                   settings.address, settings.proxy);
  }
  credentials.user = text.substr(0, colon);
  credentials.secret = text.substr(colon + 1);
  return credentials;
}

}  // namespace

Result<RegistrySettings> parse_registry_settings(std::string_view text) {
  TRY(Json json, parse_json(text));
  if (!json.is_object()) return Error(Kind::InvalidArgument, "the registry's settings must be a JSON object");
  RegistrySettings settings;
  TRY(settings.address, json_string(json, "Address", settings.address));
  TRY(settings.certificate, json_string(json, "Certificate"));
  TRY(settings.key, json_string(json, "Key"));
  TRY(settings.client_ca, json_string(json, "ClientCa"));
  TRY(settings.htpasswd, json_string(json, "Htpasswd"));
  TRY(settings.token_endpoint, json_bool(json, "TokenEndpoint"));
  TRY(settings.token_key, json_string(json, "TokenKey"));
  TRY(settings.token_realm, json_string(json, "TokenRealm"));
  TRY(settings.token_service, json_string(json, "TokenService", settings.token_service));
  TRY(settings.token_issuer, json_string(json, "TokenIssuer"));
  TRY(settings.read_only, json_bool(json, "ReadOnly"));
  TRY(settings.deletion, json_bool(json, "Delete", true));
  TRY(settings.quota, read_bytes(json, "Quota"));
  TRY(settings.max_blob_size, read_bytes(json, "MaxBlobSize"));
  TRY(settings.proxy, json_string(json, "Proxy"));
  TRY(settings.proxy_credentials, json_string(json, "ProxyCredentials"));
  TRY(settings.data_root, json_string(json, "DataRoot"));
  return settings;
}

Result<RegistryAddress> parse_registry_address(std::string_view text) {
  auto invalid = [&] {
    return failure(Kind::InvalidArgument, "invalid address \"{}\": expected IP:PORT, as in 127.0.0.1:5000",
                   text);
  };
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return invalid();
  std::string_view host = text.substr(0, colon);
  std::string_view port = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  if (host.empty()) host = "0.0.0.0";
  RegistryAddress address{.ip = std::string(host)};
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  bool is_number = !port.empty() && error == std::errc{} && end == port.data() + port.size();
  if (!is_number || !sys::IpAddress::parse(host)) return invalid();
  return address;
}

Result<registry::server::ServerSettings> server_settings(const RegistrySettings& settings) {
  using registry::server::Htpasswd;
  using registry::server::ServerSettings;
  using registry::server::TokenAuthority;
  if (settings.certificate.empty() != settings.key.empty()) {
    return Error(Kind::InvalidArgument, "TLS needs both a certificate and its key");
  }
  if (!settings.client_ca.empty() && settings.certificate.empty()) {
    return Error(Kind::InvalidArgument, "clients' certificates need TLS: give a certificate and its key");
  }
  ServerSettings server;
  server.deletion = settings.deletion ? ServerSettings::Deletion::Allowed : ServerSettings::Deletion::Refused;
  bool writes = !settings.read_only && settings.proxy.empty();
  server.writing = writes ? ServerSettings::Writing::Allowed : ServerSettings::Writing::Refused;
  if (!settings.proxy.empty()) {
    TRY(registry::Credentials credentials, proxy_credentials(settings));
    TRY(server.upstream, registry::server::open_upstream(settings.proxy, std::move(credentials)));
  } else if (!settings.proxy_credentials.empty()) {
    return Error(Kind::InvalidArgument,
                 "credentials for another registry need its URL: give --proxy as well");
  }
  server.quota = settings.quota;
  server.max_blob_size = settings.max_blob_size;
  server.encrypted = !settings.certificate.empty();
  server.token_endpoint = settings.token_endpoint;
  server.token_realm = settings.token_realm;
  if (!settings.htpasswd.empty()) {
    TRY(server.users, Htpasswd::parse(settings.htpasswd));
  }
  if (settings.token_endpoint) {
    if (!server.users)
      return Error(Kind::InvalidArgument, "a token endpoint needs users: give an htpasswd file");
    if (!settings.token_key.empty() || !settings.token_realm.empty()) {
      return Error(Kind::InvalidArgument,
                   "tokens come from this registry or from another server, not from both");
    }
    std::string issuer = settings.token_issuer.empty() ? "berth-registry" : settings.token_issuer;
    TRY(server.tokens, TokenAuthority::create(random_hex(32), settings.token_service, issuer));
  } else if (!settings.token_key.empty() || !settings.token_realm.empty()) {
    if (settings.token_key.empty() || !is_plain_url(settings.token_realm)) {
      return Error(Kind::InvalidArgument, "tokens of another server need its URL as realm and its key");
    }
    if (server.users) return Error(Kind::InvalidArgument, "give either an htpasswd file or a token key");
    TRY(server.tokens,
        TokenAuthority::create(settings.token_key, settings.token_service, settings.token_issuer));
  }
  return server;
}

}  // namespace berth::api
