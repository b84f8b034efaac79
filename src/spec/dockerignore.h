// .dockerignore and the patterns of COPY: Go's filepath.Match per path element, "**" across elements, "!" to
// include again; the last pattern that matches decides. Pure and bounded (no backtracking blow-up).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "spec/path_pattern.h"

namespace berth::spec {

/// Go's filepath.Match: '*' and '?' match no '/', '[a-z]' and '[^x]' classes, '\' escapes. A malformed
/// pattern: InvalidArgument "syntax error in pattern".
Result<bool> match_path(std::string_view pattern, std::string_view name);

/// Go's path.Clean.
std::string clean_path(std::string_view path);

/// Patterns of an ignore file: comments, blank lines and leading slashes gone, paths cleaned.
Result<std::vector<std::string>> parse_ignore_file(std::string_view text);

class PatternSet {
 public:
  /// Patterns as parse_ignore_file gives them. At most 10000.
  static Result<PatternSet> create(const std::vector<std::string>& patterns);

  /// Whether `path` (relative, '/'-separated, clean), or a directory above it, is matched and not included
  /// again.
  bool matches(std::string_view path) const;
  /// False when everything below an excluded directory stays excluded, so that it need not be read.
  bool has_exceptions() const { return exceptions_; }
  bool empty() const { return patterns_.empty(); }

 private:
  struct Pattern {
    PathPattern pattern;
    bool exception = false;
  };
  std::vector<Pattern> patterns_;
  bool exceptions_ = false;
};

/// A context's ignore file for a Dockerfile: "<dockerfile>.dockerignore" comes before ".dockerignore".
std::vector<std::string> ignore_file_candidates(std::string_view dockerfile);

}  // namespace berth::spec
