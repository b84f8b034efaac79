// Template values from the engine's JSON. The engine's documents lose Go's types on the way: which objects
// are structs, and which empty fields were left out, is restored from a table.
#pragma once

#include <string_view>

#include "apps/berth/gotemplate/value.h"
#include "base/result.h"

namespace berth::cli::gotemplate {

enum class Typing {
  Typed,    ///< as the Go client sees the document: structs, and zero values for fields that were left out
  Untyped,  ///< as a plain JSON document: all objects are maps, numbers are text
};

/// Parses one JSON document (at most 64 MiB, 64 levels); the order of fields is kept.
Result<Value> parse_document(std::string_view json, Typing typing);

}  // namespace berth::cli::gotemplate
