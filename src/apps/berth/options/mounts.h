// --mount and --volume. Pure but for relative paths, which are completed by the working directory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::cli::options {

/// The API's Mount object of one --mount value. Messages are docker's ("target is required").
Result<Json> parse_mount(std::string_view value);
/// For the flag: the value itself if parse_mount takes it.
Result<std::string> check_mount(std::string_view value);

struct Volumes {
  std::vector<std::string> binds;      ///< "source:target[:options]" with absolute host paths
  std::vector<std::string> anonymous;  ///< targets alone
};
/// Sorts --volume values; "./x" becomes absolute. Order is kept.
Result<Volumes> parse_volumes(const std::vector<std::string>& values);

/// The path made absolute by the working directory, and cleaned, as Go's filepath.Abs does.
std::string absolute_path(std::string_view path);

}  // namespace berth::cli::options
