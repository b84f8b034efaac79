// Bounded JSON parsing.
#include "base/json.h"

#include <algorithm>

#include "base/format.h"
#include "base/json_elements.h"

namespace berth {
namespace {

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [&](char x, char y) { return lower(x) == lower(y); });
}

Error wrong_type(std::string_view key, std::string_view expected) {
  return failure(Kind::InvalidArgument, "invalid JSON: \"{}\" must be {}", key, expected);
}

/// Nesting depth is bounded before the parser recurses into destructors and visitors.
bool too_deep(std::string_view text, size_t limit) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if ((c == '{' || c == '[') && ++depth > limit) return true;
    if ((c == '}' || c == ']') && depth > 0) --depth;
  }
  return false;
}

}  // namespace

const Json* json_member(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  auto it = object.find(key);
  for (auto other = object.begin(); it == object.end() && other != object.end(); ++other) {
    if (equals_ignoring_case(other.key(), key)) it = other;
  }
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

namespace {

/// What is wrong with the text, in the words of Go's decoder, which clients of docker know.
Error syntax_error(std::string_view text, const Json::parse_error& error) {
  std::string_view words = error.what();
  auto says = [&](std::string_view part) { return words.find(part) != words.npos; };
  // `byte` counts from 1 and names the last that was read; behind the end when that is what was not expected.
  if (error.byte == 0 || error.byte > text.size())
    return Error(Kind::InvalidArgument, "invalid JSON: unexpected end of JSON input");
  if (says("expected end of input"))
    return failure(Kind::InvalidArgument, "invalid JSON: unexpected content after JSON, at byte {}",
                   error.byte);
  std::string_view place = "looking for beginning of value";
  if (says("while parsing object key")) place = "looking for beginning of object key string";
  if (says("while parsing object separator")) place = "after object key";
  if (says("while parsing object -")) place = "after object key:value pair";
  if (says("while parsing array -")) place = "after array element";
  if (says("invalid string")) place = "in string literal";
  const char character = text[error.byte - 1];
  const bool printable = character >= ' ' && character < 127;
  return failure(Kind::InvalidArgument, "invalid JSON: invalid character {} {}, at byte {}",
                 printable ? fmt::format("'{}'", character)
                           : fmt::format("0x{:02x}", static_cast<unsigned char>(character)),
                 place, error.byte);
}

Result<void> check_limits(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return failure(Kind::InvalidArgument, "JSON document of {} bytes is larger than the limit of {}",
                   text.size(), limits.max_bytes);
  }
  if (too_deep(text, limits.max_depth)) {
    return failure(Kind::InvalidArgument, "JSON document is nested deeper than {} levels", limits.max_depth);
  }
  return {};
}

}  // namespace

Result<void> for_each_element(std::string_view text, const JsonLimits& limits,
                              const std::function<Result<void>(Json&&)>& take) {
  CHECK(check_limits(text, limits));
  Result<void> taken;
  auto each = [&](int depth, Json::parse_event_t event, Json& value) {
    bool begins = event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (depth != 1 || begins) return true;
    if (taken) taken = take(std::move(value));
    return false;
  };
  try {
    Json rest = Json::parse(text, each);
    if (!rest.is_array()) return Error(Kind::InvalidArgument, "invalid JSON: expected a list");
  } catch (const Json::parse_error& error) {
    return syntax_error(text, error);
  } catch (const std::exception& error) {
    return failure(Kind::InvalidArgument, "invalid JSON: {}", error.what());
  }
  return taken;
}

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  CHECK(check_limits(text, limits));
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    return syntax_error(text, error);
  } catch (const std::exception& error) {
    return failure(Kind::InvalidArgument, "invalid JSON: {}", error.what());
  }
}

std::string to_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}
std::string to_pretty_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Result<std::string> json_string(const Json& object, std::string_view key, std::string fallback) {
  const Json* value = json_member(object, key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) return wrong_type(key, "a string");
  return value->get<std::string>();
}

Result<int64_t> json_int(const Json& object, std::string_view key, int64_t fallback) {
  const Json* value = json_member(object, key);
  if (value == nullptr) return fallback;
  if (value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX)
    return wrong_type(key, "a 64-bit integer");
  if (value->is_number_integer()) return value->get<int64_t>();
  if (value->is_number_float()) {
    double number = value->get<double>();
    if (number >= -9.2e18 && number <= 9.2e18 &&
        number == static_cast<double>(static_cast<int64_t>(number))) {
      return static_cast<int64_t>(number);
    }
  }
  return wrong_type(key, "an integer");
}

Result<bool> json_bool(const Json& object, std::string_view key, bool fallback) {
  const Json* value = json_member(object, key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) return wrong_type(key, "a boolean");
  return value->get<bool>();
}

Result<std::vector<std::string>> json_strings(const Json& object, std::string_view key) {
  const Json* value = json_member(object, key);
  std::vector<std::string> strings;
  if (value == nullptr) return strings;
  if (!value->is_array()) return wrong_type(key, "a list of strings");
  for (const Json& element : *value) {
    if (!element.is_string()) return wrong_type(key, "a list of strings");
    strings.push_back(element.get<std::string>());
  }
  return strings;
}

Result<std::map<std::string, std::string>> json_string_map(const Json& object, std::string_view key) {
  const Json* value = json_member(object, key);
  std::map<std::string, std::string> strings;
  if (value == nullptr) return strings;
  if (!value->is_object()) return wrong_type(key, "an object of strings");
  for (const auto& [name, element] : value->items()) {
    // As in Go's encoding/json, null stands for a string's zero value (docker-java sends labels without one).
    if (!element.is_string() && !element.is_null()) return wrong_type(key, "an object of strings");
    strings[name] = element.is_null() ? std::string() : element.get<std::string>();
  }
  return strings;
}

}  // namespace berth
