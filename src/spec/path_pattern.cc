// Compiling and matching path patterns; time is the product of the lengths.
#include "spec/path_pattern.h"

#include <algorithm>

#include "spec/go_quote.h"

namespace berth::spec {
namespace {

constexpr size_t longest_pattern = 16384;

Error bad_pattern() {
  return Error(Kind::InvalidArgument, "syntax error in pattern");
}

/// Reads the pattern character by character.
struct PatternReader {
  std::string_view text;
  size_t position = 0;

  bool done() const { return position >= text.size(); }
  char peek() const { return done() ? '\0' : text[position]; }
  char32_t take() {
    char32_t code = 0;
    position += decode_utf8(text, position, code);
    return code;
  }
  /// A bound of a class: escaped, or anything but '-' and ']'.
  Result<char32_t> take_bound() {
    if (done() || peek() == '-' || peek() == ']') return bad_pattern();
    if (peek() == '\\') {
      ++position;
      if (done()) return bad_pattern();
    }
    return take();
  }
};

}  // namespace

Result<PathPattern> PathPattern::compile(std::string_view pattern, Dialect dialect) {
  if (pattern.size() > longest_pattern) return bad_pattern();
  PathPattern out;
  out.text_ = pattern;
  out.literal_ = pattern.find_first_of("*?[\\") == std::string_view::npos;
  PatternReader reader{pattern};
  while (!reader.done()) {
    const char c = reader.peek();
    if (c == '*' && dialect == Dialect::Ignore && pattern.substr(reader.position).starts_with("**")) {
      reader.position += 2;
      if (reader.peek() == '/') ++reader.position;
      out.tokens_.push_back({reader.done() ? Token::Type::AnyPath : Token::Type::AnyDirectories});
      continue;
    }
    if (c == '*' || c == '?') {
      ++reader.position;
      out.tokens_.push_back({c == '*' ? Token::Type::AnyRun : Token::Type::AnyOne});
      continue;
    }
    if (c == '[') {
      Token token{Token::Type::Class};
      ++reader.position;
      token.negated = reader.peek() == '^';
      if (token.negated) ++reader.position;
      while (reader.done() || reader.peek() != ']' || token.ranges.empty()) {
        TRY(const char32_t low, reader.take_bound());
        char32_t high = low;
        if (reader.peek() == '-') {
          ++reader.position;
          TRY(high, reader.take_bound());
        }
        token.ranges.emplace_back(low, high);
      }
      ++reader.position;
      out.tokens_.push_back(std::move(token));
      continue;
    }
    if (c == '\\') {
      ++reader.position;
      if (reader.done()) return bad_pattern();
    }
    out.tokens_.push_back({Token::Type::Character, reader.take()});
  }
  // moby's matcher takes "**name" for a suffix, also of a longer name.
  const std::string_view rest = pattern.substr(std::min<size_t>(2, pattern.size()));
  out.by_suffix_ = dialect == Dialect::Ignore && pattern.starts_with("**") &&
                   rest.find_first_of("*?[]\\") == std::string_view::npos;
  if (out.by_suffix_) out.suffix_ = rest;
  return out;
}

bool PathPattern::consumes(const Token& token, char32_t c) {
  switch (token.type) {
    case Token::Type::Character:
      return token.code == c;
    case Token::Type::AnyOne:
    case Token::Type::AnyRun:
      return c != U'/';
    case Token::Type::AnyPath:
    case Token::Type::AnyDirectories:
      return true;
    case Token::Type::Class:
      break;
  }
  const bool found = std::any_of(token.ranges.begin(), token.ranges.end(),
                                 [&](const auto& range) { return range.first <= c && c <= range.second; });
  return found != token.negated;
}

/// Runs may be empty, so reaching one reaches what follows as well.
void PathPattern::activate(std::vector<char>& states, size_t state) const {
  while (true) {
    states[state] = 1;
    if (state == tokens_.size()) return;
    const auto type = tokens_[state].type;
    const bool may_be_empty =
        type == Token::Type::AnyRun || type == Token::Type::AnyPath || type == Token::Type::AnyDirectories;
    if (!may_be_empty) return;
    ++state;
  }
}

bool PathPattern::matches(std::string_view path) const {
  if (literal_) return path == text_;
  if (by_suffix_) {
    return path.ends_with(suffix_) ||
           (suffix_.starts_with('/') && path == std::string_view(suffix_).substr(1));
  }
  // Inside "**/" a state of its own stands for "in the middle of a directory name": only '/' leads on.
  std::vector<char> active(tokens_.size() + 1);
  std::vector<char> inside(tokens_.size() + 1);
  std::vector<char> following(tokens_.size() + 1);
  std::vector<char> following_inside(tokens_.size() + 1);
  activate(active, 0);
  for (size_t position = 0; position < path.size();) {
    char32_t c = 0;
    position += decode_utf8(path, position, c);
    std::fill(following.begin(), following.end(), 0);
    std::fill(following_inside.begin(), following_inside.end(), 0);
    for (size_t state = 0; state < tokens_.size(); ++state) {
      const Token& token = tokens_[state];
      if (!active[state] && !inside[state]) continue;
      if (token.type == Token::Type::AnyDirectories) {
        following_inside[state] = 1;
        if (c == U'/') activate(following, state + 1);
        continue;
      }
      if (!active[state] || !consumes(token, c)) continue;
      const bool stays = token.type == Token::Type::AnyRun || token.type == Token::Type::AnyPath;
      activate(following, stays ? state : state + 1);
    }
    active.swap(following);
    inside.swap(following_inside);
  }
  return active[tokens_.size()];
}

}  // namespace berth::spec
