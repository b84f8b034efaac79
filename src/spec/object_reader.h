// Reads an object's members into fields and remembers the first failure, so that the parser of a document
// with fifty fields reads as a table.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/format.h"
#include "base/json.h"

namespace berth::spec {

class ObjectReader {
 public:
  /// null stands for an empty object; anything but an object is InvalidArgument and names `what`.
  ObjectReader(const Json& object, std::string_view what) : object_(object) {
    if (!object.is_object() && !object.is_null()) {
      error_ = failure(Kind::InvalidArgument, "invalid JSON: {} must be an object", what);
    }
  }

  void read(std::string_view key, std::string& field) { keep(json_string(object_, key), field); }
  void read(std::string_view key, bool& field) { keep(json_bool(object_, key), field); }
  void read(std::string_view key, std::vector<std::string>& field) {
    keep(json_strings(object_, key), field);
  }
  void read(std::string_view key, std::map<std::string, std::string>& field) {
    keep(json_string_map(object_, key), field);
  }

  template <class Integer>
  requires(std::is_integral_v<Integer> && !std::is_same_v<Integer, bool>) void read(std::string_view key,
                                                                                    Integer& field) {
    auto value = json_int(object_, key);
    if (value && !std::in_range<Integer>(*value)) {
      value = failure(Kind::InvalidArgument, "invalid JSON: \"{}\" is out of range: {}", key, *value);
    }
    if (!value) return fail(std::move(value).error());
    field = static_cast<Integer>(*value);
  }

  /// Absent and null leave the field empty.
  template <class T>
  void read(std::string_view key, std::optional<T>& field) {
    if (find(key) != nullptr) read(key, field.emplace());
  }

  /// The keys of an object whose values do not matter ({"80/tcp": {}}), as Go encodes sets.
  template <class Set>
  void read_keys(std::string_view key, Set& field) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_object())
      return fail(failure(Kind::InvalidArgument, "invalid JSON: \"{}\" must be an object", key));
    for (const auto& [name, unused] : value->items()) field.insert(name);
  }

  /// A list whose elements `parse` turns into values: Result<T> parse(const Json&).
  template <class T, class Parse>
  void read_list(std::string_view key, std::vector<T>& field, Parse parse) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_array())
      return fail(failure(Kind::InvalidArgument, "invalid JSON: \"{}\" must be a list", key));
    for (const Json& element : *value) {
      auto parsed = parse(element);
      if (!parsed) return fail(std::move(parsed).error());
      field.push_back(std::move(*parsed));
    }
  }

  /// A member that `parse` turns into a value; absent and null leave the field alone.
  template <class T, class Parse>
  void read_with(std::string_view key, T& field, Parse parse) {
    const Json* value = find(key);
    if (value == nullptr) return;
    auto parsed = parse(*value);
    if (!parsed) return fail(std::move(parsed).error());
    field = std::move(*parsed);
  }

  const Json* find(std::string_view key) const { return json_member(object_, key); }
  void fail(Error error) {
    if (!error_) error_ = std::move(error);
  }
  /// The first failure, if any.
  Result<void> finish() && {
    if (error_) return std::move(*error_);
    return {};
  }

 private:
  template <class T>
  void keep(Result<T> value, T& field) {
    if (!value) return fail(std::move(value).error());
    field = std::move(*value);
  }

  const Json& object_;
  std::optional<Error> error_;
};

}  // namespace berth::spec
