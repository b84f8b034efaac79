#include "functions/catalog/names.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/format.h"
#include "functions/catalog/new_name.h"

namespace berth::functions {
namespace {

constexpr std::string_view name_pattern =
    "(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?"
    "(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?";
/// Of functions that are there.
constexpr std::string_view namespaced_pattern =
    "(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?"
    "(function:)?([a-zA-Z0-9-_\\.]+)(:(\\$LATEST(\\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";
constexpr std::string_view layer_pattern =
    "(arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+";
constexpr size_t longest_reference = 170, longest_new_reference = 140, longest_shown = 256;
constexpr size_t longest_name = 64;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}
bool is_words(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_word);
}
bool is_dotted_words(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c == '.' || is_word(c); });
}
bool is_account(std::string_view text) {
  return text.size() == 12 && std::all_of(text.begin(), text.end(), is_digit);
}
/// "us-east-1", "us-gov-west-1": two letters, words, one digit.
bool is_region(std::string_view text) {
  if (text.starts_with("eusc-")) text.remove_prefix(5);
  if (text.size() < 6 || !is_digit(text.back()) || text[text.size() - 2] != '-' || text[2] != '-')
    return false;
  return std::all_of(text.begin(), text.end() - 1, [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; });
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/// Takes what the optional parts of the pattern leave: nullopt when something does not fit.
std::optional<FunctionReference> match_reference(std::string_view text, const Realm& realm) {
  std::vector<std::string_view> parts = split(text, ':');
  size_t at = 0;
  auto left = [&] { return parts.size() - at; };
  FunctionReference found{.realm = realm, .name = {}, .qualifier = {}};
  if (parts[0] == "arn") {
    if (left() < 4 || !parts[1].starts_with("aws") || parts[2] != "lambda") return std::nullopt;
    at = 3;
  }
  if (left() > 1 && is_region(parts[at])) found.realm.region = parts[at++];
  if (left() > 1 && is_account(parts[at])) found.realm.account = parts[at++];
  if (left() > 1 && parts[at] == "function") ++at;
  if (left() < 1 || left() > 2 || !is_dotted_words(parts[at])) return std::nullopt;
  found.name = parts[at++];
  if (left() == 1) {
    if (parts[at] != latest_version && !is_words(parts[at])) return std::nullopt;
    found.qualifier = parts[at];
  }
  return found;
}

struct Bounds {
  std::string_view pattern;
  size_t length;
};
Result<FunctionReference> match_bounded(std::string_view text, const Realm& realm, std::string_view member,
                                        const Bounds& bounds) {
  if (text.size() > bounds.length) {
    return validation_error(text.substr(0, longest_shown), member,
                            fmt::format("Member must have length less than or equal to {}", bounds.length));
  }
  if (auto found = match_reference(text, realm)) return std::move(*found);
  return validation_error(text, member,
                          fmt::format("Member must satisfy regular expression pattern: {}", bounds.pattern));
}

}  // namespace

Error validation_error(std::string_view value, std::string_view member, std::string_view constraint) {
  return failure(Kind::InvalidArgument,
                 "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: {}", value,
                 member, constraint);
}

Result<FunctionReference> parse_function_reference(std::string_view text, const Realm& realm,
                                                   std::string_view member) {
  return match_bounded(text, realm, member, {namespaced_pattern, longest_reference});
}

Result<FunctionReference> parse_new_function_name(std::string_view text, const Realm& realm) {
  constexpr std::string_view member = "functionName";
  TRY(auto found, match_bounded(text, realm, member, {name_pattern, longest_new_reference}));
  if (!is_words(found.name)) {
    return validation_error(text, member,
                            fmt::format("Member must satisfy regular expression pattern: {}", name_pattern));
  }
  if (found.name.size() > longest_name)
    return validation_error(text, member, "Member must have length less than or equal to 64");
  return found;
}

bool is_version_number(std::string_view text) {
  return !text.empty() && text.size() <= 18 && std::all_of(text.begin(), text.end(), is_digit);
}

bool is_alias_name(std::string_view text) {
  return is_words(text) && text.size() <= 128 && !std::all_of(text.begin(), text.end(), is_digit);
}

Result<void> check_qualifier(std::string_view qualifier) {
  if (qualifier.size() > 128) {
    return validation_error(qualifier.substr(0, 256), "qualifier",
                            "Member must have length less than or equal to 128");
  }
  bool fits = std::all_of(qualifier.begin(), qualifier.end(), [](char c) { return is_word(c) || c == '$'; });
  if (qualifier.empty() || !fits) {
    return validation_error(qualifier, "qualifier",
                            "Member must satisfy regular expression pattern: "
                            "\\$(LATEST(\\.PUBLISHED)?)|[a-zA-Z0-9-_$]+");
  }
  return {};
}

Result<LayerReference> parse_layer_reference(std::string_view text, const Realm& realm) {
  auto refused = [&] {
    return validation_error(text.substr(0, longest_reference), "layerName",
                            fmt::format("Member must satisfy regular expression pattern: {}", layer_pattern));
  };
  LayerReference found{.realm = realm, .name = {}, .version = {}};
  std::vector<std::string_view> parts = split(text, ':');
  if (text.size() > longest_reference) return refused();
  if (parts.size() == 1 && is_words(text) && text.size() <= 140) {
    found.name = text;
    return found;
  }
  if (parts.size() < 7 || parts.size() > 8 || parts[0] != "arn" || parts[2] != "lambda" ||
      !is_words(parts[3]) || !is_account(parts[4]) || parts[5] != "layer" || !is_words(parts[6])) {
    return refused();
  }
  found.realm = {.account = std::string(parts[4]), .region = std::string(parts[3])};
  found.name = parts[6];
  if (parts.size() == 8) {
    uint64_t version = 0;
    auto [end, error] = std::from_chars(parts[7].data(), parts[7].data() + parts[7].size(), version);
    if (error != std::errc{} || end != parts[7].data() + parts[7].size()) return refused();
    found.version = version;
  }
  return found;
}

}  // namespace berth::functions
