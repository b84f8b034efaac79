// The implementations behind Cgroup, for cgroup.cc alone. Each is made for a path; make() creates the
// directories (all or none), the constructors only name them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sys/cgroup.h"
#include "sys/cgroup_files.h"

namespace berth::sys {

/// Where a group's processes go when it gets sub-groups with controllers (cgroup v2 knows no group that has
/// both).
inline constexpr char kGroupOfProcesses[] = "/init";

/// Separate hierarchies, with the unified one's core beside them on hybrid hosts.
class CgroupV1 final : public Cgroup {
 public:
  CgroupV1(const CgroupHost& host, std::string path);
  Result<void> make(const CgroupLimits& limits, std::vector<std::string>& warnings);
  bool exists() const;

  std::vector<std::string> procs_files() const override;
  std::vector<std::pair<std::string, std::string>> directories() const override;
  Result<CgroupEntry> entry() const override;
  Result<void> attach(pid_t pid) const override;
  Result<void> freeze(std::chrono::milliseconds timeout) override;
  Result<void> thaw() override;
  Result<FreezeState> freeze_state() const override;
  Result<void> kill_all() override;
  Result<std::vector<pid_t>> pids() const override;
  Result<CgroupStats> stats() const override;
  Result<uint64_t> oom_kills() const override;
  Result<UniqueFd> watch_oom() const override;
  Result<void> remove(std::chrono::milliseconds timeout) override;

 protected:
  Result<void> write_limits(const CgroupLimits& limits, std::vector<std::string>& warnings) override;

 private:
  struct Directory {
    const CgroupHierarchy hierarchy;
    std::string path;
  };
  Result<void> make_directory(const Directory& directory);
  Result<void> make_parents(const Directory& directory);
  /// The directory of a controller; empty when it is not mounted.
  const std::string& directory_of(std::string_view controller) const;
  /// The directory by which processes are listed: the unified one, else the freezer's, pids' or first.
  const std::string& process_directory() const;
  Result<void> freeze_v1(std::chrono::milliseconds timeout);
  Result<void> thaw_v1();

  std::vector<Directory> directories_;
  std::optional<cgroup_files::UnifiedCore> unified_;
  bool fresh_ = false;
};

/// The unified hierarchy.
class CgroupV2 final : public Cgroup {
 public:
  CgroupV2(const CgroupHost& host, std::string path);
  Result<void> make(const CgroupLimits& limits, std::vector<std::string>& warnings);
  bool exists() const;

  std::vector<std::string> procs_files() const override;
  std::vector<std::pair<std::string, std::string>> directories() const override;
  Result<CgroupEntry> entry() const override;
  Result<void> attach(pid_t pid) const override;
  Result<void> freeze(std::chrono::milliseconds timeout) override;
  Result<void> thaw() override;
  Result<FreezeState> freeze_state() const override;
  Result<void> kill_all() override;
  Result<std::vector<pid_t>> pids() const override;
  Result<CgroupStats> stats() const override;
  Result<uint64_t> oom_kills() const override;
  Result<UniqueFd> watch_oom() const override;
  Result<void> remove(std::chrono::milliseconds timeout) override;

  /// Makes the groups above `path` and hands the controllers down to it, moving processes out of a group
  /// that would otherwise have both processes and sub-groups ("no internal processes").
  Result<void> prepare_parents();

 protected:
  Result<void> write_limits(const CgroupLimits& limits, std::vector<std::string>& warnings) override;

 private:
  CgroupHierarchy hierarchy_;
  std::string directory_;
  cgroup_files::UnifiedCore core_;
};

/// A host without groups: nothing is limited, listed, counted or killed; freezing is Unsupported. Who needs a
/// container's processes asks its pid namespace (namespace_members.h), whose init takes all others with it.
class CgroupNone final : public Cgroup {
 public:
  CgroupNone(const CgroupHost& host, std::string path) : Cgroup(std::move(path), host.features()) {}
  std::vector<std::string> procs_files() const override { return {}; }
  std::vector<std::pair<std::string, std::string>> directories() const override { return {}; }
  Result<CgroupEntry> entry() const override { return CgroupEntry{}; }
  Result<void> attach(pid_t) const override { return {}; }
  Result<void> freeze(std::chrono::milliseconds) override { return unsupported("pause"); }
  Result<void> thaw() override { return unsupported("unpause"); }
  Result<FreezeState> freeze_state() const override { return FreezeState::Thawed; }
  Result<void> kill_all() override { return {}; }
  Result<std::vector<pid_t>> pids() const override { return std::vector<pid_t>(); }
  Result<CgroupStats> stats() const override { return CgroupStats{}; }
  Result<uint64_t> oom_kills() const override { return uint64_t{0}; }
  Result<UniqueFd> watch_oom() const override { return UniqueFd(); }
  Result<void> remove(std::chrono::milliseconds) override { return {}; }

 protected:
  Result<void> write_limits(const CgroupLimits&, std::vector<std::string>&) override { return {}; }

 private:
  static Error unsupported(std::string_view what);
};

}  // namespace berth::sys
