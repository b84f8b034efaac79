// Extended attributes of open files and of names in a directory. Filesystems without them read as empty.
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>

#include "base/format.h"
#include "sys/file.h"

namespace berth::sys {
namespace {

std::string path_of_fd(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}
std::string path_at(int dir_fd, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", dir_fd, name);
}

/// Calls `get(buffer, size)` with growing buffers. ERANGE happens when the value grew in between.
template <class Get>
Result<std::string> read_sized(std::string_view operation, std::string_view subject, Get get) {
  std::string value(1024, '\0');
  for (int attempt = 0; attempt < 8; ++attempt) {
    ssize_t length = get(value.data(), value.size());
    if (length >= 0) {
      value.resize(static_cast<size_t>(length));
      return value;
    }
    if (errno != ERANGE) break;
    ssize_t needed = get(nullptr, 0);
    if (needed < 0) break;
    value.resize(static_cast<size_t>(needed) + 64);
  }
  return Error::from_errno(operation, subject, errno);
}

Error get_error(Error error) {
  // "No such attribute" has an errno of its own; for callers it is simply not there.
  if (error.errno_value() == ENODATA) return Error(Kind::NotFound, error.message());
  return error;
}

template <class List, class Get>
Result<std::vector<Xattr>> read_all(List list, Get get) {
  auto names = read_sized("list attributes", {}, list);
  if (!names) {
    int error = names.error().errno_value();
    if (error == EOPNOTSUPP || error == ENOSYS) return std::vector<Xattr>();
    return std::move(names).error();
  }
  std::vector<Xattr> attributes;
  std::string_view rest = *names;
  while (!rest.empty()) {
    size_t end = std::min(rest.find('\0'), rest.size());
    std::string name(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (name.empty()) continue;
    auto value = read_sized("read attribute", name,
                            [&](char* buffer, size_t size) { return get(name.c_str(), buffer, size); });
    if (value) {
      attributes.push_back({std::move(name), std::move(*value)});
    } else if (value.error().errno_value() != ENODATA) {
      return std::move(value).error();
    }
  }
  std::sort(attributes.begin(), attributes.end(),
            [](const Xattr& a, const Xattr& b) { return a.name < b.name; });
  return attributes;
}

}  // namespace

Result<std::vector<Xattr>> read_xattrs(int fd) {
  std::string path = path_of_fd(fd);
  return read_all([&](char* buffer, size_t size) { return ::listxattr(path.c_str(), buffer, size); },
                  [&](const char* name, char* buffer, size_t size) {
                    return ::getxattr(path.c_str(), name, buffer, size);
                  });
}

Result<std::string> get_xattr(int fd, const std::string& name) {
  std::string path = path_of_fd(fd);
  auto value = read_sized("read attribute", name, [&](char* buffer, size_t size) {
    return ::getxattr(path.c_str(), name.c_str(), buffer, size);
  });
  if (!value) return get_error(std::move(value).error());
  return value;
}

Result<void> set_xattr(int fd, const std::string& name, std::string_view value) {
  if (::setxattr(path_of_fd(fd).c_str(), name.c_str(), value.data(), value.size(), 0) != 0) {
    return Error::from_errno("set attribute", name, errno);
  }
  return {};
}

Result<std::vector<Xattr>> read_xattrs_at(int dir_fd, const std::string& name) {
  std::string path = path_at(dir_fd, name);
  return read_all([&](char* buffer, size_t size) { return ::llistxattr(path.c_str(), buffer, size); },
                  [&](const char* attribute, char* buffer, size_t size) {
                    return ::lgetxattr(path.c_str(), attribute, buffer, size);
                  });
}

Result<std::string> get_xattr_at(int dir_fd, const std::string& name, const std::string& xattr) {
  std::string path = path_at(dir_fd, name);
  auto value = read_sized("read attribute", xattr, [&](char* buffer, size_t size) {
    return ::lgetxattr(path.c_str(), xattr.c_str(), buffer, size);
  });
  if (!value) return get_error(std::move(value).error());
  return value;
}

Result<void> set_xattr_at(int dir_fd, const std::string& name, const std::string& xattr,
                          std::string_view value) {
  if (::lsetxattr(path_at(dir_fd, name).c_str(), xattr.c_str(), value.data(), value.size(), 0) != 0) {
    return Error::from_errno("set attribute", xattr, errno);
  }
  return {};
}

}  // namespace berth::sys
