#include "apps/buildkit/cache_directories.h"

#include <algorithm>
#include <thread>

#include "apps/buildkit/byte_queue.h"
#include "apps/buildkit/download.h"
#include "base/format.h"
#include "base/json.h"
#include "base/sha256.h"
#include "spec/cache_manifest.h"

namespace berth::buildkit {
namespace {

constexpr size_t max_manifest_bytes = size_t{4} << 20;
constexpr size_t max_config_bytes = size_t{8} << 20;

std::string blob_path(const std::string& token, const std::string& digest) {
  return "/berth/build/" + token + "/blobs/" + digest;
}

}  // namespace

Result<Json> CacheDirectories::describe(const CachePlaces::Source& source) const {
  if (!session_) return Error(Kind::InvalidArgument, "the client's session is not connected");
  TRY(Digest digest, Digest::parse(source.digest));
  ClientStore store(session_, source.directory);
  TRY(std::string manifest, store.read(digest, max_manifest_bytes));
  TRY(spec::CacheManifest parsed, spec::parse_cache_manifest(manifest, source.directory));
  TRY(std::string config, store.read(parsed.config.digest, max_config_bytes));
  return Json{{"directory", source.directory}, {"manifest", manifest}, {"config", config}};
}

Result<void> CacheDirectories::serve(const Json& event) {
  if (!session_) return Error(Kind::InvalidArgument, "the client's session is not connected");
  TRY(std::string kind, json_string(event, "event"));
  TRY(std::string token, json_string(event, "token"));
  TRY(std::string id, json_string(event, "cache"));
  ClientStore store(session_, id);
  if (kind == "want") return bring(store, token, event);
  auto taken = take(store, token, event);
  auto told = engine_.send({.method = "DELETE", .path = "/berth/build/" + token});
  if (taken && !told) return std::move(told).error();
  return taken;
}

/// A blob that the client does not have costs the build a step, and does not end it.
Result<void> CacheDirectories::bring(const ClientStore& store, const std::string& token,
                                     const Json& event) const {
  TRY(std::string text, json_string(event, "digest"));
  TRY(Digest digest, Digest::parse(text));
  std::string path = blob_path(token, text);
  if (!store.contains(digest)) {
    [[maybe_unused]] auto told = engine_.send({.method = "DELETE", .path = path});
    return {};
  }
  ByteQueue queue;
  std::thread reading([&] {
    queue.close(store.read(
        digest, [&queue](std::string_view piece) { return queue.write(piece); }, cancelled_));
  });
  std::string piece;
  size_t given = 0;
  EngineRequest request{.method = "PUT", .path = path, .cancelled = cancelled_};
  request.read = [&](char* buffer, size_t size) -> Result<size_t> {
    if (given == piece.size()) {
      TRY(piece, queue.read());
      given = 0;
    }
    size_t count = std::min(size, piece.size() - given);
    std::copy_n(piece.data() + given, count, buffer);
    given += count;
    return count;
  };
  auto sent = engine_.send(std::move(request));
  queue.abandon();
  reading.join();
  // What the engine has not taken it does not wait for any longer; a line that broke it would wait for.
  if (!sent) [[maybe_unused]]
    auto told = engine_.send({.method = "DELETE", .path = path});
  return {};
}

Result<void> CacheDirectories::take(const ClientStore& store, const std::string& token, const Json& event) {
  TRY(std::string manifest, json_string(event, "manifest"));
  TRY(std::string config, json_string(event, "config"));
  TRY(spec::CacheManifest parsed, spec::parse_cache_manifest(manifest, store.id()));
  for (const spec::Descriptor& blob : parsed.blobs) {
    if (store.contains(blob.digest)) continue;
    Download download(engine_, blob_path(token, blob.digest.str()), cancelled_);
    CHECK(store.write(blob.digest, blob.size, [&download] { return download.read(); }));
  }
  CHECK(store.write(parsed.config.digest, config));
  Digest digest = sha256(manifest);
  CHECK(store.write(digest, manifest));
  manifest_ = to_json(
      {{"mediaType", spec::media_type::oci_manifest}, {"digest", digest.str()}, {"size", manifest.size()}});
  return {};
}

}  // namespace berth::buildkit
