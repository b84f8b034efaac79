// Word expansion: a recursive-descent reader over the source. Depth and output are counted, so that nesting
// and doubling end in errors.
#include "spec/shell_words.h"

#include "base/format.h"
#include "spec/go_quote.h"

namespace berth::spec {
namespace {

constexpr int end_of_input = -1;

Error syntax_error(std::string_view what) {
  return Error(Kind::InvalidArgument, std::string(what));
}

bool is_space(int c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}
bool is_digit(int c) {
  return c >= '0' && c <= '9';
}
bool is_name_char(int c) {
  return c == '_' || is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
/// Special parameters of POSIX XCU 2.5.2, which are names of one character.
bool is_special_parameter(int c) {
  return c > 0 && std::string_view("@*#?-$!0").find(static_cast<char>(c)) != std::string_view::npos;
}

/// Collects words: unquoted space ends one, quoted text belongs to it whatever it holds.
class WordList {
 public:
  void add_plain(char c) {
    if (!is_space(c)) return add_quoted(std::string_view(&c, 1));
    if (current_.empty()) return;
    words_.push_back(std::move(current_));
    current_.clear();
  }
  void add_plain(std::string_view text) {
    for (char c : text) add_plain(c);
  }
  void add_quoted(std::string_view text) { current_ += text; }
  std::vector<std::string> take() {
    if (!current_.empty()) words_.push_back(std::move(current_));
    return std::move(words_);
  }

 private:
  std::string current_;
  std::vector<std::string> words_;
};

class Expander {
 public:
  Expander(std::string_view source, const VariableLookup& lookup, const ShellWordsOptions& options)
      : source_(source), lookup_(lookup), options_(options) {}

  Result<Expansion> run() {
    TRY(result_.text, read_until(end_of_input, options_.escapes, &words_));
    result_.words = words_.take();
    return std::move(result_);
  }

 private:
  int peek() const {
    return position_ < source_.size() ? static_cast<unsigned char>(source_[position_]) : end_of_input;
  }
  int next() {
    const int c = peek();
    if (c != end_of_input) ++position_;
    return c;
  }

  Result<void> count(size_t bytes) {
    produced_ += bytes;
    if (produced_ > options_.max_output)
      return failure(Kind::InvalidArgument, "expansion exceeds {} bytes", options_.max_output);
    return {};
  }

  /// Up to `stop` (consumed) or the end; `words` is given at the outermost level only.
  Result<std::string> read_until(int stop, Escapes escapes, WordList* words) {
    if (++depth_ > options_.max_depth) return syntax_error("substitutions are nested too deeply");
    std::string out;
    while (peek() != end_of_input) {
      const int c = peek();
      if (c == stop) {
        next();
        --depth_;
        return out;
      }
      const bool special =
          c == '$' || c == '<' || ((c == '\'' || c == '"') && options_.quotes != Quotes::Literal);
      if (special) {
        TRY(auto piece, read_special(c, escapes));
        CHECK(count(piece.size()));
        out += piece;
        if (words && c == '$') words->add_plain(piece);
        if (words && c != '$') words->add_quoted(piece);
        continue;
      }
      CHECK(count(1));
      next();
      if (c != options_.escape) {
        out.push_back(static_cast<char>(c));
        if (words) words->add_plain(static_cast<char>(c));
        continue;
      }
      std::string piece;
      if (escapes == Escapes::Keep) piece.push_back(static_cast<char>(c));
      const int escaped = next();
      if (escaped != end_of_input) piece.push_back(static_cast<char>(escaped));
      out += piece;
      if (words) words->add_quoted(piece);
    }
    if (stop != end_of_input) {
      return failure(Kind::InvalidArgument, "unexpected end of statement while looking for matching {}",
                     static_cast<char>(stop));
    }
    --depth_;
    return out;
  }

  Result<std::string> read_special(int c, Escapes escapes) {
    switch (c) {
      case '$':
        return read_variable();
      case '<':
        return read_redirection();
      case '\'':
        return read_single_quoted();
      default:
        return read_double_quoted(escapes);
    }
  }

  /// "<< EOF" stays one word, so that the heredoc's name is found after the space.
  std::string read_redirection() {
    next();
    if (peek() != '<') return "<";
    next();
    std::string out = "<<";
    while (peek() == ' ' || peek() == '\t' || peek() == '\r') out.push_back(static_cast<char>(next()));
    return out;
  }

  Result<std::string> read_single_quoted() {
    std::string out;
    const bool keep = options_.quotes == Quotes::Keep;
    next();
    if (keep) out.push_back('\'');
    for (int c = next(); c != '\''; c = next()) {
      if (c == end_of_input)
        return syntax_error("unexpected end of statement while looking for matching single-quote");
      out.push_back(static_cast<char>(c));
    }
    if (keep) out.push_back('\'');
    return out;
  }

  Result<std::string> read_double_quoted(Escapes escapes) {
    std::string out;
    const bool keep = options_.quotes == Quotes::Keep;
    next();
    if (keep) out.push_back('"');
    while (true) {
      const int c = peek();
      if (c == end_of_input)
        return syntax_error("unexpected end of statement while looking for matching double-quote");
      if (c == '$') {
        TRY(auto value, read_variable());
        CHECK(count(value.size()));
        out += value;
        continue;
      }
      next();
      if (c == '"') break;
      if (c != options_.escape) {
        out.push_back(static_cast<char>(c));
        continue;
      }
      if (escapes == Escapes::Keep) out.push_back(static_cast<char>(c));
      const int escaped = peek();
      if (escaped == end_of_input) continue;  // reported above
      const bool can_be_escaped = escaped == '"' || escaped == '$' || escaped == options_.escape;
      if (can_be_escaped) {
        out.push_back(static_cast<char>(next()));
      } else if (escapes == Escapes::Remove) {
        out.push_back(static_cast<char>(c));
      }
    }
    if (keep) out.push_back('"');
    return out;
  }

  std::string read_name() {
    std::string name;
    if (is_digit(peek())) {
      while (is_digit(peek())) name.push_back(static_cast<char>(next()));
      return name;
    }
    if (is_special_parameter(peek())) return std::string(1, static_cast<char>(next()));
    while (is_name_char(peek())) name.push_back(static_cast<char>(next()));
    return name;
  }

  std::optional<std::string> value_of(const std::string& name) {
    auto value = lookup_(name);
    (value ? result_.matched : result_.unmatched).insert(name);
    return value;
  }

  Result<std::string> read_variable() {
    next();
    if (peek() != '{') {
      const std::string name = read_name();
      if (name.empty()) return std::string("$");
      auto value = value_of(name);
      if (!value && options_.unset == Unset::Keep) return "$" + name;
      return value.value_or("");
    }
    next();
    if (peek() == end_of_input) return syntax_error("syntax error: missing '}'");
    if (peek() == '{' || peek() == '}' || peek() == ':')
      return syntax_error("syntax error: bad substitution");
    const std::string name = read_name();
    const int modifier = next();
    switch (modifier) {
      case '}': {
        auto value = value_of(name);
        if (!value && options_.unset == Unset::Keep) return "${" + name + "}";
        return value.value_or("");
      }
      case ':':
        return read_modified(name, next(), NullIsUnset::Yes);
      case '+':
      case '-':
      case '?':
      case '#':
      case '%':
        return read_modified(name, modifier, NullIsUnset::No);
      case '/':
        return read_replacement(name);
      case end_of_input:
        return syntax_error("syntax error: missing '}'");
      default:
        return failure(Kind::InvalidArgument, "unsupported modifier ({}) in substitution",
                       static_cast<char>(modifier));
    }
  }

  /// The argument of a modifier; at the end of the source the missing brace is what is wrong.
  Result<std::string> read_argument(char stop, Escapes escapes, const char* missing) {
    auto word = read_until(stop, escapes, nullptr);
    if (!word && peek() == end_of_input && depth_ <= options_.max_depth && produced_ <= options_.max_output) {
      return syntax_error(missing);
    }
    return word;
  }

  enum class NullIsUnset { No, Yes };

  Result<std::string> read_modified(const std::string& name, int modifier, NullIsUnset null_is_unset) {
    if (modifier == end_of_input) return syntax_error("syntax error: missing '}'");
    const bool colon = null_is_unset == NullIsUnset::Yes;
    const std::string spelled = (colon ? ":" : "") + std::string(1, static_cast<char>(modifier));
    const bool is_trim = modifier == '#' || modifier == '%';
    const bool known = modifier == '+' || modifier == '-' || modifier == '?' || (is_trim && !colon);
    if (!known) return failure(Kind::InvalidArgument, "unsupported modifier ({}) in substitution", spelled);
    TRY(auto word,
        read_argument('}', is_trim ? Escapes::Keep : Escapes::Remove, "syntax error: missing '}'"));
    auto value = value_of(name);
    if (!value && options_.unset == Unset::Keep) return "${" + name + spelled + word + "}";
    const bool counts_as_set = value && !(colon && value->empty());
    switch (modifier) {
      case '-':
        return counts_as_set ? *value : word;
      case '+':
        return counts_as_set ? word : std::string();
      case '?': {
        if (counts_as_set) return *value;
        const char* usual = value ? "is not allowed to be empty" : "is not allowed to be unset";
        return failure(Kind::InvalidArgument, "{}: {}", name, word.empty() ? usual : word);
      }
      default:
        break;
    }
    const bool doubled = !word.empty() && word[0] == modifier;
    return trim_pattern(value.value_or(""), std::string_view(word).substr(doubled ? 1 : 0),
                        modifier == '#' ? Trim::Prefix : Trim::Suffix,
                        doubled ? Greed::Longest : Greed::Shortest);
  }

  Result<std::string> read_replacement(const std::string& name) {
    const bool all = peek() == '/';
    if (all) next();
    TRY(auto pattern, read_argument('/', Escapes::Keep, "syntax error: missing '/' in ${}"));
    TRY(auto replacement, read_argument('}', Escapes::Keep, "syntax error: missing '}'"));
    auto value = value_of(name);
    if (!value && options_.unset == Unset::Keep) {
      return "${" + name + (all ? "//" : "/") + pattern + "/" + replacement + "}";
    }
    return replace_pattern(value.value_or(""), pattern, replacement,
                           all ? Occurrences::All : Occurrences::First);
  }

  std::string_view source_;
  const VariableLookup& lookup_;
  const ShellWordsOptions& options_;
  size_t position_ = 0;
  size_t depth_ = 0;
  size_t produced_ = 0;
  WordList words_;
  Expansion result_;
};

}  // namespace

Result<Expansion> expand_words(std::string_view source, const VariableLookup& lookup,
                               const ShellWordsOptions& options) {
  auto result = Expander(source, lookup, options).run();
  if (result) return result;
  constexpr size_t longest_shown = 200;
  return failure(Kind::InvalidArgument, "failed to process {}: {}", go_quote(source.substr(0, longest_shown)),
                 result.error().message());
}

Result<std::string> expand_word(std::string_view source, const VariableLookup& lookup,
                                const ShellWordsOptions& options) {
  TRY(auto expansion, expand_words(source, lookup, options));
  return std::move(expansion.text);
}

}  // namespace berth::spec
