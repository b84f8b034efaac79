#include "apps/berth/compose/shape.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <vector>

#include "base/duration_text.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using Kinds = Shape::Kinds;

std::string below(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

unsigned kinds_of(const Value& value) {
  if (value.is_null()) return Kinds::Null;
  if (value.is_list()) return Kinds::List;
  if (value.is_map()) return Kinds::Map;
  switch (scalar_kind(value)) {
    case ScalarKind::Null:
      return Kinds::Null;
    case ScalarKind::Boolean:
      return Kinds::Boolean;
    case ScalarKind::Integer:
      return Kinds::Integer | Kinds::Number;
    case ScalarKind::Number:
      return Kinds::Number;
    case ScalarKind::Text:
      break;
  }
  return Kinds::Text;
}

std::string names_of(unsigned kinds) {
  std::vector<std::string_view> names;
  for (auto [kind, name] : {std::pair{Kinds::Text, "a string"},
                            {Kinds::Integer, "an integer"},
                            {Kinds::Number, "a number"},
                            {Kinds::Boolean, "a boolean"},
                            {Kinds::List, "a list"},
                            {Kinds::Map, "a mapping"}}) {
    if ((kinds & kind) != 0) names.push_back(name);
  }
  return fmt::format("{}", fmt::join(names, " or "));
}

/// What a variable has become may be read as what is wanted.
bool fits(const Value& value, const Shape& shape) {
  if ((kinds_of(value) & shape.kinds) != 0) return true;
  if (!value.is_scalar() || value.variables != Value::Variables::PutIn) return false;
  Value plain = value;
  plain.quoted = false;
  return (kinds_of(plain) & shape.kinds) != 0;
}

Result<void> check_list(const Value& list, const Shape& shape, const std::string& path) {
  std::set<std::string> seen;
  for (size_t i = 0; i < list.items.size(); ++i) {
    const Value& item = list.items[i];
    std::string here = fmt::format("{}[{}]", path, i);
    if (item.tag == Value::Tag::Reset) continue;
    if (shape.element != nullptr) CHECK(check_shape(item, *shape.element, here));
    if (shape.unique && !seen.insert(to_json(to_json_value(item))).second)
      return complaint(item, path, fmt::format("has the same item twice: {}", to_json(to_json_value(item))));
  }
  return {};
}

bool is_name(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
  });
}

const Shape* member_shape(const Shape& shape, std::string_view key, bool& known) {
  auto field = std::find_if(shape.fields.begin(), shape.fields.end(),
                            [&](const Field& one) { return one.key == key; });
  known = true;
  if (field != shape.fields.end()) return field->shape;
  if (shape.keys == Shape::Keys::Any) return shape.member;
  if (key.starts_with("x-")) return nullptr;
  known = shape.keys == Shape::Keys::Names && is_name(key);
  return shape.member;
}

Result<void> check_map(const Value& map, const Shape& shape, const std::string& path) {
  for (const auto& [key, member] : map.members) {
    bool known = false;
    const Shape* inner = member_shape(shape, key, known);
    if (!known) return complaint(member, path, fmt::format("additional properties '{}' not allowed", key));
    if (inner != nullptr) CHECK(check_shape(member, *inner, below(path, key)));
  }
  return {};
}

std::string shown_bytes(const Value& value) {
  auto bytes = as_bytes(value, "");
  return bytes ? fmt::format("{}", *bytes) : value.text;
}

/// "1m30s"
std::string shown_duration(const Value& value) {
  auto nanoseconds = as_duration(value, "");
  return nanoseconds ? go_duration(*nanoseconds) : value.text;
}

/// Octal, with a zero in front.
std::string shown_mode(const Value& value) {
  auto mode = as_mode(value, "");
  return mode ? fmt::format("0{:o}", *mode) : value.text;
}

