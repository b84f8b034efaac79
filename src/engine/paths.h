// Container paths as text: cleaned the way Go's path.Clean does. Nothing here touches a filesystem.
#pragma once

#include <string>
#include <string_view>

namespace berth::engine {

/// "/a//b/../c/" -> "/a/c"; ".." at the top of an absolute path stays there; empty is ".".
std::string clean_path(std::string_view path);
bool is_absolute(std::string_view path);
/// A relative path that stays below where it starts: no leading '/', no ".." that leads out (Go's
/// filepath.IsLocal).
bool is_local_path(std::string_view path);
/// Number of components of a clean absolute path; "/" has none.
size_t path_depth(std::string_view path);

}  // namespace berth::engine
