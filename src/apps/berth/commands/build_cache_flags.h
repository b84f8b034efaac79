// BuildCacheFlags: --cache-from and --cache-to of a build: what its first line says of them, and what the
// engine asks for while it builds: layers of caches in directories here, which come and go by requests of
// their own (docs/extensions.md).
#pragma once

#include <map>
#include <string>

#include "apps/berth/context.h"
#include "apps/berth/failure.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/build_caches.h"
#include "base/json_fwd.h"

namespace berth::cli::commands {

class BuildCacheFlags {
 public:
  explicit BuildCacheFlags(Context& context) : context_(context) {}

  static bool given(const grammar::Invocation& invocation);
  /// CacheFrom, CacheTo and InlineCache. A directory without a cache is told of and left out.
  Outcome<void> describe(const grammar::Invocation& invocation, Json& line);
  /// Answers {"event": "want" or "cache", ...}; anything else is not meant for it.
  void answer(const Json& event);
  /// What went wrong with a cache that was to be written.
  Outcome<void> outcome() const { return outcome_; }

 private:
  Outcome<Json> describe_directory(const options::BuildCache& cache) const;
  Outcome<void> bring(const std::string& directory, const std::string& path, const Json& event);
  Outcome<void> take(const std::string& name, const std::string& token, const Json& event);

  Context& context_;
  std::map<std::string, options::BuildCache> targets_;  ///< by the name that the engine calls them
  Outcome<void> outcome_;
};

}  // namespace berth::cli::commands
