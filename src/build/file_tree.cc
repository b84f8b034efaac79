// Resolution of links within a tree.
#include "build/file_tree.h"

#include <cerrno>

#include "base/format.h"
#include "spec/dockerignore.h"
#include "spec/go_quote.h"

namespace berth::build {

std::string join_path(std::string_view directory, std::string_view name) {
  std::string out(directory);
  if (!out.ends_with('/')) out.push_back('/');
  return out += name;
}

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

std::string parent_path(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string_view::npos ? "/" : std::string(path.substr(0, slash));
}

namespace {

/// Puts the path's elements before those that are left; both lists have the next element last.
void put_before(std::string_view path, std::vector<std::string>& left) {
  std::vector<std::string> elements;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view element = path.substr(0, end);
    if (!element.empty() && element != ".") elements.emplace_back(element);
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  left.insert(left.end(), elements.rbegin(), elements.rend());
}

}  // namespace

Result<std::string> FileTree::resolve(std::string_view wanted) const {
  constexpr int most_links = 40;  // what the kernel follows
  int links = 0;
  std::vector<std::string> left;
  put_before(spec::clean_path(join_path("/", wanted)), left);
  std::string done = "/";
  while (!left.empty()) {
    const std::string element = std::move(left.back());
    left.pop_back();
    if (element == "..") {
      done = parent_path(done);
      continue;
    }
    const std::string next = join_path(done, element);
    auto node = stat(next);
    const bool is_missing =
        !node && (node.error().kind() == Kind::NotFound || node.error().errno_value() == ENOTDIR);
    if (is_missing) return failure(Kind::NotFound, "{}: not found", spec::go_quote(wanted));
    if (!node) return std::move(node).error();
    if (node->type != FileType::Symlink) {
      done = next;
      continue;
    }
    if (++links > most_links) {
      return failure(Kind::InvalidArgument, "{}: too many levels of symbolic links", spec::go_quote(wanted));
    }
    if (node->link.starts_with('/')) done = "/";
    put_before(node->link, left);
  }
  return done;
}

}  // namespace berth::build
