// Splitting lines of a Dockerfile into keyword, flags, words and documents.
#include "spec/dockerfile_lexer.h"

#include <algorithm>

#include "base/format.h"
#include "base/json.h"
#include "spec/go_quote.h"
#include "spec/shell_words.h"

namespace berth::spec::dockerfile {
namespace {

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/// Where the flags end and the arguments begin.
class FlagSplitter {
 public:
  FlagSplitter(std::string_view text, char escape) : text_(text), escape_(escape) {}

  std::vector<std::string> flags;

  /// Returns what follows the flags.
  std::string_view run() {
    while (true) {
      while (position_ < text_.size() && is_space(text_[position_])) ++position_;
      const std::string_view rest = text_.substr(position_);
      if (!rest.starts_with("--")) return rest;
      std::string word = read_word();
      if (word == "--") return text_.substr(position_);
      if (!word.empty()) flags.push_back(std::move(word));
    }
  }

 private:
  std::string read_word() {
    std::string word;
    char quote = 0;
    for (; position_ < text_.size(); ++position_) {
      const char c = text_[position_];
      if (quote == 0 && is_space(c)) break;
      if (quote == 0 && (c == '\'' || c == '"')) {
        quote = c;
      } else if (quote != 0 && c == quote) {
        quote = 0;
      } else if (c == escape_) {
        if (position_ + 1 < text_.size()) word.push_back(text_[++position_]);
      } else {
        word.push_back(c);
      }
    }
    return word;
  }

  std::string_view text_;
  char escape_;
  size_t position_ = 0;
};

}  // namespace

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  return out;
}

CommandParts split_command(std::string_view line, char escape) {
  line = trim(line);
  const auto end = std::find_if(line.begin(), line.end(), is_blank);
  CommandParts parts;
  parts.keyword = std::string(line.begin(), end);
  FlagSplitter splitter(line.substr(parts.keyword.size()), escape);
  parts.arguments = std::string(trim(splitter.run()));
  parts.flags = std::move(splitter.flags);
  return parts;
}

std::vector<std::string> split_words(std::string_view text, char escape) {
  std::vector<std::string> words;
  std::string word;
  bool has_word = false;  // a quoted empty string is a word
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == 0 && is_space(c)) {
      if (has_word) words.push_back(std::move(word));
      word.clear();
      has_word = false;
      continue;
    }
    if (c == escape && quote != '\'') {
      if (i + 1 == text.size()) break;  // an escape at the end escapes nothing
      word.push_back(c);
      word.push_back(text[++i]);
      has_word = true;
      continue;
    }
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    }
    word.push_back(c);
    has_word = true;
  }
  if (has_word) words.push_back(std::move(word));
  return words;
}

std::vector<std::string> split_blanks(std::string_view text) {
  std::vector<std::string> words;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    while (i < text.size() && !is_blank(text[i])) ++i;
    words.emplace_back(text.substr(begin, i - begin));
    while (i < text.size() && is_blank(text[i])) ++i;
  }
  return words;
}

Result<std::vector<KeyValue>> split_key_values(std::string_view text, std::string_view keyword, char escape) {
  const auto words = split_words(text, escape);
  std::vector<KeyValue> out;
  if (words.empty()) return failure(Kind::InvalidArgument, "{} requires at least one argument", keyword);
  if (words[0].find('=') == std::string::npos) {
    const auto blank = std::find_if(text.begin(), text.end(), is_blank);
    if (blank == text.end()) return failure(Kind::InvalidArgument, "{} must have two arguments", keyword);
    const auto value = std::find_if_not(blank, text.end(), is_blank);
    out.push_back({std::string(text.begin(), blank), std::string(value, text.end()), true});
    return out;
  }
  for (const auto& word : words) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) {
      return failure(Kind::InvalidArgument,
                     "Syntax error - can't find = in {}. Must be of the form: name=value", go_quote(word));
    }
    if (equals == 0) return failure(Kind::InvalidArgument, "{} names can not be blank", keyword);
    out.push_back({word.substr(0, equals), word.substr(equals + 1), false});
  }
  return out;
}

Result<std::optional<std::vector<std::string>>> json_form(std::string_view text) {
  using Strings = std::optional<std::vector<std::string>>;
  text = trim(text);
  if (!text.starts_with('[')) return Strings();
  const auto document = parse_json(text);
  if (!document || !document->is_array()) return Strings();
  std::vector<std::string> out;
  for (const auto& element : *document) {
    if (!element.is_string()) {
      return Error(Kind::InvalidArgument,
                   "when using JSON array syntax, arrays must be comprised of strings only");
    }
    out.push_back(element.get<std::string>());
  }
  return Strings(std::move(out));
}

