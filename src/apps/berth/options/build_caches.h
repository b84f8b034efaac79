// build --cache-from and --cache-to: "type=registry,ref=HOST/NAME", "type=local,src=DIR", "type=inline", or a
// reference alone. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli::options {

struct BuildCache {
  enum class Type { Registry, Local, Inline } type = Type::Registry;
  std::string reference = {};  ///< of a registry
  std::string directory = {};  ///< src or dest
  std::string tag = "latest";  ///< of the manifest in a directory
  std::string digest = {};     ///< instead of the tag
  std::string mode = {};       ///< "min", "max", or empty
};

/// InvalidArgument or Unsupported name what is wrong.
Result<BuildCache> parse_cache_from(std::string_view text);
Result<BuildCache> parse_cache_to(std::string_view text);
/// For the flags: the value itself if it is one.
Result<std::string> check_cache_from(std::string_view text);
Result<std::string> check_cache_to(std::string_view text);

}  // namespace berth::cli::options
