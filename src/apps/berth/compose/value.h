// Value: a node of a Compose file, with the place where it stands, so that every complaint can name file and
// line. Scalars stay text until somebody asks for a type, because interpolation may still change them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::cli::compose {

struct Position {
  std::shared_ptr<const std::string> file = {};
  unsigned line = 0;  ///< from 1; 0: made by this program
  unsigned column = 0;
  /// "compose.yaml:12:5", or empty.
  std::string str() const;
};

struct Value {
  enum class Kind { Null, Scalar, List, Map };
  enum class Variables { None, PutIn, LeftIn };
  enum class Tag { None, Reset, Override };  ///< !reset and !override, for merging
  using List = std::vector<Value>;
  using Map = std::map<std::string, Value, std::less<>>;

  Kind kind = Kind::Null;
  Tag tag = Tag::None;
  bool quoted = false;                    ///< a scalar that is a string whatever it looks like
  Variables variables = Variables::None;  ///< of a scalar: replaced by their values, or as they were written
  std::string text = {};
  List items = {};
  Map members = {};
  Position at = {};

  static Value scalar(std::string text, Position at = {}, bool quoted = false);
  static Value string(std::string text, Position at = {}) {
    return scalar(std::move(text), std::move(at), true);
  }
  static Value list(Position at = {});
  static Value map(Position at = {});

  bool is_null() const { return kind == Kind::Null; }
  bool is_scalar() const { return kind == Kind::Scalar; }
  bool is_list() const { return kind == Kind::List; }
  bool is_map() const { return kind == Kind::Map; }
  /// The member of a map; null for other kinds, for absent members and for members without value.
  const Value* find(std::string_view key) const;
  Value* find(std::string_view key);
  bool has(std::string_view key) const { return is_map() && members.contains(key); }
  Value& set(std::string_view key, Value value);
};

/// What a scalar is by YAML's core schema; quoted ones are texts.
enum class ScalarKind { Null, Boolean, Integer, Number, Text };
ScalarKind scalar_kind(const Value& scalar);

/// InvalidArgument "FILE:LINE:COLUMN: PATH MESSAGE".
Error complaint(const Value& value, std::string_view path, std::string_view message);

// Typed reads; `path` ("services.web.image") is for complaints.
Result<std::string> as_text(const Value& value, std::string_view path);
Result<bool> as_bool(const Value& value, std::string_view path);
Result<int64_t> as_int(const Value& value, std::string_view path);
Result<double> as_number(const Value& value, std::string_view path);
/// "512m" or a number of bytes.
Result<int64_t> as_bytes(const Value& value, std::string_view path);
/// A file's mode: plain integers as YAML reads them, texts octal ("0440").
Result<uint32_t> as_mode(const Value& value, std::string_view path);
/// "1m30s": nanoseconds.
Result<int64_t> as_duration(const Value& value, std::string_view path);
/// A list of scalars, or one scalar as a list of one.
Result<std::vector<std::string>> as_texts(const Value& value, std::string_view path);

// The same for members that may be absent.
Result<std::string> text_of(const Value& map, std::string_view key, std::string_view path,
                            std::string fallback = {});
Result<bool> bool_of(const Value& map, std::string_view key, std::string_view path, bool fallback = false);
Result<std::optional<int64_t>> int_of(const Value& map, std::string_view key, std::string_view path);
Result<std::vector<std::string>> texts_of(const Value& map, std::string_view key, std::string_view path);
/// Members as texts; null members are left out.
Result<std::map<std::string, std::string>> text_map_of(const Value& map, std::string_view key,
                                                       std::string_view path);

/// The documents of a YAML file with anchors and merge keys resolved. Bounded: `limit` nodes after resolving.
/// Malformed, duplicate keys: InvalidArgument with the place.
Result<std::vector<Value>> parse_yaml_documents(std::string_view text, const std::string& file,
                                                size_t limit = 100'000);
/// The same where there is to be one document at most; null if there is none.
Result<Value> parse_yaml(std::string_view text, const std::string& file, size_t limit = 100'000);

/// As JSON: plain scalars that look like numbers, booleans or null become such. Keys are sorted.
Json to_json_value(const Value& value);
struct Shape;
/// Canonical YAML, two spaces, as `docker compose config` prints it: members in the order of the shape's
/// fields, the others behind them by name.
std::string to_yaml(const Value& value, const Shape* shape = nullptr);

}  // namespace berth::cli::compose
