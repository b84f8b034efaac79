// Recursive descent over the tokens; failures are kept in the parser and unwind by null nodes.
#include "apps/berth/gotemplate/parser.h"

#include <algorithm>
#include <charconv>

#include "apps/berth/gotemplate/lexer.h"
#include "base/format.h"

namespace berth::cli::gotemplate {
namespace {

/// Nesting of actions and parentheses that a format given by a user may have.
constexpr int max_depth = 100;

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

/// Undoes the escapes of a Go string or character literal; false when one is malformed.
bool unquote(std::string_view literal, std::string& out) {
  std::string_view body = literal.substr(1, literal.size() - 2);
  for (size_t i = 0; i < body.size(); ++i) {
    if (body[i] != '\\') {
      out += body[i];
      continue;
    }
    if (++i >= body.size()) return false;
    constexpr std::string_view names = "abfnrtv\\\"'";
    constexpr std::string_view values = "\a\b\f\n\r\t\v\\\"'";
    if (size_t known = names.find(body[i]); known != std::string_view::npos) {
      out += values[known];
      continue;
    }
    bool octal = body[i] >= '0' && body[i] <= '7';
    size_t digits = octal ? 3 : body[i] == 'x' ? 2 : body[i] == 'u' ? 4 : body[i] == 'U' ? 8 : 0;
    size_t from = octal ? i : i + 1;
    if (digits == 0 || from + digits > body.size()) return false;
    uint32_t code = 0;
    auto [end, error] =
        std::from_chars(body.data() + from, body.data() + from + digits, code, octal ? 8 : 16);
    if (error != std::errc() || end != body.data() + from + digits || code > 0x10FFFF) return false;
    if (digits <= 3) {
      out += static_cast<char>(code);
    } else {
      append_utf8(out, code);
    }
    i = from + digits - 1;
  }
  return true;
}

bool parse_number(std::string_view text, Value& value) {
  std::string_view digits = text;
  bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  int base = 10;
  if (digits.size() > 1 && digits[0] == '0') {
    char kind = digits[1];
    base = kind == 'x' || kind == 'X' ? 16 : kind == 'b' || kind == 'B' ? 2 : 8;
    if (base != 8 || kind == 'o' || kind == 'O') digits.remove_prefix(2);
  }
  uint64_t whole = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), whole, base);
  if (error == std::errc() && end == digits.data() + digits.size() && !digits.empty()) {
    if (negative) {
      value = -static_cast<int64_t>(whole);
    } else {
      value = Value(whole);
    }
    return true;
  }
  if (base == 16 || base == 2) return false;
  double real = 0;
  std::string_view all = text.starts_with('+') ? text.substr(1) : text;
  auto [real_end, real_error] = std::from_chars(all.data(), all.data() + all.size(), real);
  if (real_error != std::errc() || real_end != all.data() + all.size()) return false;
  value = real;
  return true;
}

class Parser {
 public:
  Parser(std::string_view source, std::string_view name, std::vector<Token> tokens)
      : source_(source), name_(name), tokens_(std::move(tokens)), variables_{"$"} {}

  Result<NodePtr> run() {
    NodePtr root = sequence(false);
    if (!message_.empty()) return error();
    return root;
  }

  Error error() const { return error_at(position_, message_); }
  Error error_at(size_t position, std::string_view message) const {
    size_t line = 1 + static_cast<size_t>(std::count(
                          source_.begin(),
                          source_.begin() + static_cast<long>(std::min(position, source_.size())), '\n'));
    return failure(Kind::InvalidArgument, "template: {}:{}: {}", name_, line, message);
  }

 private:
  using TokenKind = Token::Kind;

