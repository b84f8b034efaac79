// WatchTree: inotify on folders and everything below them, on single files, and on what is not there yet.
#pragma once

#include <map>
#include <set>
#include <string>

#include "apps/berth/failure.h"
#include "sys/fd.h"

namespace berth::cli::compose {

class WatchTree {
 public:
  static Outcome<WatchTree> open();

  /// A folder with all below it. A file is watched by its folder, for editors put another in its place; what
  /// is missing by the nearest folder that is there.
  Outcome<void> add(const std::string& path);
  /// Paths that have changed; waits for the first and gathers what follows within a moment. Empty: `stop` is
  /// readable.
  Outcome<std::set<std::string>> changes(int stop);

 private:
  Outcome<void> watch(const std::string& path);
  Outcome<void> add_folder(const std::string& folder);
  Outcome<void> await(const std::string& path);
  Outcome<void> look_for_awaited(std::set<std::string>& changed);
  Outcome<void> take(std::set<std::string>& changed);

  sys::UniqueFd fd_;
  std::map<int, std::string> paths_;
  std::set<std::string> trees_;    ///< folders whose new folders are watched, too
  std::set<std::string> awaited_;  ///< paths that are not there yet
};

}  // namespace berth::cli::compose
