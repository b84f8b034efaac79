#include "apps/berth/compose/sensitive.h"

#include <regex.h>

namespace berth::cli::compose {
namespace {

struct Pattern {
  std::string_view kind;
  const char* expression;
};

constexpr Pattern patterns[] = {
    {"AWS Client ID", "(A3T[A-Z0-9]|AKIA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA|ASIA)[A-Z0-9]{16}"},
    {"AWS Secret Key", "[aA][wW][sS].{0,20}['\"][0-9a-zA-Z/+]{40}['\"]"},
    {"Github authentication", "(gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{82})"},
    {"JSON Web Token", "eyJ[A-Za-z0-9_=-]{10,}\\.eyJ[A-Za-z0-9_=-]{10,}\\.[A-Za-z0-9_./+=-]+"},
};

void find_matches(const Pattern& pattern, const std::string& text, std::vector<Sensitive>& found) {
  regex_t expression;
  if (::regcomp(&expression, pattern.expression, REG_EXTENDED | REG_NEWLINE) != 0) return;
  regmatch_t match;
  for (const char* at = text.c_str(); ::regexec(&expression, at, 1, &match, 0) == 0; at += match.rm_eo)
    found.push_back({pattern.kind, std::string(at + match.rm_so, at + match.rm_eo)});
  ::regfree(&expression);
}

void find_private_keys(const std::string& text, std::vector<Sensitive>& found) {
  constexpr std::string_view head_end = "PRIVATE KEY-----";
  for (size_t start = text.find("-----BEGIN "); start != std::string::npos;
       start = text.find("-----BEGIN ", start + 1)) {
    const size_t head = text.find(head_end, start);
    const size_t line = text.find('\n', start);
    if (head == std::string::npos || head > line) continue;
    const size_t tail = text.find(head_end, head + head_end.size());
    const size_t end = tail == std::string::npos ? text.size() : tail + head_end.size();
    found.push_back({"Private Key", text.substr(start, end - start)});
  }
}

}  // namespace

std::vector<Sensitive> find_sensitive(const std::string& text) {
  std::vector<Sensitive> found;
  for (const Pattern& pattern : patterns) find_matches(pattern, text, found);
  find_private_keys(text, found);
  return found;
}

}  // namespace berth::cli::compose
