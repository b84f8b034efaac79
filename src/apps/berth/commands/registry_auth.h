// Credentials for registries as docker keeps them: in config.json, or with a docker-credential-NAME program.
#pragma once

#include <string>

#include "apps/berth/context.h"
#include "base/json_fwd.h"

namespace berth::cli::commands {

/// The key under which a registry's credentials are stored ("https://index.docker.io/v1/" for docker.io).
std::string registry_key(const std::string& domain);

struct Credentials {
  std::string user;
  std::string secret;          ///< password
  std::string identity_token;  ///< instead of user and secret
  std::string server;
  bool empty() const { return user.empty() && identity_token.empty(); }
};

/// What is stored for the registry; empty when there is nothing.
Outcome<Credentials> find_credentials(Context& context, const std::string& key);
enum class StoredIn { Helper, PlainFile };
/// Stores, replacing what was there. With the credential helper if one is configured, else in config.json.
Outcome<StoredIn> store_credentials(Context& context, const Credentials& credentials);
/// The path of config.json.
std::string configuration_file(Context& context);
/// Forgets; false when there was nothing.
Outcome<bool> erase_credentials(Context& context, const std::string& key);

/// The X-Registry-Auth header of an image reference ("docker.io/library/busybox"), empty without credentials.
Outcome<client::Headers> registry_auth_header(Context& context, const std::string& reference);
/// The X-Registry-Config header for builds: all registries with credentials in config.json.
Outcome<client::Headers> registry_config_header(Context& context);

}  // namespace berth::cli::commands