void apply_form(Value& value, Shape::Form form) {
  auto become = [&](std::string text, bool quoted) {
    value.text = std::move(text);
    value.quoted = quoted;
  };
  switch (form) {
    case Shape::Form::AsWritten:
      break;
    case Shape::Form::String:
      value.quoted = true;
      break;
    case Shape::Form::Boolean:
      if (auto on = as_bool(value, "")) become(*on ? "true" : "false", false);
      break;
    case Shape::Form::Integer:
      if (auto number = as_int(value, "")) become(fmt::format("{}", *number), false);
      break;
    case Shape::Form::Number:
      // docker's compose keeps them in 32 bits.
      if (auto number = as_number(value, "")) become(fmt::format("{}", static_cast<float>(*number)), false);
      break;
    case Shape::Form::Bytes:
      become(shown_bytes(value), true);
      break;
    case Shape::Form::Duration:
      become(shown_duration(value), true);
      break;
    case Shape::Form::Mode:
      become(shown_mode(value), true);
      break;
    case Shape::Form::DecimalMode:
      if (auto mode = as_mode(value, "")) become(fmt::format("{}", *mode), false);
      break;
  }
}

bool is_zero(const Value& value, Shape::Form form) {
  if (!value.is_scalar() || value.variables == Value::Variables::LeftIn) return false;
  switch (form) {
    case Shape::Form::String:
      return value.text.empty();
    case Shape::Form::Boolean:
      return value.text == "false";
    case Shape::Form::Integer:
    case Shape::Form::Number:
    case Shape::Form::Bytes:
      return value.text == "0";
    default:
      return false;
  }
}

}  // namespace

Result<void> check_shape(const Value& value, const Shape& shape, const std::string& path) {
  // Members without a value are as good as absent.
  if (value.tag == Value::Tag::Reset || value.is_null()) return {};
  if (!fits(value, shape)) return complaint(value, path, fmt::format("must be {}", names_of(shape.kinds)));
  if (value.is_list()) return check_list(value, shape, path);
  if (value.is_map()) return check_map(value, shape, path);
  bool chosen = shape.choices.empty() ||
                std::find(shape.choices.begin(), shape.choices.end(), value.text) != shape.choices.end();
  if (!chosen)
    return complaint(value, path, fmt::format("must be one of {}", fmt::join(shape.choices, ", ")));
  return {};
}

std::vector<std::string> ordered_keys(const Value& map, const Shape* shape) {
  std::vector<std::string> keys;
  auto is_field = [&](std::string_view key) {
    return shape != nullptr && std::any_of(shape->fields.begin(), shape->fields.end(),
                                           [&](const Field& field) { return field.key == key; });
  };
  if (shape != nullptr) {
    for (const Field& field : shape->fields)
      if (map.has(field.key)) keys.emplace_back(field.key);
  }
  for (const auto& [key, member] : map.members)
    if (!is_field(key)) keys.push_back(key);
  return keys;
}

const Shape* shape_below(const Shape& shape, std::string_view key) {
  bool known = false;
  return member_shape(shape, key, known);
}

void drop_extensions(Value& value, const Shape& shape) {
  auto drop_in = [](Value& inner, const Shape& inner_shape) {
    if (inner_shape.keys == Shape::Keys::Known)
      std::erase_if(inner.members, [](const auto& member) { return member.first.starts_with("x-"); });
    drop_extensions(inner, inner_shape);
  };
  for (Value& item : value.items) {
    if (shape.element != nullptr) drop_in(item, *shape.element);
  }
  for (auto& [key, member] : value.members) {
    bool known = false;
    const Shape* inner = member_shape(shape, key, known);
    if (inner != nullptr) drop_in(member, *inner);
  }
}

void apply_forms(Value& value, const Shape& shape) {
  if (value.is_scalar()) return apply_form(value, shape.form);
  for (Value& item : value.items) {
    if (shape.element != nullptr) apply_forms(item, *shape.element);
  }
  for (auto& [key, member] : value.members) {
    bool known = false;
    const Shape* inner = member_shape(shape, key, known);
    if (inner != nullptr) apply_forms(member, *inner);
  }
}

void drop_zeros(Value& value, const Shape& shape) {
  for (const Field& field : shape.fields) {
    auto member = value.members.find(field.key);
    const bool zero = member != value.members.end() && field.zero == Field::Zero::LeftOut &&
                      is_zero(member->second, field.shape->form);
    if (zero) value.members.erase(member);
  }
  for (Value& item : value.items) {
    if (shape.element != nullptr) drop_zeros(item, *shape.element);
  }
  for (auto& [key, member] : value.members) {
    bool known = false;
    const Shape* inner = member_shape(shape, key, known);
    if (inner != nullptr) drop_zeros(member, *inner);
  }
}

}  // namespace berth::cli::compose
