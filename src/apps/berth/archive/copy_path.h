// The rules of `cp`: what a trailing slash, a trailing "/." and an existing destination mean. Pure.
#pragma once

#include <string>
#include <string_view>

#include "apps/berth/failure.h"

namespace berth::cli::archive {

/// "container:path", or a local path (absolute, beginning with '.', or without colon): then container is
/// empty.
struct CopyArgument {
  std::string container;
  std::string path;
};
CopyArgument split_argument(std::string_view argument);

/// "/a/b/" or "/a/b/.": must be a directory.
bool asserts_directory(std::string_view path);
bool has_trailing_slash(std::string_view path);
/// The last element is ".".
bool names_contents(std::string_view path);
/// Go's filepath.Base and the folder before it; "/a/." gives {"/a", "."}.
struct SplitPath {
  std::string folder;
  std::string base;
};
SplitPath split_path(std::string_view path);
std::string base_of(std::string_view path);
/// `absolute` (cleaned) with the trailing "/" or "/." that `original` had.
std::string keep_ending(std::string absolute, std::string_view original);

/// A link was followed from `path` to `resolved`: the target with the ending of `path`, and the name under
/// which the copy appears when the names differ.
struct Followed {
  std::string path;
  std::string name;  ///< empty: the target's own
};
Followed follow(std::string_view path, std::string resolved);

struct CopySource {
  std::string path;
  bool is_directory = false;
  std::string name = {};  ///< instead of the path's base name; from follow()
};
struct CopyDestination {
  std::string path;
  bool exists = false;
  bool is_directory = false;
};
/// Where an archive whose top entry is `old_name` is unpacked, and what that entry is called there.
struct CopyPlan {
  std::string folder;
  std::string old_name;
  std::string new_name;  ///< the same as old_name when nothing is renamed
};
/// Errors are docker's: "cannot copy directory", "no such directory".
Outcome<CopyPlan> plan_copy(const CopySource& source, const CopyDestination& destination);

/// An entry's name with the old name, its first element, replaced by the new one.
std::string rename_entry(const std::string& entry, const CopyPlan& plan);

}  // namespace berth::cli::archive
