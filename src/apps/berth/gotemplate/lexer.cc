// Tokens of a template.
#include "apps/berth/gotemplate/lexer.h"

#include "base/format.h"

namespace berth::cli::gotemplate {
namespace {

constexpr std::string_view space_characters = " \t\r\n";

bool is_space(char c) {
  return space_characters.find(c) != std::string_view::npos;
}
bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         (c & 0x80) != 0;
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::expected<std::vector<Token>, LexError> run() {
    while (error_.message.empty() && at_ < source_.size()) text();
    if (!error_.message.empty()) return std::unexpected(error_);
    add(Token::Kind::End, at_, at_);
    return std::move(tokens_);
  }

 private:
  void add(Token::Kind kind, size_t from, size_t to) {
    tokens_.push_back({kind, from, std::string(source_.substr(from, to - from))});
    at_ = to;
  }
  void fail(std::string message) { error_ = {at_, std::move(message)}; }
  bool starts(std::string_view text, size_t at) const { return source_.substr(at).starts_with(text); }
  char peek(size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }

  /// "- " after {{ and " -" before }} take the space beyond them away.
  bool trims_left(size_t after_open) const {
    return starts("-", after_open) && after_open + 1 < source_.size() && is_space(source_[after_open + 1]);
  }

  void text() {
    size_t open = source_.find("{{", at_);
    size_t end = open == std::string_view::npos ? source_.size() : open;
    size_t from = at_;
    if (trim_next_) {
      while (from < end && is_space(source_[from])) ++from;
    }
    size_t to = end;
    if (open != std::string_view::npos && trims_left(open + 2)) {
      while (to > from && is_space(source_[to - 1])) --to;
    }
    trim_next_ = false;
    if (to > from) add(Token::Kind::Text, from, to);
    at_ = end;
    if (open != std::string_view::npos) action();
  }

  void action() {
    size_t after = at_ + 2;
    if (trims_left(after)) after += 2;
    size_t comment = after;
    while (comment < source_.size() && is_space(source_[comment])) ++comment;
    if (starts("/*", after)) return skip_comment(after);
    tokens_.push_back({Token::Kind::Open, at_, "{{"});
    at_ = after;
    parentheses_ = 0;
    while (error_.message.empty()) {
      if (close()) return;
      inside();
    }
  }

  void skip_comment(size_t from) {
    size_t end = source_.find("*/", from);
    if (end == std::string_view::npos) return fail("unclosed comment");
    at_ = end + 2;
    if (starts("}}", at_)) {
      at_ += 2;
    } else if (is_space(peek()) && starts("-}}", at_ + 1)) {
      at_ += 4;
      trim_next_ = true;
    } else {
      fail("comment ends before closing delimiter");
    }
  }

  bool close() {
    if (starts("}}", at_)) {
      if (parentheses_ > 0) {
        fail("unclosed left paren");
        return true;
      }
      add(Token::Kind::Close, at_, at_ + 2);
      return true;
    }
    size_t space = at_;
    while (space < source_.size() && is_space(source_[space])) ++space;
    if (space > at_ && starts("-}}", space)) {
      if (parentheses_ > 0) {
        fail("unclosed left paren");
        return true;
      }
      at_ = space;
      add(Token::Kind::Close, space, space + 3);
      trim_next_ = true;
      return true;
    }
    return false;
  }

  void inside() {
    if (at_ >= source_.size()) return fail("unclosed action");
    char c = peek();
    if (is_space(c)) return spaces();
    if (c == '"' || c == '\'') return quoted(c);
    if (c == '`') return raw();
    if (c == '$') return word(Token::Kind::Variable, 1);
    if (c == '.' && !is_digit(peek(1))) {
      return is_word(peek(1)) ? word(Token::Kind::Field, 1) : add(Token::Kind::Dot, at_, at_ + 1);
    }
    if (is_digit(c) || ((c == '+' || c == '-' || c == '.') && (is_digit(peek(1)) || peek(1) == '.')))
      return number();
    if (is_word(c)) return word(Token::Kind::Identifier, 0);
    if (c == ':') {
      if (peek(1) != '=') return fail("expected :=");
      return add(Token::Kind::Declare, at_, at_ + 2);
    }
    switch (c) {
      case '=':
        return add(Token::Kind::Assign, at_, at_ + 1);
      case '|':
        return add(Token::Kind::Pipe, at_, at_ + 1);
      case ',':
        return add(Token::Kind::Comma, at_, at_ + 1);
      case '(':
        ++parentheses_;
        return add(Token::Kind::LeftParenthesis, at_, at_ + 1);
      case ')':
        if (--parentheses_ < 0) return fail("unexpected right paren");
        return add(Token::Kind::RightParenthesis, at_, at_ + 1);
      default:
        return fail(
            fmt::format("unrecognized character in action: U+{:04X} '{}'", static_cast<unsigned char>(c), c));
    }
  }

  void spaces() {
    size_t end = at_;
    while (end < source_.size() && is_space(source_[end]) && !(end > at_ && starts("-}}", end))) ++end;
    if (starts("-}}", end) && end > at_) {
      // Leave one space for close() to see the trim marker.
      if (end - 1 > at_) add(Token::Kind::Space, at_, end - 1);
      at_ = end - 1;
      return;
    }
    add(Token::Kind::Space, at_, end);
  }

  void word(Token::Kind kind, size_t prefix) {
    size_t end = at_ + prefix;
    while (end < source_.size() && is_word(source_[end])) ++end;
    if (end < source_.size() && !terminates(end)) {
      at_ = end;
      return fail(
          fmt::format("bad character U+{:04X} '{}'", static_cast<unsigned char>(source_[end]), source_[end]));
    }
    add(kind, at_, end);
  }

  bool terminates(size_t at) const {
    char c = source_[at];
    return is_space(c) || std::string_view(".,|:)(=").find(c) != std::string_view::npos || starts("}}", at);
  }

  void quoted(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote && source_[end] != '\n') {
      end += source_[end] == '\\' ? 2 : 1;
    }
    if (end >= source_.size() || source_[end] != quote) {
      return fail(quote == '"' ? "unterminated quoted string" : "unterminated character constant");
    }
    add(quote == '"' ? Token::Kind::String : Token::Kind::Character, at_, end + 1);
  }

  void raw() {
    size_t end = source_.find('`', at_ + 1);
    if (end == std::string_view::npos) return fail("unterminated raw quoted string");
    add(Token::Kind::RawString, at_, end + 1);
  }

  void number() {
    size_t end = at_ + 1;
    while (end < source_.size() && (is_word(source_[end]) || source_[end] == '.' ||
                                    ((source_[end] == '+' || source_[end] == '-') &&
                                     (source_[end - 1] == 'e' || source_[end - 1] == 'E')))) {
      ++end;
    }
    add(Token::Kind::Number, at_, end);
  }

  std::string_view source_;
  size_t at_ = 0;
  bool trim_next_ = false;
  int parentheses_ = 0;
  std::vector<Token> tokens_;
  LexError error_;
};

}  // namespace

std::expected<std::vector<Token>, LexError> split_tokens(std::string_view source) {
  return Lexer(source).run();
}

}  // namespace berth::cli::gotemplate
