// The page's files, compiled into the program.
#pragma once

#include <span>
#include <string_view>

namespace berth::cli::ui {

struct Asset {
  std::string_view path;   ///< "/app.js"; the page itself is "/"
  std::string_view type;   ///< Content-Type
  std::string_view bytes;  ///< compressed: Content-Encoding gzip
};

std::span<const Asset> assets();
/// Null when there is no such file.
const Asset* find_asset(std::string_view path);

}  // namespace berth::cli::ui
