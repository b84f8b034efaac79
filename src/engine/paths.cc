// Lexical path operations.
#include "engine/paths.h"

#include <algorithm>
#include <vector>

namespace berth::engine {

std::string clean_path(std::string_view path) {
  bool absolute = is_absolute(path);
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    size_t slash = path.find('/');
    std::string_view part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (!absolute) {
      parts.push_back(part);
    }
  }
  std::string clean(absolute ? "/" : "");
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) clean += '/';
    clean += parts[i];
  }
  return clean.empty() ? "." : clean;
}

bool is_absolute(std::string_view path) {
  return path.starts_with('/');
}

bool is_local_path(std::string_view path) {
  if (path.empty() || is_absolute(path)) return false;
  std::string clean = clean_path(path);
  return clean != ".." && !clean.starts_with("../");
}

size_t path_depth(std::string_view path) {
  if (path == "/") return 0;
  return static_cast<size_t>(std::count(path.begin(), path.end(), '/'));
}

}  // namespace berth::engine
