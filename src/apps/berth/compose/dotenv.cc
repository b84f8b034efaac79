#include "apps/berth/compose/dotenv.h"

#include <map>

#include "base/format.h"

namespace berth::cli::compose {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

class Reader {
 public:
  Reader(std::string_view text, const std::string& file, const Lookup& lookup, EnvFormat format)
      : rest_(text), file_(file), lookup_(lookup), format_(format) {}

  Result<std::vector<EnvVariable>> run() {
    if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
    while (!rest_.empty()) {
      ++line_;
      std::string_view line = take_line();
      std::string_view content = trimmed(line);
      if (content.empty() || content[0] == '#') continue;
      CHECK(variable(content));
    }
    return std::move(variables_);
  }

 private:
  std::string_view take_line() {
    size_t end = rest_.find('\n');
    std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    return line;
  }

  Error malformed(std::string_view why) const {
    return failure(Kind::InvalidArgument, "failed to read {}: line {}: {}", file_, line_, why);
  }

  Result<void> variable(std::string_view content) {
    if (content.starts_with("export ")) content = trimmed(content.substr(7));
    size_t end = content.find_first_of("=:");
    std::string name(trimmed(content.substr(0, end)));
    if (name.empty() || name.find_first_of(" \t\"'") != std::string::npos) {
      return malformed(fmt::format("unexpected character in variable name \"{}\"", name));
    }
    if (end == std::string_view::npos) {
      add(std::move(name), std::nullopt);
      return {};
    }
    std::string_view value = content.substr(end + 1);
    if (format_ == EnvFormat::Raw) {
      add(std::move(name), std::string(value));
      return {};
    }
    value = trimmed(value);
    if (!value.empty() && (value[0] == '"' || value[0] == '\'')) {
      TRY(std::string quoted, quoted_value(value));
      add(std::move(name), std::move(quoted));
      return {};
    }
    size_t comment = value.find(" #");
    if (value.starts_with('#')) comment = 0;
    TRY(std::string expanded, expand(trimmed(value.substr(0, comment))));
    add(std::move(name), std::move(expanded));
    return {};
  }

  /// The value that begins with a quote; it may go on over further lines.
  Result<std::string> quoted_value(std::string_view value) {
    char quote = value[0];
    std::string raw;
    value.remove_prefix(1);
    while (true) {
      for (size_t i = 0; i < value.size(); ++i) {
        if (value[i] == '\\' && i + 1 < value.size() && (quote == '"' || value[i + 1] == quote)) {
          raw += value[i];
          raw += value[++i];
        } else if (value[i] == quote) {
          return quote == '"' ? double_quoted(raw) : Result<std::string>(single_quoted(raw));
        } else {
          raw += value[i];
        }
      }
      if (rest_.empty()) return malformed("unterminated quoted value");
      raw += '\n';
      ++line_;
      value = take_line();
      if (value.ends_with('\r')) value.remove_suffix(1);
      if (raw.size() > (1u << 20)) return malformed("the value is too long");
    }
  }

  static std::string single_quoted(const std::string& raw) {
    std::string out;
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] == '\\' && i + 1 < raw.size() && raw[i + 1] == '\'') ++i;
      out += raw[i];
    }
    return out;
  }

  Result<std::string> double_quoted(const std::string& raw) {
    std::string out;
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] != '\\' || i + 1 == raw.size()) {
        out += raw[i];
        continue;
      }
      char next = raw[++i];
      switch (next) {
        case 'n':
          out += '\n';
          break;
        case 'r':
          out += '\r';
          break;
        case 't':
          out += '\t';
          break;
        case '"':
          out += '"';
          break;
        case '\\':
          out += '\\';
          break;
        case '$':
          out += "$$";
          break;
        default:
          out += '\\';
          out += next;
      }
    }
    return expand(out);
  }

  Result<std::string> expand(std::string_view text) {
    std::set<std::string> unset;
    auto own = [this](const std::string& name) -> std::optional<std::string> {
      if (auto outer = lookup_(name)) return outer;
      auto found = known_.find(name);
      return found == known_.end() ? std::nullopt : std::optional(found->second);
    };
    auto expanded = interpolate(text, own, unset);
    if (!expanded) return malformed(expanded.error().message());
    return expanded;
  }

  void add(std::string name, std::optional<std::string> value) {
    if (value) known_[name] = *value;
    variables_.push_back({std::move(name), std::move(value)});
  }

  std::string_view rest_;
  const std::string& file_;
  const Lookup& lookup_;
  EnvFormat format_;
  size_t line_ = 0;
  std::vector<EnvVariable> variables_;
  std::map<std::string, std::string> known_;
};

}  // namespace

Result<std::vector<EnvVariable>> parse_dotenv(std::string_view text, const std::string& file,
                                              const Lookup& lookup, EnvFormat format) {
  return Reader(text, file, lookup, format).run();
}

}  // namespace berth::cli::compose
