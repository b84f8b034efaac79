// Ignore files and ordered sets of patterns with exceptions.
#include "spec/dockerignore.h"

#include "base/format.h"
#include "spec/dockerfile_lexer.h"

namespace berth::spec {

Result<bool> match_path(std::string_view pattern, std::string_view name) {
  TRY(auto compiled, PathPattern::compile(pattern, PathPattern::Dialect::Match));
  return compiled.matches(name);
}

std::string clean_path(std::string_view path) {
  const bool rooted = path.starts_with('/');
  std::vector<std::string_view> elements;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view element = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (element.empty() || element == ".") continue;
    if (element != "..") {
      elements.push_back(element);
    } else if (!elements.empty() && elements.back() != "..") {
      elements.pop_back();
    } else if (!rooted) {
      elements.push_back(element);
    }
  }
  std::string out = rooted ? "/" : "";
  for (size_t i = 0; i < elements.size(); ++i) {
    if (i > 0) out.push_back('/');
    out += elements[i];
  }
  return out.empty() ? "." : out;
}

Result<std::vector<std::string>> parse_ignore_file(std::string_view text) {
  constexpr size_t max_bytes = 4u << 20;
  if (text.size() > max_bytes)
    return failure(Kind::InvalidArgument, "the ignore file is larger than {} bytes", max_bytes);
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::vector<std::string> patterns;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with('#')) continue;
    line = dockerfile::trim(line);
    if (line.empty()) continue;
    const bool exception = line.starts_with('!');
    if (exception) line = dockerfile::trim(line.substr(1));
    std::string pattern;
    if (!line.empty()) {
      pattern = clean_path(line);
      if (pattern.size() > 1 && pattern[0] == '/') pattern.erase(0, 1);
    }
    patterns.push_back((exception ? "!" : "") + pattern);
  }
  return patterns;
}

Result<PatternSet> PatternSet::create(const std::vector<std::string>& patterns) {
  constexpr size_t most_patterns = 10000;
  if (patterns.size() > most_patterns)
    return failure(Kind::InvalidArgument, "more than {} patterns", most_patterns);
  PatternSet set;
  for (const auto& line : patterns) {
    std::string text(dockerfile::trim(line));
    if (text.empty()) continue;
    text = clean_path(text);
    const bool exception = text[0] == '!';
    if (exception) text.erase(0, 1);
    if (text.empty()) return Error(Kind::InvalidArgument, "illegal exclusion pattern: \"!\"");
    auto compiled = PathPattern::compile(text, PathPattern::Dialect::Ignore);
    if (!compiled) return failure(Kind::InvalidArgument, "{}: {}", compiled.error().message(), text);
    set.exceptions_ = set.exceptions_ || exception;
    set.patterns_.push_back({std::move(*compiled), exception});
  }
  return set;
}

bool PatternSet::matches(std::string_view path) const {
  bool matched = false;
  for (const auto& pattern : patterns_) {
    // What is matched already can only be changed by an exception, and the other way round.
    if (pattern.exception != matched) continue;
    bool hit = pattern.pattern.matches(path);
    for (size_t slash = path.find('/'); !hit && slash != std::string_view::npos;
         slash = path.find('/', slash + 1)) {
      hit = pattern.pattern.matches(path.substr(0, slash));
    }
    if (hit) matched = !pattern.exception;
  }
  return matched;
}

std::vector<std::string> ignore_file_candidates(std::string_view dockerfile) {
  return {std::string(dockerfile) + ".dockerignore", ".dockerignore"};
}

}  // namespace berth::spec
