// KEY=value flags: environment, labels, options, and files of them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::cli::options {

/// Later ones win; without '=' the value is empty. Pure.
std::map<std::string, std::string> to_map(const std::vector<std::string>& flags);

/// What a KEY without value means in a file.
enum class Lookup {
  Environment,  ///< the caller's value; left out when there is none
  Empty,        ///< left out
};
/// Lines of an env or label file: comments and blank lines are skipped, a byte order mark is dropped. Errors
/// name the file as docker does. Pure but for Lookup::Environment.
Result<std::vector<std::string>> parse_key_values(std::string_view text, std::string_view file,
                                                  Lookup lookup);
/// All lines of the files, then `flags`.
Result<std::vector<std::string>> read_key_values(const std::vector<std::string>& files,
                                                 const std::vector<std::string>& flags, Lookup lookup);

/// For flags: KEY=value stays, KEY takes the caller's value if there is one.
Result<std::string> check_environment(std::string_view value);
Result<std::string> check_label(std::string_view value);
/// key=value with a key.
Result<std::string> check_pair(std::string_view value);

}  // namespace berth::cli::options
