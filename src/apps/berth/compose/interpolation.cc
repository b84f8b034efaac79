#include "apps/berth/compose/interpolation.h"

#include "base/format.h"

namespace berth::cli::compose {
namespace {

constexpr size_t max_output = 1u << 20;

bool starts_name(char c) {
  return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool in_name(char c) {
  return starts_name(c) || (c >= '0' && c <= '9');
}

using Variables = std::map<std::string, TemplateVariable>;

class Interpolator {
 public:
  Interpolator(std::string_view text, const Lookup& lookup, std::set<std::string>& unset,
               Variables* seen = nullptr)
      : whole_(text), lookup_(lookup), unset_(unset), seen_(seen) {}

  Result<std::string> run(std::string_view text, unsigned depth) {
    if (depth > 32) return malformed("nested too deeply");
    std::string out;
    while (!text.empty()) {
      size_t dollar = text.find('$');
      out += text.substr(0, dollar);
      if (dollar == std::string_view::npos) break;
      text.remove_prefix(dollar + 1);
      if (text.starts_with('$')) {
        out += '$';
        text.remove_prefix(1);
      } else if (text.starts_with('{')) {
        TRY(std::string_view inside, take_braces(text));
        TRY(std::string value, expression(inside, depth));
        out += value;
      } else if (!text.empty() && starts_name(text[0])) {
        size_t length = 1;
        while (length < text.size() && in_name(text[length])) ++length;
        out += plain(std::string(text.substr(0, length)));
        text.remove_prefix(length);
      } else {
        out += '$';  // "$(command)", "$1": nothing that could be a variable
      }
      if (out.size() > max_output) return malformed("the result is too long");
    }
    return out;
  }

 private:
  Error malformed(std::string_view why) const {
    return failure(Kind::InvalidArgument, "invalid interpolation format: \"{}\" ({})", whole_, why);
  }

  /// The text between the brace at the front and its partner; `text` goes behind it.
  Result<std::string_view> take_braces(std::string_view& text) const {
    unsigned depth = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '{' && (i == 0 || text[i - 1] == '$')) ++depth;
      if (text[i] == '}' && --depth == 0) {
        std::string_view inside = text.substr(1, i - 1);
        text.remove_prefix(i + 1);
        return inside;
      }
    }
    return malformed("missing }");
  }

  std::string plain(const std::string& name) {
    if (seen_ != nullptr) (*seen_)[name];
    auto value = lookup_(name);
    if (!value) unset_.insert(name);
    return value.value_or("");
  }

  Result<std::string> expression(std::string_view inside, unsigned depth) {
    size_t length = 0;
    while (length < inside.size() && in_name(inside[length])) ++length;
    if (length == 0 || !starts_name(inside[0])) return malformed("a variable's name is missing");
    std::string name(inside.substr(0, length));
    std::string_view rest = inside.substr(length);
    if (rest.empty()) return plain(name);
    bool or_empty = rest.starts_with(':');
    if (or_empty) rest.remove_prefix(1);
    if (rest.empty() || std::string_view("-?+").find(rest[0]) == std::string_view::npos) {
      return malformed("unknown operator");
    }
    char operation = rest[0];
    std::string_view word = rest.substr(1);
    if (seen_ != nullptr) return collect(name, operation, word, depth);
    auto value = lookup_(name);
    bool usable = value && !(or_empty && value->empty());
    if (operation == '+') return usable ? run(word, depth + 1) : Result<std::string>(std::string());
    if (usable) return *value;
    TRY(std::string alternative, run(word, depth + 1));
    if (operation == '-') return alternative;
    return failure(Kind::InvalidArgument, "required variable {} is missing a value{}{}", name,
                   alternative.empty() ? "" : ": ", alternative);
  }

  /// Notes the variable, and those of its default.
  Result<std::string> collect(const std::string& name, char operation, std::string_view word,
                              unsigned depth) {
    TemplateVariable& variable = (*seen_)[name];
    variable.required = variable.required || operation == '?';
    if (operation == '-') variable.fallback = word;
    if (operation == '+') variable.replacement = word;
    return operation == '?' ? Result<std::string>(std::string()) : run(word, depth + 1);
  }

  std::string_view whole_;
  const Lookup& lookup_;
  std::set<std::string>& unset_;
  Variables* seen_;  ///< null: variables are replaced, not collected
};

}  // namespace

Result<std::string> interpolate(std::string_view text, const Lookup& lookup, std::set<std::string>& unset) {
  return Interpolator(text, lookup, unset).run(text, 0);
}

void collect_variables(const Value& value, std::map<std::string, TemplateVariable>& variables) {
  if (value.is_scalar()) {
    std::set<std::string> unset;
    const Lookup nothing = [](const std::string&) { return std::optional<std::string>(); };
    (void)Interpolator(value.text, nothing, unset, &variables).run(value.text, 0);
  }
  for (const Value& item : value.items) collect_variables(item, variables);
  for (const auto& [key, member] : value.members) collect_variables(member, variables);
}

void leave_variables(Value& value) {
  if (value.is_scalar() && value.text.find('$') != std::string::npos)
    value.variables = Value::Variables::LeftIn;
  for (Value& item : value.items) leave_variables(item);
  for (auto& [key, member] : value.members) leave_variables(member);
}

Result<void> interpolate_all(Value& value, const Lookup& lookup, std::set<std::string>& unset,
                             const std::string& path) {
  if (value.is_scalar() && value.text.find('$') != std::string::npos) {
    auto text = interpolate(value.text, lookup, unset);
    if (!text) return complaint(value, path, text.error().message());
    value.variables = Value::Variables::PutIn;
    value.quoted = true;
    value.text = std::move(*text);
  }
  for (size_t i = 0; i < value.items.size(); ++i) {
    CHECK(interpolate_all(value.items[i], lookup, unset, fmt::format("{}[{}]", path, i)));
  }
  for (auto& [key, member] : value.members) {
    CHECK(interpolate_all(member, lookup, unset, path.empty() ? key : fmt::format("{}.{}", path, key)));
  }
  return {};
}

}  // namespace berth::cli::compose
