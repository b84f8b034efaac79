// run --secret: "id=NAME,src=FILE[,uid=N][,gid=N][,mode=0400]". Pure but for reading the file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli::options {

struct Secret {
  std::string id;
  std::string source;    ///< file; empty with `variable`
  std::string variable;  ///< of the environment: env=NAME
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t mode = 0400;
};

/// InvalidArgument: an unknown key, no id, neither src nor env.
Result<Secret> parse_secret(std::string_view text);
/// For the flag: the value itself if parse_secret takes it.
Result<std::string> check_secret(std::string_view text);
/// Its content.
Result<std::string> read_secret(const Secret& secret);

}  // namespace berth::cli::options
