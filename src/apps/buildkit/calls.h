// Calls of the Dockerfile frontend that build nothing: checks, targets, an outline.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "apps/buildkit/engine_client.h"
#include "apps/buildkit/parameters.h"
#include "base/result.h"

namespace berth::buildkit {

/// What `parameters.call` asks of that Dockerfile: "result.json", "result.txt", "result.statuscode" and
/// "version". `ignored` are the patterns of the context's ignore file. Environments of base images are known
/// of those that the engine has.
Result<std::map<std::string, std::string>> answer_call(const EngineClient& engine,
                                                       const BuildParameters& parameters,
                                                       const std::string& dockerfile,
                                                       const std::vector<std::string>& ignored);

}  // namespace berth::buildkit
