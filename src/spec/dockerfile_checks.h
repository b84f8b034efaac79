// Build checks: what a Dockerfile had better not do, by the rules of docker's (docs.docker.com/reference/
// build-checks), under the same names and in the same words. Pure; nothing is fetched: what a base image
// brings is given.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "spec/dockerfile.h"
#include "spec/dockerignore.h"

namespace berth::spec {

struct CheckRule {
  std::string_view name;
  std::string_view description;
  std::string_view page;  ///< last part of its address
  std::string url() const;
};

struct CheckFinding {
  const CheckRule* rule = nullptr;
  std::string detail;
  LineRange lines;
};

/// "skip=A,B;error=true;experimental=all", as "# check=" and the build argument BUILDKIT_DOCKERFILE_CHECK
/// have it.
struct CheckConfig {
  bool skip_all = false;
  std::set<std::string> skip = {};
  bool experimental_all = false;
  std::set<std::string> experimental = {};
  bool as_error = false;

  static Result<CheckConfig> parse(std::string_view text);
  bool wants(const CheckRule& rule) const;
};

struct CheckInput {
  std::string_view text = {};  ///< of the file
  const Dockerfile& file;
  CheckConfig config = {};
  std::map<std::string, std::optional<std::string>> build_args = {};
  Platform platform = Platform::host();  ///< that is built for
  /// Stage that is built; empty: the last with those it needs, or all of them.
  std::string target = {};
  enum class Stages { Needed, All } stages = Stages::All;
  /// "NAME=value" of a base image's environment; none: unknown, and use of variables is not judged above it.
  std::function<std::optional<std::vector<std::string>>(const std::string& image)> environment = {};
  const PatternSet* ignored = nullptr;  ///< of the context
};

/// By line.
std::vector<CheckFinding> check_dockerfile(const CheckInput& input);

/// "Rule: detail (line 3)", as an ordinary build warns.
std::string warning_text(const CheckFinding& finding);
/// For a file whose checks are errors, when there are findings: InvalidArgument names the rules.
Result<void> checks_as_error(const CheckConfig& config, const std::vector<CheckFinding>& findings);

}  // namespace berth::spec
