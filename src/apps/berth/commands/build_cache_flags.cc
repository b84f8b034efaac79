#include "apps/berth/commands/build_cache_flags.h"

#include <unistd.h>

#include <cerrno>
#include <vector>

#include "apps/berth/archive/oci_layout.h"
#include "base/json.h"
#include "base/sha256.h"
#include "spec/cache_manifest.h"

namespace berth::cli::commands {
namespace {

using Type = options::BuildCache::Type;

constexpr size_t max_manifest_bytes = size_t{4} << 20;
constexpr size_t max_config_bytes = size_t{8} << 20;
constexpr size_t piece_bytes = size_t{256} << 10;

/// "a,b" names two references, as docker's flag has it.
std::vector<std::string> origins_of(const grammar::Invocation& invocation) {
  std::vector<std::string> origins;
  for (std::string text : invocation.list("cache-from")) {
    for (size_t comma = text.find(','); comma != text.npos && text.find('=') == text.npos;
         comma = text.find(',')) {
      origins.push_back(text.substr(0, comma));
      text.erase(0, comma + 1);
    }
    origins.push_back(std::move(text));
  }
  return origins;
}

}  // namespace

bool BuildCacheFlags::given(const grammar::Invocation& invocation) {
  return invocation.given("cache-from") || invocation.given("cache-to");
}

Outcome<Json> BuildCacheFlags::describe_directory(const options::BuildCache& cache) const {
  archive::OciLayout layout(cache.directory);
  auto digest = cache.digest.empty() ? layout.find(cache.tag) : Digest::parse(cache.digest);
  if (!digest) return digest.error();
  TRY(std::string manifest, layout.read(*digest, max_manifest_bytes));
  TRY(auto parsed, spec::parse_cache_manifest(manifest, cache.directory));
  TRY(std::string config, layout.read(parsed.config.digest, max_config_bytes));
  return Json{{"directory", cache.directory}, {"manifest", manifest}, {"config", config}};
}

Outcome<void> BuildCacheFlags::describe(const grammar::Invocation& invocation, Json& line) {
  for (const std::string& text : origins_of(invocation)) {
    TRY(auto cache, options::parse_cache_from(text));
    if (cache.type == Type::Registry) {
      line["CacheFrom"].push_back({{"ref", cache.reference}});
      continue;
    }
    auto described = describe_directory(cache);
    if (described) {
      line["CacheFrom"].push_back(std::move(*described));
    } else {
      context_.err.print("WARNING: the build cache {} is passed over: {}\n", cache.directory,
                         described.error().message);
    }
  }
  for (const std::string& text : invocation.list("cache-to")) {
    TRY(auto cache, options::parse_cache_to(text));
    if (cache.type == Type::Inline) {
      line["InlineCache"] = true;
    } else if (cache.type == Type::Registry) {
      line["CacheTo"].push_back({{"ref", cache.reference}, {"mode", cache.mode}});
    } else {
      line["CacheTo"].push_back({{"directory", cache.directory}, {"mode", cache.mode}});
      targets_[cache.directory] = std::move(cache);
    }
  }
  return {};
}

void BuildCacheFlags::answer(const Json& event) {
  auto kind = json_string(event, "event");
  auto token = json_string(event, "token");
  auto name = json_string(event, "cache");
  if (!kind || !token || !name || token->empty()) return;
  const std::string path = "/berth/build/" + *token;
  if (*kind == "want") {
    auto digest = json_string(event, "digest");
    if (!digest) return;
    const std::string blob = path + "/blobs/" + *digest;
    // What cannot be brought costs the build a step.
    if (!bring(*name, blob, event)) (void)context_.engine().call({.method = "DELETE", .path = blob});
  } else if (*kind == "cache") {
    auto taken = take(*name, path, event);
    auto told = context_.engine().call({.method = "DELETE", .path = path});
    if (taken && !told) taken = told.error();
    if (outcome_ && !taken) outcome_ = taken;
  }
}

Outcome<void> BuildCacheFlags::bring(const std::string& directory, const std::string& path,
                                     const Json& event) {
  TRY(std::string text, json_string(event, "digest"));
  TRY(Digest digest, Digest::parse(text));
  TRY(auto file, archive::OciLayout(directory).open(digest));
  client::Request request{.method = "PUT", .path = path, .content_type = "application/octet-stream"};
  auto produce = [&file](client::BodyWriter& body) -> Outcome<void> {
    std::string buffer(piece_bytes, '\0');
    while (true) {
      const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
      if (count < 0) return Error::from_errno("read", "a layer of the build cache", errno);
      if (count == 0) return {};
      CHECK(body.write({buffer.data(), static_cast<size_t>(count)}));
    }
  };
  CHECK(context_.engine().upload(request, produce, [](std::string_view) -> Outcome<void> { return {}; }));
  return {};
}

Outcome<void> BuildCacheFlags::take(const std::string& name, const std::string& path, const Json& event) {
  auto target = targets_.find(name);
  if (target == targets_.end())
    return refuse("the engine has a build cache for {}, which nobody named", name);
  TRY(std::string manifest, json_string(event, "manifest"));
  TRY(std::string config, json_string(event, "config"));
  TRY(auto parsed, spec::parse_cache_manifest(manifest, name));
  archive::OciLayout layout(target->second.directory);
  CHECK(layout.create());
  for (const auto& blob : parsed.blobs) {
    if (layout.contains(blob.digest, static_cast<uint64_t>(blob.size))) continue;
    TRY(auto writing, layout.begin(blob.digest));
    auto write = [&writing](std::string_view bytes) -> Outcome<void> {
      CHECK(writing.write(bytes));
      return {};
    };
    CHECK(context_.engine().stream({.path = path + "/blobs/" + blob.digest.str()}, write));
    CHECK(writing.commit());
  }
  CHECK(layout.write(parsed.config.digest, config));
  const Digest digest = sha256(manifest);
  CHECK(layout.write(digest, manifest));
  CHECK(layout.tag(target->second.tag, digest, manifest.size()));
  return {};
}

}  // namespace berth::cli::commands
