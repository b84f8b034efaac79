// Value: what a template works on: the values of Go as far as --format needs them. Lists and maps are shared,
// so that copies are cheap.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace berth::cli::gotemplate {

class Value;

struct Missing {};  ///< no such map entry: prints "<no value>"
/// A nil pointer; a nil slice or map prints as an empty one. All are null in JSON.
struct Nil {
  std::string_view shown = "<nil>";
};
using List = std::vector<Value>;

/// Called with the arguments that follow the field in the template.
using Method = std::function<Result<Value>(const std::vector<Value>& arguments)>;

/// What Go type an object stands for; it decides printing and what a missing field means.
enum class Shape {
  Struct,     ///< fields in their order; an unknown field is an error
  Map,        ///< prints map[...] sorted; an unknown key is Missing
  StringMap,  ///< the same, and `index` of an unknown key is ""
  Row,        ///< a line of a list: a struct whose JSON is sorted and HTML-escaped, as docker's formatters do
};

struct Object {
  Shape shape = Shape::Map;
  std::string type_name;  ///< for messages: "*formatter.imageContext"
  std::vector<std::pair<std::string, Value>> fields;
  /// Fields that were not in the document, since Go leaves empty ones out: JSON leaves them out again.
  std::vector<std::string_view> left_out = {};
};

class Value {
 public:
  using Data = std::variant<Missing, Nil, bool, int64_t, uint64_t, double, std::string, std::shared_ptr<List>,
                            std::shared_ptr<Object>, std::shared_ptr<Method>>;

  Value() : data_(Missing{}) {}
  Value(Nil nil) : data_(nil) {}                                // NOLINT: values are written in place
  Value(bool value) : data_(value) {}                           // NOLINT
  Value(int value) : data_(static_cast<int64_t>(value)) {}      // NOLINT
  Value(int64_t value) : data_(value) {}                        // NOLINT
  Value(uint64_t value);                                        // NOLINT: an int64_t when it fits
  Value(double value) : data_(value) {}                         // NOLINT
  Value(std::string value) : data_(std::move(value)) {}         // NOLINT
  Value(std::string_view value) : data_(std::string(value)) {}  // NOLINT
  Value(const char* value) : data_(std::string(value)) {}       // NOLINT
  Value(List value) : data_(std::make_shared<List>(std::move(value))) {}      // NOLINT
  Value(Object value) : data_(std::make_shared<Object>(std::move(value))) {}  // NOLINT
  Value(Method value) : data_(std::make_shared<Method>(std::move(value))) {}  // NOLINT

  template <class T>
  const T* as() const {
    return std::get_if<T>(&data_);
  }
  const List* list() const;
  const Object* object() const;
  const Method* method() const;
  const std::string* string() const { return as<std::string>(); }

  bool missing() const { return as<Missing>() != nullptr; }
  bool nil() const { return as<Nil>() != nullptr; }
  /// Go's truth: not false, zero, nil, or empty.
  bool truth() const;
  /// Go's %v.
  std::string print() const;
  /// The Go name of its type for messages: "string", "int", "[]string", "map[string]interface {}".
  std::string type_name() const;

  const Data& data() const { return data_; }

 private:
  Data data_;
};

/// The field, or null.
const Value* find(const Object& object, std::string_view name);
/// Entries by ascending key.
std::vector<const std::pair<std::string, Value>*> sorted_entries(const Object& object);
/// Compact JSON as Go's encoder without HTML escaping writes it.
std::string to_json(const Value& value);
/// A double as Go prints it with %v ("1e+06", "0.5").
std::string print_float(double value);

}  // namespace berth::cli::gotemplate
