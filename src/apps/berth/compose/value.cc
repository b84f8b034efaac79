// Typed reads of Values, and their output as JSON and YAML.
#include "apps/berth/compose/value.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "apps/berth/compose/shape.h"
#include "apps/berth/options/quantity.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

bool is_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// As YAML reads integers: decimal, 0x1f, 0o17, 0b1, and 017, which is octal.
std::optional<int64_t> integer_of(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  int base = 10;
  for (auto [prefix, of_prefix] :
       {std::pair{"0x", 16}, {"0X", 16}, {"0o", 8}, {"0O", 8}, {"0b", 2}, {"0", 8}}) {
    if (!text.starts_with(prefix) || text.size() == std::string_view(prefix).size()) continue;
    base = of_prefix;
    text.remove_prefix(std::string_view(prefix).size());
    break;
  }
  int64_t number = 0;
  if (text.empty() || text[0] == '-') return std::nullopt;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return negative ? -number : number;
}

std::optional<double> decimal(std::string_view text) {
  if (text.empty() || text.size() > 32) return std::nullopt;
  bool digit = false;
  for (char c : text) {
    if (c >= '0' && c <= '9')
      digit = true;
    else if (std::string_view("+-.eE").find(c) == std::string_view::npos)
      return std::nullopt;
  }
  if (!digit) return std::nullopt;
  if (text[0] == '+') text.remove_prefix(1);
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool is_true(std::string_view text) {
  return text == "true" || text == "True" || text == "TRUE";
}
bool is_false(std::string_view text) {
  return text == "false" || text == "False" || text == "FALSE";
}
bool is_null_word(std::string_view text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

std::string child(std::string_view path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

}  // namespace

std::string Position::str() const {
  if (file == nullptr || line == 0) return {};
  return fmt::format("{}:{}:{}", *file, line, column);
}

Value Value::scalar(std::string text, Position at, bool quoted) {
  Value value;
  value.kind = Kind::Scalar;
  value.text = std::move(text);
  value.quoted = quoted;
  value.at = std::move(at);
  return value;
}

Value Value::list(Position at) {
  Value value;
  value.kind = Kind::List;
  value.at = std::move(at);
  return value;
}

Value Value::map(Position at) {
  Value value;
  value.kind = Kind::Map;
  value.at = std::move(at);
  return value;
}

const Value* Value::find(std::string_view key) const {
  if (kind != Kind::Map) return nullptr;
  auto found = members.find(key);
  return found == members.end() || found->second.is_null() ? nullptr : &found->second;
}

Value* Value::find(std::string_view key) {
  return const_cast<Value*>(static_cast<const Value*>(this)->find(key));
}

Value& Value::set(std::string_view key, Value value) {
  Value& slot = members[std::string(key)];
  slot = std::move(value);
  return slot;
}

ScalarKind scalar_kind(const Value& scalar) {
  const std::string& text = scalar.text;
  if (scalar.quoted) return ScalarKind::Text;
  if (is_null_word(text)) return ScalarKind::Null;
  if (is_true(text) || is_false(text)) return ScalarKind::Boolean;
  if (integer_of(text)) return ScalarKind::Integer;
  return decimal(text) ? ScalarKind::Number : ScalarKind::Text;
}

Error complaint(const Value& value, std::string_view path, std::string_view message) {
  std::string where = value.at.str();
  return failure(Kind::InvalidArgument, "{}{}{}{}{}", where, where.empty() ? "" : ": ", path,
                 path.empty() ? "" : " ", message);
}

Result<std::string> as_text(const Value& value, std::string_view path) {
  if (value.is_null()) return std::string();
  if (!value.is_scalar()) return complaint(value, path, "must be a string");
  return value.text;
}

Result<bool> as_bool(const Value& value, std::string_view path) {
  if (value.is_scalar()) {
    std::string text = value.text;
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    for (std::string_view word : {"true", "yes", "on", "y", "1"}) {
      if (text == word) return true;
    }
    for (std::string_view word : {"false", "no", "off", "n", "0"}) {
      if (text == word) return false;
    }
  }
  return complaint(value, path, "must be a boolean");
}

Result<int64_t> as_int(const Value& value, std::string_view path) {
  std::string_view text = value.text;
  while (text.size() > 1 && text[0] == '0' && is_digits(text) && value.quoted) text.remove_prefix(1);
  auto number = value.is_scalar() ? integer_of(text) : std::nullopt;
  if (!number) return complaint(value, path, "must be an integer");
  return *number;
}

Result<uint32_t> as_mode(const Value& value, std::string_view path) {
  std::string text = value.text;
  if (value.is_scalar() && value.quoted && !text.starts_with("0")) text = "0" + text;
  auto mode = value.is_scalar() ? integer_of(text) : std::nullopt;
  if (!mode || *mode < 0 || *mode > 07777) return complaint(value, path, "must be a file's mode, like 0440");
  return static_cast<uint32_t>(*mode);
}

Result<double> as_number(const Value& value, std::string_view path) {
  auto number = value.is_scalar() ? decimal(value.text) : std::nullopt;
  if (!number) return complaint(value, path, "must be a number");
  return *number;
}

Result<int64_t> as_bytes(const Value& value, std::string_view path) {
  if (!value.is_scalar()) return complaint(value, path, "must be a size");
  if (value.text == "-1") return -1;
  auto bytes = options::parse_bytes(value.text);
  if (!bytes) return complaint(value, path, bytes.error().message());
  return *bytes;
}

Result<int64_t> as_duration(const Value& value, std::string_view path) {
  if (!value.is_scalar()) return complaint(value, path, "must be a duration");
  auto duration = parse_duration(is_digits(value.text) ? value.text + "s" : value.text);
  if (!duration)
    return complaint(value, path, fmt::format("\"{}\" is not a duration (like 1m30s)", value.text));
  return duration->count();
}

Result<std::vector<std::string>> as_texts(const Value& value, std::string_view path) {
  std::vector<std::string> texts;
  if (value.is_null()) return texts;
  if (value.is_scalar()) {
    texts.push_back(value.text);
    return texts;
  }
  if (!value.is_list()) return complaint(value, path, "must be a list of strings");
  for (size_t i = 0; i < value.items.size(); ++i) {
    TRY(std::string text, as_text(value.items[i], fmt::format("{}[{}]", path, i)));
    texts.push_back(std::move(text));
  }
  return texts;
}

Result<std::string> text_of(const Value& map, std::string_view key, std::string_view path,
                            std::string fallback) {
  const Value* value = map.find(key);
  return value == nullptr ? Result<std::string>(std::move(fallback)) : as_text(*value, child(path, key));
}

Result<bool> bool_of(const Value& map, std::string_view key, std::string_view path, bool fallback) {
  const Value* value = map.find(key);
  return value == nullptr ? Result<bool>(fallback) : as_bool(*value, child(path, key));
}

Result<std::optional<int64_t>> int_of(const Value& map, std::string_view key, std::string_view path) {
  const Value* value = map.find(key);
  if (value == nullptr) return std::optional<int64_t>();
  TRY(int64_t number, as_int(*value, child(path, key)));
  return std::optional<int64_t>(number);
}

Result<std::vector<std::string>> texts_of(const Value& map, std::string_view key, std::string_view path) {
  const Value* value = map.find(key);
  return value == nullptr ? Result<std::vector<std::string>>(std::vector<std::string>())
                          : as_texts(*value, child(path, key));
}

Result<std::map<std::string, std::string>> text_map_of(const Value& map, std::string_view key,
                                                       std::string_view path) {
  std::map<std::string, std::string> texts;
  const Value* value = map.find(key);
  if (value == nullptr) return texts;
  if (!value->is_map()) return complaint(*value, child(path, key), "must be a mapping");
  for (const auto& [name, member] : value->members) {
    if (member.is_null()) continue;
    TRY(texts[name], as_text(member, child(child(path, key), name)));
  }
  return texts;
}

Json to_json_value(const Value& value) {
  switch (value.kind) {
    case Value::Kind::Null:
      return nullptr;
    case Value::Kind::List: {
      Json list = Json::array();
      for (const Value& item : value.items) list.push_back(to_json_value(item));
      return list;
    }
    case Value::Kind::Map: {
      Json map = Json::object();
      for (const auto& [key, member] : value.members) map[key] = to_json_value(member);
      return map;
    }
    case Value::Kind::Scalar:
      break;
  }
  switch (scalar_kind(value)) {
    case ScalarKind::Null:
      return nullptr;
    case ScalarKind::Boolean:
      return is_true(value.text);
    case ScalarKind::Integer:
      return *integer_of(value.text);
    case ScalarKind::Number:
      return *decimal(value.text);
    case ScalarKind::Text:
      break;
  }
  return value.text;
}

namespace {

/// Whether YAML would read the plain text back as the same string.
bool is_plain_string(std::string_view text) {
  if (text.empty() || is_null_word(text) || is_true(text) || is_false(text) || decimal(text)) return false;
  for (std::string_view word : {"yes", "no", "on", "off", "Yes", "No", "On", "Off", "y", "n", "Y", "N"}) {
    if (text == word) return false;
  }
  if (std::string_view("!&*-?|>@`\"'%#{}[],:= \t").find(text[0]) != std::string_view::npos) {
    bool option = text[0] == '-' && text.size() > 1 && text[1] != ' ';
    if (!option) return false;
  }
  if (text.back() == ' ' || text.back() == ':' || text.back() == '\t') return false;
  if (text.find(": ") != std::string_view::npos || text.find(" #") != std::string_view::npos) return false;
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
}

std::string yaml_scalar(const Value& value) {
  if (!value.quoted || is_plain_string(value.text)) return value.text.empty() ? "\"\"" : value.text;
  std::string out = "\"";
  for (unsigned char c : value.text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  return out + "\"";
}

void write_yaml(const Value& value, const Shape* shape, size_t indent, std::string& out) {
  std::string pad(indent, ' ');
  if (value.is_map()) {
    for (const std::string& key : ordered_keys(value, shape)) {
      const Value& member = value.members.at(key);
      out += pad + yaml_scalar(Value::string(key)) + ":";
      if (member.is_null()) {
        out += " null\n";
      } else if (member.is_scalar()) {
        out += " " + yaml_scalar(member) + "\n";
      } else if (member.is_map() ? member.members.empty() : member.items.empty()) {
        out += member.is_map() ? " {}\n" : " []\n";
      } else {
        out += "\n";
        write_yaml(member, shape == nullptr ? nullptr : shape_below(*shape, key), indent + 2, out);
      }
    }
    return;
  }
  for (const Value& item : value.items) {
    if (item.is_null()) {
      out += pad + "- null\n";
    } else if (item.is_scalar()) {
      out += pad + "- " + yaml_scalar(item) + "\n";
    } else {
      std::string nested;
      write_yaml(item, shape == nullptr ? nullptr : shape->element, indent + 2, nested);
      if (nested.empty()) nested = std::string(indent + 2, ' ') + (item.is_map() ? "{}\n" : "[]\n");
      nested[indent] = '-';
      out += nested;
    }
  }
}

}  // namespace

std::string to_yaml(const Value& value, const Shape* shape) {
  std::string out;
  write_yaml(value, shape, 0, out);
  return out;
}

}  // namespace berth::cli::compose
