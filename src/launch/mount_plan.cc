// Planning mounts.
#include "launch/mount_plan.h"

#include <linux/mount.h>
#include <linux/sched.h>

#include <algorithm>
#include <array>

#include "base/format.h"
#include "launch/mount_options.h"
#include "launch/namespaces.h"
#include "sys/sub_ids.h"

namespace berth::launch {
namespace {

/// Files of /proc that lxcfs and the like may cover, as runc has them.
constexpr std::string_view kCoverableProcFiles[] = {"/proc/cpuinfo",
                                                    "/proc/diskstats",
                                                    "/proc/meminfo",
                                                    "/proc/stat",
                                                    "/proc/swaps",
                                                    "/proc/uptime",
                                                    "/proc/loadavg",
                                                    "/proc/slabinfo",
                                                    "/proc/net/dev",
                                                    "/proc/sys/kernel/ns_last_pid",
                                                    "/proc/sys/crypto/fips_enabled"};

bool is_bind(const spec::Mount& mount, const MountOptions& options) {
  return mount.type == "bind" || options.bind != MountOptions::Bind::No;
}

bool is_cgroup(const spec::Mount& mount) {
  return mount.type == "cgroup" || mount.type == "cgroup2";
}

TargetRule rule_for_bind(const std::string& destination) {
  if (destination == "/proc") return TargetRule::ProcItself;
  if (std::ranges::find(kCoverableProcFiles, destination) != std::end(kCoverableProcFiles))
    return TargetRule::InsideProc;
  return TargetRule::Ordinary;
}

/// Group 5, tty; an ordinary user's engine may have a single id.
bool knows_terminal_group() {
  constexpr uint32_t kTty = 5;
  return sys::in_initial_user_namespace() || sys::mapped_ids("/proc/self/gid_map") > kTty;
}

/// Filesystems whose files have no labels of their own; the kernel's have theirs by its policy.
bool takes_label(const std::string& type) {
  return type == "tmpfs" || type == "devpts";
}

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

std::string clean_path(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    size_t slash = path.find('/');
    std::string_view part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..")
      parts.push_back(part);
    else if (!parts.empty())
      parts.pop_back();
  }
  std::string clean;
  for (auto part : parts) clean.append("/").append(part);
  return clean.empty() ? "/" : clean;
}

Result<MountSlots> MountPlanner::run() {
  CHECK(open_sources());
  builder_.add(step::SetPropagation{MS_REC | MS_SLAVE});
  CHECK(make_root());
  // So far the process has the host's user, who reaches sources in folders that are closed to others; what it
  // mounts from here on is its own.
  if (is_new(request_.spec.namespaces, spec::NamespaceType::User)) builder_.add(step::AwaitMapping{});
  for (const auto& mount : request_.spec.mounts) CHECK(add(mount));
  return slots_;
}

/// Before anything else is changed: a source that is shared keeps its peers on the host only if it is taken
/// while our copy of its mount is still one of them. New filesystems are made in turn with them, for the
/// kernel lists mounts by age, and callers look for the configuration's order; those of a user namespace can
/// be made only when the process is in it.
Result<void> MountPlanner::open_sources() {
  bool own_users = find_namespace(request_.spec.namespaces, spec::NamespaceType::User) != nullptr;
  for (const auto& mount : request_.spec.mounts) {
    TRY(auto options, parse_mount_options(mount.options));
    if (!is_bind(mount, options)) {
      if (!own_users && !is_cgroup(mount)) CHECK(make_filesystem(mount, std::move(options)));
      continue;
    }
    if (!mount.source.starts_with('/'))
      return failure(Kind::InvalidArgument, "bind mount source \"{}\" must be an absolute path",
                     mount.source);
    TRY(Slot slot, builder_.slot());
    TRY(Text source, builder_.text(mount.source));
    auto recursive = static_cast<uint8_t>(options.bind == MountOptions::Bind::Recursive ? 1 : 0);
    if (is_mapped(mount, options)) {
      TRY(auto mapped, mapped_mount(mount, options));
      mapped.slot = slot;
      builder_.add_mapped(std::move(mapped));
      sources_.push_back({&mount, slot});
      continue;
    }
    if (creator_opens())
      builder_.add_mapped({.slot = slot, .source = mount.source, .recursive = recursive != 0});
    else
      builder_.add(step::OpenTree{slot, source, recursive});
    sources_.push_back({&mount, slot});
  }
  return {};
}

/// The root of a user namespace may not see what its creator sees.
bool MountPlanner::creator_opens() const {
  return request_.creator_prepares &&
         find_namespace(request_.spec.namespaces, spec::NamespaceType::User) != nullptr;
}

bool MountPlanner::is_mapped(const spec::Mount& mount, const MountOptions& options) const {
  return options.id_map != MountOptions::IdMap::No || !mount.uid_mappings.empty() ||
         !mount.gid_mappings.empty();
}

Result<MappedMount> MountPlanner::mapped_mount(const spec::Mount& mount, const MountOptions& options) const {
  const auto& uids = mount.uid_mappings.empty() ? request_.spec.uid_mappings : mount.uid_mappings;
  const auto& gids = mount.gid_mappings.empty() ? request_.spec.gid_mappings : mount.gid_mappings;
  if (uids.empty() || gids.empty())
    return failure(Kind::InvalidArgument, "mount \"{}\": idmapped, but there are no mappings",
                   mount.destination);
  return MappedMount{.source = mount.source,
                     .recursive = options.bind == MountOptions::Bind::Recursive,
                     .maps_recursively = options.id_map == MountOptions::IdMap::Recursive,
                     .uid_map = id_map_text(uids),
                     .gid_map = id_map_text(gids)};
}

Result<void> MountPlanner::make_root() {
  TRY(slots_.root, builder_.slot());
  TRY(Text at, builder_.text("/"));
  if (const auto* directory = std::get_if<DirectoryRoot>(&request_.root)) {
    TRY(Text path, builder_.text(directory->path));
    if (creator_opens())
      builder_.add_mapped({.slot = slots_.root, .source = directory->path, .recursive = true});
    else
      builder_.add(step::OpenTree{slots_.root, path, 1});
    bool slave = request_.spec.rootfs_propagation == "slave" || request_.spec.rootfs_propagation == "rslave";
    builder_.add(step::SetAttributes{.slot = slots_.root,
                                     .propagation = slave ? uint32_t{MS_SLAVE} : uint32_t{MS_PRIVATE},
                                     .recursive = 1});
    if (directory->seen_at_path) at = path;
  } else {
    const auto& overlay = std::get<OverlayRoot>(request_.root);
    CHECK(make_overlay(overlay));
    if (!overlay.seen_at.empty()) {
      TRY(at, builder_.text(overlay.seen_at));
    }
  }
  builder_.add(step::AttachRoot{slots_.root, at});
  return {};
}

Result<void> MountPlanner::make_overlay(const OverlayRoot& root) {
  if (root.lowers.empty()) return Error(Kind::InvalidArgument, "the container's root has no layers");
  if (root.upper.empty() && root.lowers.size() == 1) {
    // overlayfs wants two lower layers or an upper one.
    TRY(Text lower, builder_.text(root.lowers.front()));
    builder_.add(step::OpenTree{slots_.root, lower, 0});
    builder_.add(
        step::SetAttributes{.slot = slots_.root, .set = MOUNT_ATTR_RDONLY, .propagation = MS_PRIVATE});
    return {};
  }
  step::MountOverlay step{.slot = slots_.root};
  TRY(step.lowers, builder_.list(root.lowers));
  TRY(step.upper, builder_.text(root.upper));
  TRY(step.work, builder_.text(root.work));
  TRY(step.options, builder_.list(root.options));
  builder_.add(step);
  return {};
}

Result<void> MountPlanner::add(const spec::Mount& mount) {
  TRY(auto options, parse_mount_options(mount.options));
  if (clean_path(mount.destination) == "/")
    return failure(Kind::InvalidArgument, "invalid specification: destination can't be '/'");
  if (is_bind(mount, options)) return add_bind(mount);
  if (is_cgroup(mount)) return add_cgroup(mount);
  return add_filesystem(mount);
}

Slot MountPlanner::source_slot(const spec::Mount& mount) const {
  for (const auto& source : sources_)
    if (source.mount == &mount) return source.slot;
  return kNoSlot;
}

Result<void> MountPlanner::attach(Slot slot, const std::string& destination, TargetRule rule) {
  TRY(Text target, builder_.text(destination));
  builder_.add(step::Attach{slot, target, static_cast<uint8_t>(rule)});
  return {};
}

Result<void> MountPlanner::add_bind(const spec::Mount& mount) {
  TRY(auto options, parse_mount_options(mount.options));
  Slot slot = source_slot(mount);
  std::string destination = clean_path(mount.destination);
  if (destination == "/dev") slots_.dev_bound = true;
  uint32_t propagation = options.propagation == 0 ? uint32_t{MS_PRIVATE} : options.propagation;
  bool recursive = options.propagation == 0 || options.recursive_propagation;
  builder_.add(step::SetAttributes{
      .slot = slot, .propagation = propagation, .recursive = static_cast<uint8_t>(recursive ? 1 : 0)});
  if (options.set != 0 || options.clear != 0)
    builder_.add(step::SetAttributes{.slot = slot, .set = options.set, .clear = options.clear});
  if (options.recursive_set != 0 || options.recursive_clear != 0)
    builder_.add(step::SetAttributes{
        .slot = slot, .set = options.recursive_set, .clear = options.recursive_clear, .recursive = 1});
  return attach(slot, destination, rule_for_bind(destination));
}

/// Times of access are the one thing that cannot be set without knowing what is set already.
bool MountPlanner::takes_given_sysfs(const spec::Mount& mount, const MountOptions& options) const {
  return request_.sysfs_from_fd && !slots_.sysfs_given && mount.type == "sysfs" &&
         options.parameters.empty() && (options.set & MOUNT_ATTR__ATIME) == 0 &&
         find_namespace(request_.spec.namespaces, spec::NamespaceType::User) == nullptr;
}

/// What has still to be written into becomes read-only later.
Result<Slot> MountPlanner::make_filesystem(const spec::Mount& mount, MountOptions options) {
  if (is_mapped(mount, options))
    return failure(Kind::Unsupported, "mount \"{}\": only bind mounts can be idmapped", mount.destination);
  if (takes_given_sysfs(mount, options)) {
    slots_.sysfs_given = true;
    builder_.add(step::SetAttributes{.slot = kSlotSysfs, .set = options.set});
    sources_.push_back({&mount, kSlotSysfs});
    return kSlotSysfs;
  }
  TRY(Slot slot, builder_.slot());
  if (mount.type == "devpts" && (!maps_id(request_.spec.gid_mappings, 5) || !knows_terminal_group()))
    std::erase(options.parameters, "gid=5");
  const std::string& label = request_.spec.mount_label;
  if (host_.selinux && !label.empty() && takes_label(mount.type))
    options.parameters.push_back("context=" + label);
  step::NewFilesystem step{.slot = slot, .attributes = static_cast<uint32_t>(options.set)};
  TRY(step.type, builder_.text(mount.type));
  TRY(step.source, builder_.text(mount.source));
  TRY(step.parameters, builder_.list(options.parameters));
  if (mount.type == "tmpfs" || options.copy_up) step.attributes &= ~uint32_t{MOUNT_ATTR_RDONLY};
  builder_.add(step);
  sources_.push_back({&mount, slot});
  return slot;
}

Result<void> MountPlanner::add_filesystem(const spec::Mount& mount) {
  TRY(auto options, parse_mount_options(mount.options));
  Slot slot = source_slot(mount);
  if (slot == kNoSlot) {
    TRY(slot, make_filesystem(mount, options));
  }
  std::string destination = clean_path(mount.destination);
  bool is_tmpfs = mount.type == "tmpfs", readonly = (options.set & MOUNT_ATTR_RDONLY) != 0;
  if (options.copy_up) {
    TRY(Text path, builder_.text(destination));
    builder_.add(step::CopyUp{slot, path});
    if (readonly) builder_.add(step::SetAttributes{.slot = slot, .set = MOUNT_ATTR_RDONLY});
  } else if (is_tmpfs && readonly) {
    slots_.readonly_last.push_back(slot);
  }
  bool is_proc = mount.type == "proc", is_sysfs = mount.type == "sysfs";
  CHECK(
      attach(slot, destination, is_proc || is_sysfs ? TargetRule::OrdinaryDirectory : TargetRule::Ordinary));
  auto names_mode = [](const std::string& parameter) { return parameter.starts_with("mode="); };
  if (is_tmpfs && std::ranges::none_of(options.parameters, names_mode))
    std::get<step::Attach>(builder_.last()).inherits_mode = 1;
  if (options.propagation != 0)
    builder_.add(
        step::SetAttributes{.slot = slot,
                            .propagation = options.propagation,
                            .recursive = static_cast<uint8_t>(options.recursive_propagation ? 1 : 0)});
  if (is_proc && destination == "/proc") slots_.proc = slot;
  if (mount.type == "devpts" && destination == "/dev/pts") slots_.devpts = slot;
  if (destination == "/dev") {
    slots_.dev = slot;
    slots_.dev_bound = false;
  }
  return {};
}

Result<void> MountPlanner::add_cgroup(const spec::Mount& mount) {
  std::string destination = clean_path(mount.destination);
  bool v1 = std::ranges::any_of(
      host_.cgroups, [](const auto& each) { return each.version == CgroupHierarchy::Version::V1; });
  if (host_.cgroups.empty()) return {};
  if (v1) return add_cgroup_v1(mount, destination);
  TRY(auto options, parse_mount_options(mount.options));
  TRY(Slot slot, builder_.slot());
  step::NewFilesystem step{.slot = slot, .attributes = static_cast<uint32_t>(options.set)};
  TRY(step.type, builder_.text("cgroup2"));
  TRY(step.source, builder_.text("cgroup"));
  builder_.add(step);
  return attach(slot, destination, TargetRule::Ordinary);
}

/// A tmpfs that holds, per hierarchy, the container's own group (which is what a fresh mount of the hierarchy
/// in its cgroup namespace would show, at a fraction of the cost), and links for hierarchies of several
/// controllers.
Result<void> MountPlanner::add_cgroup_v1(const spec::Mount& mount, const std::string& destination) {
  TRY(auto options, parse_mount_options(mount.options));
  TRY(Slot base, builder_.slot());
  step::NewFilesystem tmpfs{.slot = base,
                            .attributes = static_cast<uint32_t>(options.set & ~uint64_t{MOUNT_ATTR_RDONLY})};
  TRY(tmpfs.type, builder_.text("tmpfs"));
  TRY(tmpfs.source, builder_.text("cgroup"));
  TRY(tmpfs.parameters, builder_.list({"mode=755"}));
  builder_.add(tmpfs);
  CHECK(attach(base, destination, TargetRule::Ordinary));
  for (const auto& hierarchy : host_.cgroups) {
    const CgroupDirectory* own = nullptr;
    for (const auto& directory : request_.cgroups)
      if (directory.path.starts_with(hierarchy.mount_point + "/")) own = &directory;
    if (own == nullptr) continue;
    TRY(Slot slot, builder_.slot());
    TRY(Text source, builder_.text(own->path));
    builder_.add(step::OpenTree{slot, source, 0});
    builder_.add(step::SetAttributes{.slot = slot, .set = options.set, .propagation = MS_PRIVATE});
    std::string name = base_name(hierarchy.mount_point);
    CHECK(attach(slot, destination + "/" + name, TargetRule::Ordinary));
    for (const auto& controller : hierarchy.controllers) {
      if (hierarchy.version != CgroupHierarchy::Version::V1 || controller == name ||
          controller.starts_with("name="))
        continue;
      TRY(Text link, builder_.text(controller));
      TRY(Text target, builder_.text(name));
      builder_.add(step::MakeSymlink{base, link, target});
    }
  }
  if ((options.set & MOUNT_ATTR_RDONLY) != 0)
    builder_.add(step::SetAttributes{.slot = base, .set = MOUNT_ATTR_RDONLY});
  return {};
}

}  // namespace berth::launch
