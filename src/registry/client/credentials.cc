// Credentials in JSON.
#include "registry/client/credentials.h"

#include "base/bytes.h"
#include "base/json.h"
#include "base/sha256.h"

namespace berth::registry {
namespace {

constexpr JsonLimits limits{.max_bytes = 1u << 20, .max_depth = 8};

Result<Credentials> from_object(const Json& object) {
  Credentials credentials;
  TRY(credentials.user, json_string(object, "username"));
  TRY(credentials.secret, json_string(object, "password"));
  TRY(credentials.identity_token, json_string(object, "identitytoken"));
  TRY(credentials.registry_token, json_string(object, "registrytoken"));
  TRY(credentials.server, json_string(object, "serveraddress"));
  TRY(std::string packed, json_string(object, "auth"));
  if (credentials.user.empty() && !packed.empty()) {
    TRY(std::string plain, from_base64(packed));
    size_t colon = plain.find(':');
    if (colon == std::string::npos) return Error(Kind::InvalidArgument, "invalid auth value");
    credentials.user = plain.substr(0, colon);
    credentials.secret = plain.substr(colon + 1);
  }
  // What would end a header line or a name before its password.
  for (const std::string* text : {&credentials.registry_token, &credentials.identity_token}) {
    if (text->find_first_of("\r\n\0", 0, 3) != std::string::npos)
      return Error(Kind::InvalidArgument, "a token has characters that no token has");
  }
  return credentials;
}

}  // namespace

std::string Credentials::fingerprint() const {
  if (empty()) return {};
  std::string all;
  for (const std::string* part : {&user, &secret, &identity_token, &registry_token}) {
    all += std::to_string(part->size()) + ":" + *part;
  }
  return sha256(all).hex();
}

Result<Credentials> parse_credentials(std::string_view json) {
  TRY(Json object, parse_json(json, limits));
  if (!object.is_object()) return Error(Kind::InvalidArgument, "credentials are no JSON object");
  return from_object(object);
}

Credentials credentials_of_header(std::string_view value) {
  auto json = from_base64(value);
  if (!json) return {};
  auto credentials = parse_credentials(*json);
  return credentials ? std::move(*credentials) : Credentials{};
}

Credentials credentials_from_config(std::string_view json, const std::string& domain) {
  auto object = parse_json(json, limits);
  if (!object || !object->is_object()) return {};
  for (const auto& [server, entry] : object->items()) {
    if (registry_of_server(server) != domain || !entry.is_object()) continue;
    auto credentials = from_object(entry);
    if (credentials) return std::move(*credentials);
  }
  return {};
}

std::string registry_of_server(std::string_view server) {
  for (std::string_view scheme : {"https://", "http://"}) {
    if (server.starts_with(scheme)) server.remove_prefix(scheme.size());
  }
  std::string host(server.substr(0, server.find('/')));
  bool is_hub = host == "index.docker.io" || host == "registry-1.docker.io" || host == "docker.io";
  return is_hub ? "docker.io" : host;
}

}  // namespace berth::registry