std::optional<Heredoc> parse_heredoc_word(std::string_view word) {
  size_t i = 0;
  while (i < word.size() && word[i] >= '0' && word[i] <= '9') ++i;
  const std::string_view digits = word.substr(0, i);
  std::string_view rest = word.substr(i);
  if (!rest.starts_with("<<") || digits.size() > 4) return std::nullopt;
  rest.remove_prefix(2);
  Heredoc heredoc;
  heredoc.strip_tabs = rest.starts_with('-');
  if (heredoc.strip_tabs) rest.remove_prefix(1);
  while (!rest.empty() && is_space(rest.front())) rest.remove_prefix(1);
  if (rest.empty() || rest.find('<') != std::string_view::npos) return std::nullopt;
  for (const char c : digits) heredoc.descriptor = heredoc.descriptor * 10 + static_cast<unsigned>(c - '0');
  const VariableLookup nothing = [](std::string_view) { return std::nullopt; };
  const auto bare = expand_words(rest, nothing, {.unset = Unset::Keep});
  const auto quoted = expand_words(rest, nothing, {.quotes = Quotes::Keep, .unset = Unset::Keep});
  if (!bare || !quoted || bare->words.size() != 1 || quoted->words.size() != 1) return std::nullopt;
  heredoc.name = bare->words[0];
  const auto quotes_in = [](const std::string& text) {
    return std::count_if(text.begin(), text.end(), [](char c) { return c == '\'' || c == '"'; });
  };
  heredoc.expand = quotes_in(heredoc.name) == quotes_in(quoted->words[0]);
  return heredoc;
}

std::vector<Heredoc> find_heredocs(std::string_view line) {
  std::vector<Heredoc> found;
  const VariableLookup nothing = [](std::string_view) { return std::nullopt; };
  const ShellWordsOptions as_written{.quotes = Quotes::Keep, .escapes = Escapes::Keep, .unset = Unset::Keep};
  const auto expansion = expand_words(line, nothing, as_written);
  if (!expansion) return found;  // unbalanced quotes: the shell's business
  for (const auto& word : expansion->words) {
    if (auto heredoc = parse_heredoc_word(word)) found.push_back(std::move(*heredoc));
  }
  return found;
}

std::string FlagReader::text(std::string_view name) {
  known_.push_back({std::string(name), Type::Text});
  const auto values = values_of(name);
  return values.empty() ? std::string() : values.front();
}

std::vector<std::string> FlagReader::texts(std::string_view name) {
  known_.push_back({std::string(name), Type::List});
  return values_of(name);
}

std::vector<std::string> FlagReader::values_of(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& flag : flags_) {
    const size_t equals = flag.find('=');
    if (equals == std::string::npos || std::string_view(flag).substr(2, equals - 2) != name) continue;
    values.push_back(flag.substr(equals + 1));
  }
  return values;
}

std::optional<bool> FlagReader::boolean(std::string_view name) {
  known_.push_back({std::string(name), Type::Boolean});
  for (const auto& flag : flags_) {
    const size_t equals = flag.find('=');
    if (std::string_view(flag).substr(2, equals == std::string::npos ? equals : equals - 2) != name) continue;
    return equals == std::string::npos || lower(flag.substr(equals + 1)) != "false";
  }
  return std::nullopt;
}

Result<void> FlagReader::finish() const {
  std::vector<std::string> seen;
  for (const auto& flag : flags_) {
    const size_t equals = flag.find('=');
    const std::string spelled = flag.substr(0, equals);
    const std::string name = spelled.substr(2);
    const auto known =
        std::find_if(known_.begin(), known_.end(), [&](const Known& k) { return k.name == name; });
    if (known == known_.end()) {
      std::vector<std::string> names;
      for (const auto& k : known_) names.push_back(k.name);
      const std::string close = closest_word(name, names);
      const std::string hint = close.empty() ? "" : " (did you mean " + close + "?)";
      return failure(Kind::InvalidArgument, "unknown flag: {}{}", spelled, hint);
    }
    const bool repeated = std::find(seen.begin(), seen.end(), name) != seen.end();
    if (repeated && known->type != Type::List)
      return failure(Kind::InvalidArgument, "duplicate flag specified: {}", spelled);
    seen.push_back(name);
    const bool has_value = equals != std::string::npos;
    const std::string value = has_value ? lower(flag.substr(equals + 1)) : "";
    if (known->type == Type::Boolean ? has_value && value.empty() : !has_value) {
      return failure(Kind::InvalidArgument, "missing a value on flag: {}", spelled);
    }
    if (known->type == Type::Boolean && has_value && value != "true" && value != "false") {
      return failure(Kind::InvalidArgument, "expecting boolean value for flag {}, not: {}", spelled,
                     flag.substr(equals + 1));
    }
  }
  return {};
}

}  // namespace berth::spec::dockerfile