  const Token& peek() const { return tokens_[at_]; }
  const Token& peek_past_space() {
    while (peek().kind == TokenKind::Space) ++at_;
    return peek();
  }
  Token next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }

  NodePtr fail(std::string message) {
    if (message_.empty()) {
      message_ = std::move(message);
      position_ = peek().position;
    }
    return nullptr;
  }
  NodePtr unexpected(const Token& token, std::string_view where) {
    if (token.kind == TokenKind::End) return fail("unexpected EOF");
    std::string text = token.text.size() > 10 ? token.text.substr(0, 10) + "\"..." : token.text + "\"";
    bool keyword =
        token.kind == TokenKind::Identifier &&
        (token.text == "if" || token.text == "range" || token.text == "with" || token.text == "end" ||
         token.text == "else" || token.text == "break" || token.text == "continue");
    if (keyword) return fail(fmt::format("unexpected <{}> in {}", token.text, where));
    return fail(fmt::format("unexpected \"{} in {}", text, where));
  }
  static NodePtr make(Node::Kind kind, size_t position, std::string text = {}) {
    auto node = std::make_shared<Node>();
    node->kind = kind;
    node->position = position;
    node->text = std::move(text);
    return node;
  }

  enum class Stop { None, End, Else };

  /// Children up to {{end}}, {{else}} (only inside a control action) or the end of the source.
  NodePtr sequence(bool inside) {
    NodePtr list = make(Node::Kind::Sequence, peek().position);
    stop_ = Stop::None;
    while (message_.empty()) {
      if (peek().kind == TokenKind::End) {
        if (inside) return fail("unexpected EOF");
        return list;
      }
      Token token = next();
      if (token.kind == TokenKind::Text) {
        list->children.push_back(make(Node::Kind::Text, token.position, token.text));
        continue;
      }
      NodePtr child = action(inside);
      if (stop_ != Stop::None) return list;
      if (child == nullptr) return nullptr;
      list->children.push_back(child);
    }
    return nullptr;
  }

  NodePtr action(bool inside) {
    const Token first = peek_past_space();
    if (first.kind == TokenKind::Identifier) {
      if (first.text == "if") return control(Node::Kind::If, "if");
      if (first.text == "with") return control(Node::Kind::With, "with");
      if (first.text == "range") return control(Node::Kind::Range, "range");
      if (first.text == "end" || first.text == "else") {
        if (!inside) return fail(fmt::format("unexpected {{{{{}}}}}", first.text));
        ++at_;
        if (first.text == "end" && !close("end")) return nullptr;
        stop_ = first.text == "end" ? Stop::End : Stop::Else;
        return nullptr;
      }
      if (first.text == "break" || first.text == "continue") {
        if (loops_ == 0) return fail(fmt::format("{{{{{}}}}} outside {{{{range}}}}", first.text));
        ++at_;
        if (!close(first.text)) return nullptr;
        return make(first.text == "break" ? Node::Kind::Break : Node::Kind::Continue, first.position);
      }
      if (first.text == "define" || first.text == "template" || first.text == "block") {
        return fail(fmt::format("{{{{{}}}}} is not supported here", first.text));
      }
    }
    NodePtr node = make(Node::Kind::Action, first.position);
    node->pipe = pipeline("command", TokenKind::Close);
    return node->pipe == nullptr ? nullptr : node;
  }

  bool close(std::string_view where) {
    if (peek_past_space().kind == TokenKind::Close) {
      ++at_;
      return true;
    }
    unexpected(peek(), where);
    return false;
  }

  NodePtr control(Node::Kind kind, std::string_view word) {
    if (++depth_ > max_depth) return fail("actions are nested too deep");
    Token keyword = next();
    NodePtr node = make(kind, keyword.position);
    size_t known = variables_.size();
    node->pipe = pipeline(word, TokenKind::Close);
    if (node->pipe == nullptr) return nullptr;
    if (kind == Node::Kind::Range) ++loops_;
    NodePtr body = sequence(true);
    if (kind == Node::Kind::Range) --loops_;
    if (body == nullptr) return nullptr;
    NodePtr otherwise;
    if (stop_ == Stop::Else) {
      otherwise = else_branch(kind, word);
      if (otherwise == nullptr) return nullptr;
    }
    stop_ = Stop::None;
    variables_.resize(known);
    node->children = {body, otherwise};
    --depth_;
    return node;
  }

  /// After "{{else": "}} ... {{end}}" or " if ..." which shares the outer {{end}}.
  NodePtr else_branch(Node::Kind kind, std::string_view word) {
    const Token token = peek_past_space();
    if (token.kind == TokenKind::Identifier && token.text == word && kind != Node::Kind::Range) {
      NodePtr list = make(Node::Kind::Sequence, token.position);
      NodePtr nested = control(kind, word);
      if (nested == nullptr) return nullptr;
      list->children.push_back(nested);
      stop_ = Stop::End;
      return list;
    }
    if (!close("else")) return nullptr;
    NodePtr body = sequence(true);
    if (body == nullptr) return nullptr;
    if (stop_ == Stop::Else) return fail("expected end; found {{else}}");
    return body;
  }

  /// Declarations and commands up to the closing token, which is consumed.
  NodePtr pipeline(std::string_view where, TokenKind end) {
    NodePtr pipe = make(Node::Kind::Pipeline, peek_past_space().position);
    if (!declarations(*pipe, where)) return nullptr;
    size_t from = peek_past_space().position;
    while (message_.empty()) {
      const Token token = peek_past_space();
      if (token.kind == end) {
        if (pipe->children.empty()) return fail(fmt::format("missing value for {}", where));
        pipe->text = trimmed(from, token.position);
        ++at_;
        return check(pipe);
      }
      if (token.kind == TokenKind::End) return fail("unexpected EOF");
      NodePtr one = command();
      if (one == nullptr) return nullptr;
      pipe->children.push_back(one);
    }
    return nullptr;
  }

  std::string trimmed(size_t from, size_t to) const {
    std::string_view text = source_.substr(from, to - from);
    while (!text.empty() && (text.back() == ' ' || text.back() == '-')) text.remove_suffix(1);
    return std::string(text);
  }

  /// Later commands of a pipeline get the value before them as an argument: a constant cannot take one.
  NodePtr check(const NodePtr& pipe) {
    for (size_t i = 1; i < pipe->children.size(); ++i) {
      Node::Kind kind = pipe->children[i]->children[0]->kind;
      if (kind == Node::Kind::Literal || kind == Node::Kind::Dot || kind == Node::Kind::NilLiteral) {
        return fail(fmt::format("non executable command in pipeline stage {}", i + 1));
      }
    }
    return pipe;
  }

  bool declarations(Node& pipe, std::string_view where) {
    size_t start = at_;
    std::vector<std::string> names;
    while (peek_past_space().kind == TokenKind::Variable) {
      names.push_back(next().text);
      const Token after = peek_past_space();
      if (after.kind == TokenKind::Comma && where == "range" && names.size() == 1) {
        ++at_;
        continue;
      }
      if (after.kind != TokenKind::Declare && after.kind != TokenKind::Assign) break;
      ++at_;
      pipe.assigns = after.kind == TokenKind::Assign;
      for (const std::string& name : names) {
        bool known = std::find(variables_.begin(), variables_.end(), name) != variables_.end();
        if (pipe.assigns && !known) {
          fail(fmt::format("undefined variable \"{}\"", name));
          return false;
        }
        if (!pipe.assigns) variables_.push_back(name);
      }
      pipe.names = std::move(names);
      return true;
    }
    at_ = start;
    return true;
  }

  NodePtr command() {
    NodePtr node = make(Node::Kind::Command, peek_past_space().position);
    size_t end = node->position;
    while (message_.empty()) {
      NodePtr one = operand();
      if (!message_.empty()) return nullptr;
      if (one != nullptr) node->children.push_back(one);
      end = peek().position;
      const Token token = peek();
      if (token.kind == TokenKind::Space) {
        ++at_;
        if (one != nullptr) continue;
        continue;
      }
      if (token.kind == TokenKind::Close || token.kind == TokenKind::RightParenthesis) break;
      if (token.kind == TokenKind::Pipe) {
        ++at_;
        TokenKind after = peek_past_space().kind;
        if (after == TokenKind::Close || after == TokenKind::RightParenthesis)
          return fail("missing value for command");
        break;
      }
      return unexpected(token, "operand");
    }
    if (!message_.empty()) return nullptr;
    if (node->children.empty()) return fail("empty command");
    node->text = trimmed(node->position, end);
    return node;
  }

  /// A term with the fields that follow it, or null when no term starts here.
  NodePtr operand() {
    NodePtr node = term();
    if (node == nullptr || peek().kind != TokenKind::Field) return node;
    size_t position = peek().position;
    std::vector<std::string> fields;
    while (peek().kind == TokenKind::Field) fields.push_back(next().text.substr(1));
    std::string suffix;
    for (const std::string& field : fields) suffix += "." + field;
    if (node->kind == Node::Kind::Field || node->kind == Node::Kind::Variable) {
      node->names.insert(node->names.end(), fields.begin(), fields.end());
      node->text += suffix;
      node->position = position;
      return node;
    }
    if (node->kind == Node::Kind::Literal || node->kind == Node::Kind::NilLiteral ||
        node->kind == Node::Kind::Dot) {
      return fail(fmt::format("unexpected . after term \"{}\"", node->text));
    }
    NodePtr chain = make(Node::Kind::Chain, position, node->text + suffix);
    chain->names = std::move(fields);
    chain->children.push_back(node);
    return chain;
  }

  NodePtr term() {
    const Token token = peek();
    switch (token.kind) {
      case TokenKind::Identifier:
        return identifier();
      case TokenKind::Dot:
        ++at_;
        return make(Node::Kind::Dot, token.position, ".");
      case TokenKind::Field: {
        ++at_;
        NodePtr node = make(Node::Kind::Field, token.position, token.text);
        node->names.push_back(token.text.substr(1));
        return node;
      }
      case TokenKind::Variable: {
        if (std::find(variables_.begin(), variables_.end(), token.text) == variables_.end()) {
          return fail(fmt::format("undefined variable \"{}\"", token.text));
        }
        ++at_;
        NodePtr node = make(Node::Kind::Variable, token.position, token.text);
        node->names.push_back(token.text);
        return node;
      }
      case TokenKind::LeftParenthesis:
        return parenthesis();
      case TokenKind::String:
      case TokenKind::RawString:
      case TokenKind::Character:
      case TokenKind::Number:
        return literal();
      default:
        return nullptr;
    }
  }

  NodePtr parenthesis() {
    if (++depth_ > max_depth) return fail("parentheses are nested too deep");
    size_t position = next().position;
    NodePtr pipe = pipeline("parenthesized pipeline", TokenKind::RightParenthesis);
    if (pipe == nullptr) return nullptr;
    pipe->position = position;
    pipe->text = "(" + pipe->text + ")";
    --depth_;
    return pipe;
  }

  NodePtr identifier() {
    const Token token = next();
    if (token.text == "true" || token.text == "false") {
      NodePtr node = make(Node::Kind::Literal, token.position, token.text);
      node->value = token.text == "true";
      return node;
    }
    if (token.text == "nil") return make(Node::Kind::NilLiteral, token.position, token.text);
    if (!is_function(token.text)) return fail(fmt::format("function \"{}\" not defined", token.text));
    NodePtr node = make(Node::Kind::Function, token.position, token.text);
    node->names.push_back(token.text);
    return node;
  }

  NodePtr literal() {
    const Token token = next();
    NodePtr node = make(Node::Kind::Literal, token.position, token.text);
    std::string text;
    switch (token.kind) {
      case TokenKind::RawString:
        node->value = token.text.substr(1, token.text.size() - 2);
        return node;
      case TokenKind::String:
        if (!unquote(token.text, text)) return fail("invalid syntax");
        node->value = text;
        return node;
      case TokenKind::Character: {
        if (!unquote(token.text, text) || text.empty()) {
          return fail(fmt::format("malformed character constant: {}", token.text));
        }
        node->value = static_cast<int64_t>(static_cast<unsigned char>(text[0]));
        return node;
      }
      default:
        if (!parse_number(token.text, node->value)) {
          return fail(fmt::format("bad number syntax: \"{}\"", token.text));
        }
        return node;
    }
  }

  std::string_view source_;
  std::string name_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::vector<std::string> variables_;
  int loops_ = 0;
  int depth_ = 0;
  Stop stop_ = Stop::None;
  std::string message_;
  size_t position_ = 0;
};

}  // namespace

Result<NodePtr> parse_template(std::string_view source, std::string_view name) {
  auto tokens = split_tokens(source);
  if (!tokens) {
    return Parser(source, name, {}).error_at(tokens.error().position, tokens.error().message);
  }
  return Parser(source, name, std::move(*tokens)).run();
}

}  // namespace berth::cli::gotemplate
