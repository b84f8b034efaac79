// The mounts of a plan: the spec's list in its order, and the slots that later steps need to know.
#pragma once

#include "launch/host_facts.h"
#include "launch/launch_request.h"
#include "launch/mount_options.h"
#include "launch/plan_builder.h"

namespace berth::launch {

/// Where other parts of the plan find what the mounts made.
struct MountSlots {
  Slot root = kNoSlot;
  Slot dev = kNoSlot;      ///< our own tmpfs at /dev
  bool dev_bound = false;  ///< /dev is somebody else's: nothing is made in it
  Slot devpts = kNoSlot;
  Slot proc = kNoSlot;
  bool sysfs_given = false;         ///< kSlotSysfs is a mount of the plan
  std::vector<Slot> readonly_last;  ///< filesystems that become read-only when everything is in them
};

class MountPlanner {
 public:
  MountPlanner(PlanBuilder& builder, const LaunchRequest& request, const HostFacts& host)
      : builder_(builder), request_(request), host_(host) {}

  /// Everything up to the complete tree, the root still at its place: sources, root, mounts.
  Result<MountSlots> run();

 private:
  struct Source {
    const spec::Mount* mount;
    Slot slot;
  };
  Result<void> open_sources();
  bool creator_opens() const;
  bool is_mapped(const spec::Mount& mount, const MountOptions& options) const;
  Result<MappedMount> mapped_mount(const spec::Mount& mount, const MountOptions& options) const;
  Result<void> make_root();
  Result<void> make_overlay(const OverlayRoot& root);
  Result<void> add(const spec::Mount& mount);
  Result<void> add_bind(const spec::Mount& mount);
  bool takes_given_sysfs(const spec::Mount& mount, const MountOptions& options) const;
  Result<Slot> make_filesystem(const spec::Mount& mount, MountOptions options);
  Result<void> add_filesystem(const spec::Mount& mount);
  Result<void> add_cgroup(const spec::Mount& mount);
  Result<void> add_cgroup_v1(const spec::Mount& mount, const std::string& destination);
  Result<void> attach(Slot slot, const std::string& destination, TargetRule rule);
  Slot source_slot(const spec::Mount& mount) const;

  PlanBuilder& builder_;
  const LaunchRequest& request_;
  const HostFacts& host_;
  std::vector<Source> sources_;
  MountSlots slots_;
};

/// `path` without ".", "..", doubled slashes, always absolute. Pure text; links are the executor's business.
std::string clean_path(std::string_view path);

}  // namespace berth::launch
