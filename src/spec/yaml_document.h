// A YAML document as JSON, for those documents of others that come in either form (CDI specifications). Its
// parser's exceptions stop here.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::spec {

struct YamlLimits {
  size_t max_bytes = size_t{4} << 20;
  size_t max_nodes = 200'000;  ///< aliases count as often as they stand
  size_t max_depth = 32;
};

/// One document, whose plain scalars become null, booleans and integers (with 0x and octal 0) as YAML 1.1 has
/// them, everything else text. Malformed, with a key twice, too large or too deep: InvalidArgument with the
/// line.
Result<Json> parse_yaml_document(std::string_view text, const YamlLimits& limits = {});

}  // namespace berth::spec
