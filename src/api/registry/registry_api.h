// berth's own routes below /berth/registry: serving registries from the engine's store, listing and
// collecting them.
//
//   POST /berth/registry                listens for as long as the request lasts and streams the access log
//   GET  /berth/registry/repositories   what is there
//   POST /berth/registry/gc             forgets what no manifest refers to
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/event_loop.h"
#include "io/http_server.h"
#include "io/task.h"

namespace berth::storage {
class Database;
class ContentStore;
class ImageStore;
struct InUse;
}  // namespace berth::storage

namespace berth::api {

/// How one registry is served. Texts and not paths: the client may be on another machine.
struct RegistrySettings {
  std::string address = "127.0.0.1:5000";
  std::string certificate, key, client_ca;
  std::string htpasswd;
  bool token_endpoint = false;
  std::string token_key, token_realm, token_service = "berth-registry", token_issuer;
  bool read_only = false;
  bool deletion = true;
  std::optional<uint64_t> quota, max_blob_size;
  std::string proxy;
  std::string proxy_credentials;  ///< "USER:PASSWORD" for `proxy`
  std::string data_root;          ///< of a store of its own
};

/// What the engine shares with its registries.
struct RegistryServices {
  io::EventLoop& loop;
  storage::Database& database;
  storage::ContentStore& content;
  storage::ImageStore& images;
  std::string content_root;
  std::function<storage::InUse()> in_use;
};

class RegistryApi {
 public:
  explicit RegistryApi(RegistryServices services);
  /// Ends all registries.
  ~RegistryApi();

  /// Whether the path (with or without API version) is one of these routes.
  static bool is_route(std::string_view path);
  io::Task<void> handle(io::Exchange& exchange);
  /// Serves a registry until this object ends.
  io::Task<Result<void>> serve(RegistrySettings settings);
  /// Stops listening and lets what is under way end, until `deadline`.
  io::Task<void> drain(io::SteadyTime deadline);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::api
