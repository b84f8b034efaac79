// linux.intelRdt: a container's class of service for caches and memory bandwidth, a directory of the resctrl
// filesystem (kernel: Documentation/filesystems/resctrl.rst).
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace berth::runtime {

struct ResctrlGroup {
  std::string directory;              ///< the class of service; empty: none is asked for
  std::string monitor;                ///< the monitoring group in it; empty: none
  bool is_own = false;                ///< named after the container, and gone with it
  std::vector<std::string> compared;  ///< lines that must be so where the class is there already
  std::vector<std::string> written;   ///< lines that are written in any case, behind the others
};

/// Where a mountinfo has resctrl. Unsupported: nowhere.
Result<std::string> find_resctrl(std::string_view mountinfo);

/// What `intelRdt` of a configuration asks for. Pure. InvalidArgument: names and lines that are none.
Result<ResctrlGroup> plan_resctrl(const std::string& mount, const Json& rdt, const std::string& id);

/// Makes what is not there: the directories made, in the order in which they were. NotFound: a class without
/// lines that somebody else should have made. On failure nothing stays.
Result<std::vector<std::string>> make_resctrl(const ResctrlGroup& group);

/// Sets the lines, or compares them where `made` does not have the class, and puts a process in.
/// AlreadyExists: the class is another.
Result<void> fill_resctrl(const ResctrlGroup& group, const std::vector<std::string>& made, pid_t pid);

/// Writes lines to a class. InvalidArgument: the kernel takes them for none.
Result<void> write_schemata(const std::string& directory, const std::vector<std::string>& lines);

/// What goes with a container: the last made first. Of what somebody else is still in, nothing.
void remove_resctrl(const std::vector<std::string>& made);

}  // namespace berth::runtime
