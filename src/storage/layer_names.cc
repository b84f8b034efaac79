// Cleaning of entry names and the attribute filter.
#include "storage/layer_names.h"

#include <vector>

#include "base/format.h"

namespace berth::storage {

bool is_portable_xattr(std::string_view name) {
  if (name == "security.capability") return true;
  if (name == "system.posix_acl_access" || name == "system.posix_acl_default") return true;
  return name.starts_with("user.") && !name.starts_with("user.overlay.");
}

Result<std::string> clean_entry_path(std::string_view name) {
  if (name.find('\0') != std::string_view::npos) {
    return Error(Kind::InvalidArgument, "tar entry: its name holds a NUL byte");
  }
  bool absolute = name.starts_with('/');
  std::vector<std::string_view> parts;
  for (std::string_view rest = name; !rest.empty();) {
    size_t slash = rest.find('/');
    std::string_view part = rest.substr(0, slash);
    rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      if (part.size() > 255) {
        return failure(Kind::InvalidArgument, "tar entry \"{}...\": a name is longer than 255 bytes",
                       name.substr(0, 64));
      }
      parts.push_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    } else if (!absolute) {
      return failure(Kind::InvalidArgument, "tar entry \"{}\" leads outside the root: refused", name);
    }
  }
  std::string path;
  for (std::string_view part : parts) {
    if (!path.empty()) path += '/';
    path += part;
  }
  return path.empty() ? std::string(".") : path;
}

PathParts split_path(std::string_view path) {
  size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace berth::storage
