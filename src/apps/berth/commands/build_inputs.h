// What a build is given beside its context: secrets, SSH agents and named contexts, as the first line of a
// body for POST /berth/build.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apps/berth/commands/build_cache_flags.h"
#include "apps/berth/commands/key_agent.h"
#include "apps/berth/context.h"
#include "apps/berth/failure.h"
#include "apps/berth/grammar/invocation.h"

namespace berth::cli::commands {

/// "default", "ID", "ID=SOCKET" or "ID=KEY[,KEY]": the value itself if it is one.
Result<std::string> check_ssh(std::string_view text);
/// "NAME=VALUE": the value itself if it is one.
Result<std::string> check_build_context(std::string_view text);

class BuildInputs {
 public:
  explicit BuildInputs(Context& context) : context_(context), caches_(context) {}
  BuildInputs(const BuildInputs&) = delete;
  /// Removes the images that stood for contexts.
  ~BuildInputs();

  /// Whether the flags secret, ssh, build-context, cache-from and cache-to ask for what docker's route cannot
  /// carry.
  static bool needed(const grammar::Invocation& invocation);
  /// From those flags. Sends directories that are named contexts to the engine. `has_context`: whether a
  /// context follows in the body.
  Outcome<std::string> first_line(const grammar::Invocation& invocation, bool has_context);
  BuildCacheFlags& caches() { return caches_; }

 private:
  Outcome<Json> agents(const std::vector<std::string>& flags);
  Outcome<std::string> agent_socket(const std::string& flag, std::string value);
  Outcome<Json> contexts(const std::vector<std::string>& flags, const Json& agents);
  Outcome<std::string> send_directory(const std::string& name, const std::string& path);
  Outcome<std::string> fetch_repository(const std::string& name, const std::string& url, const Json& agents);
  /// Builds the image that stands for a context; `inputs` is the first line of the body.
  Outcome<std::string> make_image(const std::string& name, const Json& inputs,
                                  const std::function<Outcome<void>(client::BodyWriter&)>& write_context);

  Context& context_;
  BuildCacheFlags caches_;
  std::vector<std::string> images_;  ///< of directories and repositories
  std::vector<std::unique_ptr<KeyAgent>> key_agents_;
};

}  // namespace berth::cli::commands
