// The patterns of ${name#p}, ${name%p} and ${name/p/r}: '*', '?' and escapes, matched as a set of states that
// advances once per character, so that time is the product of the lengths and never exponential.
#include <algorithm>
#include <cstdint>

#include "base/format.h"
#include "spec/go_quote.h"
#include "spec/shell_words.h"

namespace berth::spec {
namespace {

struct Token {
  enum class Kind { Literal, AnyOne, AnyRun } kind;
  char32_t code = 0;
};

std::u32string decode(std::string_view text, std::vector<size_t>* offsets) {
  std::u32string out;
  for (size_t i = 0; i < text.size();) {
    char32_t code = 0;
    const size_t length = decode_utf8(text, i, code);
    // A stray byte keeps its identity, so that two different ones do not match each other.
    if (length == 1 && static_cast<unsigned char>(text[i]) >= 0x80)
      code = 0x110000 + static_cast<unsigned char>(text[i]);
    if (offsets) offsets->push_back(i);
    out.push_back(code);
    i += length;
  }
  if (offsets) offsets->push_back(text.size());
  return out;
}

Result<std::vector<Token>> tokenize(std::string_view pattern) {
  const auto invalid = [&](std::string_view why) {
    return failure(Kind::InvalidArgument, "invalid pattern ({}) in substitution: {}", pattern, why);
  };
  std::vector<Token> tokens;
  const std::u32string codes = decode(pattern, nullptr);
  for (size_t i = 0; i < codes.size(); ++i) {
    const char32_t c = codes[i];
    if (c == U'*') {
      if (tokens.empty() || tokens.back().kind != Token::Kind::AnyRun)
        tokens.push_back({Token::Kind::AnyRun});
    } else if (c == U'?') {
      tokens.push_back({Token::Kind::AnyOne});
    } else if (c == U'\\') {
      if (++i == codes.size()) return invalid("trailing escape");
      constexpr std::u32string_view escapable = U"}/*?\\";
      if (escapable.find(codes[i]) == std::u32string_view::npos) return invalid("invalid escape");
      tokens.push_back({Token::Kind::Literal, codes[i]});
    } else {
      tokens.push_back({Token::Kind::Literal, c});
    }
  }
  return tokens;
}

/// Steps that all matches of one substitution may take together.
constexpr uint64_t max_steps = 50'000'000;

class Matcher {
 public:
  explicit Matcher(const std::vector<Token>& tokens)
      : tokens_(tokens), active_(tokens.size() + 1), following_(tokens.size() + 1) {}

  /// How many characters from `start` on match; none: no match. Too much work: Exhausted.
  Result<std::optional<size_t>> match(std::u32string_view text, size_t start, Greed greed) {
    std::fill(active_.begin(), active_.end(), 0);
    activate(active_, 0);
    std::optional<size_t> found;
    for (size_t position = start;; ++position) {
      if (active_[tokens_.size()]) {
        found = position - start;
        if (greed == Greed::Shortest) return found;
      }
      if (position == text.size()) return found;
      steps_ += tokens_.size() + 1;
      if (steps_ > max_steps) return Error(Kind::Exhausted, "substitution takes too long");
      if (!advance(text[position])) return found;
    }
  }

 private:
  /// A run may be empty, so reaching it reaches what follows.
  void activate(std::vector<char>& states, size_t state) {
    states[state] = 1;
    if (state < tokens_.size() && tokens_[state].kind == Token::Kind::AnyRun) states[state + 1] = 1;
  }
  bool advance(char32_t c) {
    std::fill(following_.begin(), following_.end(), 0);
    bool any = false;
    for (size_t state = 0; state < tokens_.size(); ++state) {
      if (!active_[state]) continue;
      const Token& token = tokens_[state];
      const bool matches = token.kind == Token::Kind::Literal ? token.code == c : c != U'\n';
      if (!matches) continue;
      activate(following_, token.kind == Token::Kind::AnyRun ? state : state + 1);
      any = true;
    }
    active_.swap(following_);
    return any;
  }

  const std::vector<Token>& tokens_;
  std::vector<char> active_;
  std::vector<char> following_;
  uint64_t steps_ = 0;
};

}  // namespace

Result<std::string> trim_pattern(std::string_view value, std::string_view pattern, Trim side, Greed greed) {
  TRY(auto tokens, tokenize(pattern));
  std::vector<size_t> offsets;
  std::u32string codes = decode(value, &offsets);
  if (side == Trim::Suffix) {
    std::reverse(codes.begin(), codes.end());
    std::reverse(tokens.begin(), tokens.end());
  }
  TRY(auto length, Matcher(tokens).match(codes, 0, greed));
  if (!length) return std::string(value);
  if (side == Trim::Prefix) return std::string(value.substr(offsets[*length]));
  return std::string(value.substr(0, offsets[codes.size() - *length]));
}

Result<std::string> replace_pattern(std::string_view value, std::string_view pattern,
                                    std::string_view replacement, Occurrences occurrences) {
  TRY(auto tokens, tokenize(pattern));
  std::vector<size_t> offsets;
  const std::u32string codes = decode(value, &offsets);
  Matcher matcher(tokens);
  constexpr size_t max_output = 4u << 20;
  std::string out;
  std::optional<size_t> last_end;
  for (size_t i = 0; i <= codes.size();) {
    TRY(auto length, matcher.match(codes, i, Greed::Longest));
    const bool replaces = length && !(*length == 0 && last_end == i);
    if (replaces) {
      out += replacement;
      if (out.size() > max_output)
        return failure(Kind::InvalidArgument, "expansion exceeds {} bytes", max_output);
      last_end = i + *length;
      if (occurrences == Occurrences::First) return out + std::string(value.substr(offsets[*last_end]));
    }
    if (replaces && *length > 0) {
      i = *last_end;
      continue;
    }
    if (i < codes.size()) out += value.substr(offsets[i], offsets[i + 1] - offsets[i]);
    ++i;
  }
  return out;
}

}  // namespace berth::spec
