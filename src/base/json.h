// JSON at the edges: a bounded parser and a serialiser that never throws. Headers use json_fwd.h.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth {

using Json = nlohmann::json;

struct JsonLimits {
  size_t max_bytes = 16u << 20;
  size_t max_depth = 64;
};

/// Parses one JSON document and nothing after it. Malformed, too large or too deep: InvalidArgument.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});
/// Compact; bytes that are not UTF-8 become U+FFFD; no HTML escaping.
std::string to_json(const Json& value);
std::string to_pretty_json(const Json& value, int indent = 4);

/// The member of this name, else one whose name differs in case alone, as Go's encoding/json finds it for
/// dockerd (docker-py sends "detachKeys"). nullptr when missing or null, or when `object` is no object.
const Json* json_member(const Json& object, std::string_view key);

/// Typed reads from an object that came from outside: a missing or null key gives the default, a wrong type
/// is InvalidArgument and names the key.
Result<std::string> json_string(const Json& object, std::string_view key, std::string fallback = {});
Result<int64_t> json_int(const Json& object, std::string_view key, int64_t fallback = 0);
Result<bool> json_bool(const Json& object, std::string_view key, bool fallback = false);
Result<std::vector<std::string>> json_strings(const Json& object, std::string_view key);
Result<std::map<std::string, std::string>> json_string_map(const Json& object, std::string_view key);

}  // namespace berth
