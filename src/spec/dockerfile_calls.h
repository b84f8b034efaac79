// Calls of a Dockerfile's front end other than building: its checks, its targets, an outline of what it
// takes. Answers have the form of BuildKit's subrequests (frontend.lint, frontend.targets, frontend.outline).
// Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "spec/dockerfile.h"
#include "spec/dockerfile_checks.h"

namespace berth::spec {

struct CallAnswer {
  std::string json;
  std::string text;  ///< for people
  int status = 0;    ///< the exit status of the client
  size_t findings = 0;
  std::string error = {};  ///< why the file cannot be built at all, with its place
};

/// The checks of a file that is named `name`. `input` is none when the file cannot be parsed: `problem`.
CallAnswer call_check(std::string_view name, std::string_view text, const CheckInput* input,
                      const std::optional<DockerfileProblem>& problem);
CallAnswer call_targets(std::string_view text, const Dockerfile& file);
/// Arguments, secrets and agents of the target and of what it is made of. InvalidArgument: no such target.
Result<CallAnswer> call_outline(std::string_view text, const Dockerfile& file, const std::string& target,
                                const std::map<std::string, std::optional<std::string>>& build_args);

/// What docker's command says above and below the text of a check: "Check complete, ...".
std::string check_summary(const CallAnswer& answer);

}  // namespace berth::spec
