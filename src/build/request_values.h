// The values of a BuildRequest that need reading: network, tags, times. Pure. Internal to build/.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "build/builder.h"
#include "build/graph.h"
#include "spec/reference.h"

namespace berth::build {

/// How steps see the network, and which one they join when it is not the default.
struct NetworkChoice {
  StepNetwork mode = StepNetwork::Bridge;
  std::string name = {};
};
Result<NetworkChoice> parse_network(const std::string& mode);

/// Every Dockerfile is built by the front end that is built in; a file that names another one should know.
std::optional<std::string> syntax_warning(const std::string& syntax);

/// Each once, with their default tags. InvalidArgument names the one that is none.
Result<std::vector<spec::Reference>> parse_tags(const std::vector<std::string>& texts);

/// SOURCE_DATE_EPOCH (reproducible-builds.org): seconds since the epoch.
Result<std::optional<Timestamp>> source_date_epoch(const BuildRequest& request);

/// BuildRequest::inline_cache, or BuildKit's build argument for it.
bool wants_inline_cache(const BuildRequest& request);
/// BuildKit's build argument for contexts that are repositories: their ".git" stays.
bool keeps_git_directory(const BuildRequest& request);
/// Which of a build's SSH agents opens repositories: BuildKit's "default". Empty: there is none.
std::string git_agent(const std::map<std::string, std::string>& agents);

}  // namespace berth::build
