// Shape: what a node of a Compose file may be: kinds of scalars, lists of one shape, mappings with known keys
// or with any. `schema` has the tables for the whole file; this is the way through them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apps/berth/compose/value.h"
#include "base/result.h"

namespace berth::cli::compose {

struct Field;

struct Shape {
  enum Kinds : unsigned { Text = 1, Integer = 2, Number = 4, Boolean = 8, Null = 16, List = 32, Map = 64 };
  /// How a scalar is shown by `config`; every way to write the same thing becomes one.
  enum class Form { AsWritten, String, Boolean, Integer, Number, Bytes, Duration, Mode, DecimalMode };
  /// What keys of a mapping other than those of `fields` and x-... may look like.
  enum class Keys { Known, Names, Any };

  unsigned kinds = Text;
  Form form = Form::AsWritten;
  std::span<const std::string_view> choices = {};  ///< for texts; empty: any
  const Shape* element = nullptr;                  ///< of a list; null: anything
  bool unique = false;                             ///< no element twice
  std::span<const Field> fields = {};              ///< of a mapping
  Keys keys = Keys::Known;
  const Shape* member = nullptr;  ///< under other keys; null: anything
};

struct Field {
  std::string_view key;
  const Shape* shape;
  enum class Zero { LeftOut, Kept };  ///< whether `config` shows what is empty, zero or false
  Zero zero = Zero::LeftOut;
  std::string_view hashed_as = {};  ///< its name in hashed_json; empty: the key
};

/// InvalidArgument "FILE:LINE:COLUMN: PATH must be ..." for the first node that does not fit.
Result<void> check_shape(const Value& value, const Shape& shape, const std::string& path = {});
/// Names of the members: those of the shape's fields in their order, then the others. No shape: by name.
std::vector<std::string> ordered_keys(const Value& map, const Shape* shape);
/// Of a member; null: anything may stand there.
const Shape* shape_below(const Shape& shape, std::string_view key);
/// Removes x-... below the members of `value`; its own stay.
void drop_extensions(Value& value, const Shape& shape);
/// Scalars of `value`, which fits, in their forms.
void apply_forms(Value& value, const Shape& shape);
/// Removes texts, numbers and flags that say nothing (Field::Zero), when they have their forms.
void drop_zeros(Value& value, const Shape& shape);

}  // namespace berth::cli::compose
