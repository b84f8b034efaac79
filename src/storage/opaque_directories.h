// OpaqueDirectories: what is left to do at directories that hide the layers beneath. The kernel reads such a
// directory as it lies there, and would show the whiteouts in it as files; they hide nothing any more.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sys/root_dir.h"

namespace berth::storage {

class OpaqueDirectories {
 public:
  /// A directory by its path in the tree; once or often.
  void add(std::string_view path) { paths_.emplace(path); }
  /// Removes the whiteouts in them. Those that are no directories any more are left alone.
  Result<void> remove_whiteouts(const sys::RootDir& root) const;

 private:
  std::set<std::string, std::less<>> paths_;
};

}  // namespace berth::storage
