#include "apps/berth/commands/build_elsewhere.h"

#include "apps/berth/options/build_caches.h"
#include "base/json.h"

namespace berth::cli::commands {

Outcome<bool> knows_builds_of_ours(Context& context) {
  auto reply = context.engine().call({.path = "/berth/images/pins"});
  if (reply) return true;
  // Another engine answers "page not found"; one that cannot be reached is told as ever.
  if (reply.error().not_found()) return false;
  return reply.error();
}

Outcome<void> use_classic_builder(Context& context, const grammar::Invocation& invocation,
                                  client::Query& query) {
  const std::string engine = context.endpoint().str();
  for (const char* flag : {"secret", "ssh", "build-context", "cache-to"}) {
    if (!invocation.given(flag)) continue;
    return refuse(
        "--{} needs berth's own engine, and {} is another one's: build with docker's buildx plugin there, or "
        "without --{}",
        flag, engine, flag);
  }
  Json images = Json::array();
  for (const std::string& text : invocation.list("cache-from")) {
    TRY(const auto cache, options::parse_cache_from(text));
    if (cache.type == options::BuildCache::Type::Registry) {
      images.push_back(cache.reference);
    } else {
      context.err.line("note: --cache-from " + text + " is passed over: " + engine +
                       " is another engine's, whose classic builder takes images alone");
    }
  }
  if (images.empty()) return {};
  query.add("cachefrom", to_json(images));
  context.err.line(
      "note: " + engine +
      " is another engine's: --cache-from goes to its classic builder, which uses images that it "
      "has already (pull them first)");
  return {};
}

}  // namespace berth::cli::commands
