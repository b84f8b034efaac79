// JSON byte for byte as docker's compose writes what it takes its hashes of: fields in the order of its
// structures, other members by their names, as Go's encoder writes texts.
#pragma once

#include <string>

#include "apps/berth/compose/shape.h"

namespace berth::cli::compose {

/// Members that `shape` does not know, x-... among them, are left out.
std::string hashed_json(const Value& value, const Shape& shape);

}  // namespace berth::cli::compose
