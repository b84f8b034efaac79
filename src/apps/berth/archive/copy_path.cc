// Paths of cp.
#include "apps/berth/archive/copy_path.h"

#include "spec/dockerignore.h"

namespace berth::cli::archive {

CopyArgument split_argument(std::string_view argument) {
  size_t colon = argument.find(':');
  bool local = argument.starts_with('/') || colon == std::string_view::npos || argument.starts_with('.');
  if (local) return {"", std::string(argument)};
  return {std::string(argument.substr(0, colon)), std::string(argument.substr(colon + 1))};
}

bool has_trailing_slash(std::string_view path) {
  return path.ends_with('/');
}

bool names_contents(std::string_view path) {
  return base_of(path) == ".";
}

bool asserts_directory(std::string_view path) {
  return has_trailing_slash(path) || names_contents(path);
}

std::string base_of(std::string_view path) {
  if (path.empty()) return ".";
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path == "/") return "/";
  return std::string(path.substr(path.rfind('/') + 1));
}

SplitPath split_path(std::string_view path) {
  std::string clean = spec::clean_path(path);
  if (names_contents(path)) return {clean, "."};
  size_t slash = clean.rfind('/');
  if (slash == std::string::npos) return {".", clean};
  return {slash == 0 ? "/" : clean.substr(0, slash), base_of(clean)};
}

std::string keep_ending(std::string absolute, std::string_view original) {
  // ".." at the end names a directory, but not its contents.
  if (!names_contents(absolute) && names_contents(original)) {
    if (!absolute.ends_with('/')) absolute += '/';
    absolute += '.';
  }
  if (!has_trailing_slash(absolute) && has_trailing_slash(original)) absolute += '/';
  return absolute;
}

Followed follow(std::string_view path, std::string resolved) {
  std::string target = keep_ending(std::move(resolved), path);
  std::string wanted = base_of(path);
  bool differs = wanted != base_of(target);
  return {std::move(target), differs ? wanted : std::string()};
}

Outcome<CopyPlan> plan_copy(const CopySource& source, const CopyDestination& destination) {
  std::string own = split_path(source.path).base;
  SplitPath target = split_path(destination.path);
  std::string old_name = source.name.empty() ? own : source.name;
  if (destination.exists && destination.is_directory) return CopyPlan{destination.path, old_name, old_name};
  if (destination.exists && source.is_directory) return refuse("cannot copy directory");
  if (!destination.exists && !source.is_directory && asserts_directory(destination.path)) {
    return refuse("no such directory");
  }
  return CopyPlan{target.folder, old_name, target.base};
}

std::string rename_entry(const std::string& entry, const CopyPlan& plan) {
  if (plan.old_name == plan.new_name) return entry;
  std::string_view rest = entry;
  while (rest.starts_with('/')) rest.remove_prefix(1);
  std::string_view first = rest.substr(0, rest.find('/'));
  // The root of a container has no name, and "dir/." is called "."; else the first element is the old name.
  bool unnamed = plan.old_name == "/" && first != ".";
  if (!unnamed && first != plan.old_name && first != ".") return entry;
  if (!unnamed) rest.remove_prefix(first.size());
  while (rest.starts_with('/')) rest.remove_prefix(1);
  return rest.empty() && !entry.ends_with('/') ? plan.new_name : fmt::format("{}/{}", plan.new_name, rest);
}

}  // namespace berth::cli::archive
