#include "functions/events/event_pattern.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/format.h"
#include "base/json.h"
#include "base/wildcard.h"
#include "sys/ip_address.h"

namespace berth::functions::events {
namespace {

constexpr size_t kMaxPattern = 4096;  // AWS's bound of a filter
constexpr std::array<std::string_view, 8> kOperators{
    "prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "cidr", "exists"};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

bool compare(double value, std::string_view sign, double bound) {
  if (sign == "=") return value == bound;
  if (sign == "<") return value < bound;
  if (sign == "<=") return value <= bound;
  if (sign == ">") return value > bound;
  return value >= bound;
}

bool numeric_matches(const Json& conditions, const Json& value) {
  if (!value.is_number()) return false;
  double number = value.get<double>();
  for (size_t i = 0; i + 1 < conditions.size(); i += 2) {
    if (!compare(number, conditions[i].get_ref<const std::string&>(), conditions[i + 1].get<double>()))
      return false;
  }
  return true;
}

bool cidr_matches(const std::string& prefix, const Json& value) {
  if (!value.is_string()) return false;
  auto network = sys::IpPrefix::parse(prefix);
  auto address = sys::IpAddress::parse(value.get_ref<const std::string&>());
  return network && address && network->contains(*address);
}

bool scalar_equal(const Json& wanted, const Json& value) {
  if (wanted.is_number() && value.is_number()) return wanted.get<double>() == value.get<double>();
  return wanted == value;
}

bool operator_matches(const std::string& name, const Json& operand, const Json& value);

/// prefix and suffix take a text or {"equals-ignore-case": text}.
bool affix_matches(const std::string& name, const Json& operand, const Json& value) {
  if (!value.is_string()) return false;
  std::string_view text = value.get_ref<const std::string&>();
  bool fold = operand.is_object();
  std::string_view affix =
      fold ? operand.begin().value().get_ref<const std::string&>() : operand.get_ref<const std::string&>();
  if (affix.size() > text.size()) return false;
  std::string_view part =
      name == "prefix" ? text.substr(0, affix.size()) : text.substr(text.size() - affix.size());
  return fold ? equal_ignoring_case(part, affix) : part == affix;
}

bool anything_but(const Json& operand, const Json& value) {
  if (operand.is_array()) {
    return std::none_of(operand.begin(), operand.end(),
                        [&](const Json& one) { return scalar_equal(one, value); });
  }
  if (!operand.is_object()) return !scalar_equal(operand, value);
  const Json& inner = operand.begin().value();
  const std::string& name = operand.begin().key();
  if (inner.is_array()) {
    return std::none_of(inner.begin(), inner.end(),
                        [&](const Json& one) { return operator_matches(name, one, value); });
  }
  return !operator_matches(name, inner, value);
}

bool operator_matches(const std::string& name, const Json& operand, const Json& value) {
  if (name == "prefix" || name == "suffix") return affix_matches(name, operand, value);
  if (name == "anything-but") return anything_but(operand, value);
  if (name == "numeric") return numeric_matches(operand, value);
  if (name == "cidr") return cidr_matches(operand.get_ref<const std::string&>(), value);
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  const auto& wanted = operand.get_ref<const std::string&>();
  return name == "wildcard" ? matches_wildcard(wanted, text) : equal_ignoring_case(wanted, text);
}

/// One value of the event against one of the alternatives.
bool value_matches(const Json& alternative, const Json& value) {
  if (!alternative.is_object()) return scalar_equal(alternative, value);
  const std::string& name = alternative.begin().key();
  if (name == "exists") return alternative.begin().value().get<bool>();
  return operator_matches(name, alternative.begin().value(), value);
}

bool alternatives_match(const Json& alternatives, const Json* value) {
  return std::any_of(alternatives.begin(), alternatives.end(), [&](const Json& alternative) {
    if (value == nullptr) {
      return alternative.is_object() && alternative.begin().key() == "exists" &&
             !alternative.begin().value().get<bool>();
    }
    if (!value->is_array()) return value_matches(alternative, *value);
    return std::any_of(value->begin(), value->end(),
                       [&](const Json& element) { return value_matches(alternative, element); });
  });
}

bool object_matches(const Json& pattern, const Json* event) {
  for (const auto& [key, wanted] : pattern.items()) {
    if (key == "$or" && wanted.is_array()) {
      bool one = std::any_of(wanted.begin(), wanted.end(),
                             [&](const Json& branch) { return object_matches(branch, event); });
      if (!one) return false;
      continue;
    }
    const Json* value = nullptr;
    if (event != nullptr && event->is_object()) {
      auto found = event->find(key);
      if (found != event->end()) value = &*found;
    }
    if (wanted.is_array()) {
      if (!alternatives_match(wanted, value)) return false;
      continue;
    }
    // An array of objects in the event matches when one of them does.
    if (value != nullptr && value->is_array()) {
      bool one = std::any_of(value->begin(), value->end(),
                             [&](const Json& element) { return object_matches(wanted, &element); });
      if (!one) return false;
    } else if (!object_matches(wanted, value)) {
      return false;
    }
  }
  return true;
}

// --- checking
// ------------------------------------------------------------------------------------------------

Error bad(std::string_view why) {
  return failure(Kind::InvalidArgument, "Invalid filter pattern definition. {}", why);
}

Result<void> check_numeric(const Json& operand) {
  if (!operand.is_array() || operand.empty() || operand.size() % 2 != 0 || operand.size() > 4)
    return bad("\"numeric\" takes [operator, number] or two of them");
  for (size_t i = 0; i < operand.size(); i += 2) {
    static constexpr std::array<std::string_view, 5> signs{"=", "<", "<=", ">", ">="};
    bool known = operand[i].is_string() && std::find(signs.begin(), signs.end(),
                                                     operand[i].get_ref<const std::string&>()) != signs.end();
    if (!known || !operand[i + 1].is_number())
      return bad("\"numeric\" takes [operator, number] or two of them");
  }
  return {};
}

Result<void> check_operator(const std::string& name, const Json& operand);

Result<void> check_anything_but(const Json& operand) {
  if (operand.is_object()) {
    if (operand.size() != 1) return bad("\"anything-but\" takes one operator");
    const std::string& inner = operand.begin().key();
    if (inner != "prefix" && inner != "suffix" && inner != "equals-ignore-case" && inner != "wildcard")
      return bad("\"anything-but\" takes values, prefix, suffix, equals-ignore-case or wildcard");
    const Json& value = operand.begin().value();
    if (!value.is_array()) return check_operator(inner, value);
    for (const Json& one : value) CHECK(check_operator(inner, one));
    return {};
  }
  if (operand.is_array()) {
    bool scalars =
        std::all_of(operand.begin(), operand.end(), [](const Json& one) { return one.is_primitive(); });
    if (!scalars || operand.empty()) return bad("\"anything-but\" takes a list of values");
  }
  return {};
}

Result<void> check_operator(const std::string& name, const Json& operand) {
  if (std::find(kOperators.begin(), kOperators.end(), name) == kOperators.end())
    return bad(fmt::format("Unrecognized match type {}", name));
  if (name == "exists")
    return operand.is_boolean() ? Result<void>() : bad("\"exists\" must be true or false");
  if (name == "numeric") return check_numeric(operand);
  if (name == "anything-but") return check_anything_but(operand);
  bool folded = (name == "prefix" || name == "suffix") && operand.is_object() && operand.size() == 1 &&
                operand.begin().key() == "equals-ignore-case" && operand.begin().value().is_string();
  if (!operand.is_string() && !folded) return bad(fmt::format("\"{}\" takes a string", name));
  if (name == "cidr" && !sys::IpPrefix::parse(operand.get_ref<const std::string&>()))
    return bad("\"cidr\" takes a network such as 10.0.0.0/8");
  return {};
}

Result<void> check_pattern(const Json& pattern) {
  if (!pattern.is_object()) return bad("Filter is not an object");
  for (const auto& [key, wanted] : pattern.items()) {
    if (key == "$or" && wanted.is_array() && !wanted.empty() && wanted[0].is_object()) {
      for (const Json& branch : wanted) CHECK(check_pattern(branch));
      continue;
    }
    if (wanted.is_object()) {
      CHECK(check_pattern(wanted));
      continue;
    }
    if (!wanted.is_array() || wanted.empty())
      return bad(fmt::format("\"{}\" must be an object or an array of alternatives", key));
    for (const Json& alternative : wanted) {
      if (alternative.is_array()) return bad(fmt::format("\"{}\" holds an array within an array", key));
      if (!alternative.is_object()) continue;
      if (alternative.size() != 1) return bad("An operator is an object with one member");
      CHECK(check_operator(alternative.begin().key(), alternative.begin().value()));
    }
  }
  return {};
}

}  // namespace

Result<EventPattern> EventPattern::parse(std::string_view text) {
  auto json = parse_json(text, {.max_bytes = kMaxPattern, .max_depth = 24});
  if (!json) return bad(json.error().message());
  CHECK(check_pattern(*json));
  return EventPattern(std::make_shared<const Json>(std::move(*json)));
}

bool EventPattern::matches(const Json& event) const {
  return object_matches(*pattern_, &event);
}

}  // namespace berth::functions::events
