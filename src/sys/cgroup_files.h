// File operations that all control group versions share: directories, single-write settings, process lists,
// and the core files of a v2 group (freeze, kill, events), which hybrid hosts have too.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/cgroup.h"
#include "sys/cgroup_plan.h"
#include "sys/fd.h"

namespace berth::sys::cgroup_files {

/// One write(2) of the whole value. The error's subject is the file.
Result<void> write(const std::string& path, std::string_view value);
/// A whole small file (64 KiB at most).
Result<std::string> read(const std::string& path);
/// The first number of a file; "max" is UINT64_MAX.
Result<uint64_t> read_number(const std::string& path);
bool exists(const std::string& path);

/// Performs planned writes; `directory_of(controller)` says where. What is missing and may be is appended to
/// `warnings`. Writes to the same file in a row share one descriptor.
template <class DirectoryOf>
Result<void> perform(std::span<const CgroupWrite> writes, DirectoryOf directory_of,
                     std::vector<std::string>& warnings);

/// The pids in cgroup.procs of `directory` and all directories below; those that this pid namespace cannot
/// see (0) are left out.
Result<std::vector<pid_t>> pids_below(const std::string& directory);
/// Removes the directories below `directory`, deepest first, then itself. WrongState while processes are in.
Result<void> remove_tree(const std::string& directory);

/// One write sequence behind perform().
class Writer {
 public:
  /// ENOENT of both files becomes the write's warning, if it has one.
  Result<void> write(const std::string& directory, const CgroupWrite& write,
                     std::vector<std::string>& warnings);

 private:
  Result<void> write_file(const std::string& path, std::string_view value);
  std::string open_path_;
  UniqueFd file_;
};

template <class DirectoryOf>
Result<void> perform(std::span<const CgroupWrite> writes, DirectoryOf directory_of,
                     std::vector<std::string>& warnings) {
  Writer writer;
  for (const auto& planned : writes) CHECK(writer.write(directory_of(planned), planned, warnings));
  return {};
}

/// The core of a v2 group, controllers or not.
class UnifiedCore {
 public:
  explicit UnifiedCore(std::string directory) : directory_(std::move(directory)) {}
  const std::string& directory() const { return directory_; }
  /// Whether this kernel has cgroup.freeze (5.2) here.
  bool can_freeze() const { return exists(directory_ + "/cgroup.freeze"); }
  Result<void> freeze(std::chrono::milliseconds timeout);
  Result<void> thaw();
  Result<FreezeState> freeze_state() const;
  /// cgroup.kill (5.14); NotFound on older kernels.
  Result<void> kill();
  /// Waits until no process is left in the group or below.
  Result<void> wait_empty(std::chrono::milliseconds timeout) const;

 private:
  /// Waits on cgroup.events until `key` has `value`.
  Result<void> wait_event(std::string_view key, std::string_view value,
                          std::chrono::milliseconds timeout) const;
  std::string directory_;
};

/// Kills every process found, again and again until none is left or new (forks in between), 100 rounds at
/// most. For kernels without cgroup.kill; the caller freezes before and thaws after.
Result<void> kill_each(const std::string& directory);

}  // namespace berth::sys::cgroup_files
