// Asking systemd, and doing without it.
#include "apps/berthd/rootless/own_scope.h"

#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdint>

#include "base/format.h"
#include "base/sha256.h"
#include "sys/cgroup.h"
#include "sys/cgroup_versions.h"
#include "sys/file.h"
#include "sys/systemd.h"
#include "sys/user_directories.h"

namespace berth::berthd::rootless {
namespace {

constexpr char kHierarchies[] = "/sys/fs/cgroup";

bool unified_alone() {
  struct statfs about {};
  return ::statfs(kHierarchies, &about) == 0 && about.f_type == CGROUP2_SUPER_MAGIC;
}

bool has_groups() {
  auto host = sys::CgroupHost::detect();
  return host && host->version() != sys::CgroupVersion::None;
}

bool is_in(const std::string& unit) {
  constexpr size_t kMaxFile = 64u << 10;
  auto group = sys::read_file("/proc/self/cgroup", kMaxFile);
  if (!group) return false;
  return group->ends_with(fmt::format("/{}\n", unit)) ||
         group->ends_with(fmt::format("/{}{}\n", unit, sys::kGroupOfProcesses));
}

Result<void> make_or_join(const std::string& unit) {
  TRY(auto systemd, sys::Systemd::connect());
  auto made =
      systemd.start_scope({.slice = {}, .unit = unit}, ::getpid(),
                          {{"Description", std::string("containers of berth")}, {"TasksMax", UINT64_MAX}});
  if (made || made.error().kind() != Kind::AlreadyExists) return made;
  if (systemd.join_scope(unit, sys::kGroupOfProcesses, ::getpid())) return {};
  // No container has run in it yet.
  return systemd.join_scope(unit, {}, ::getpid());
}

}  // namespace

std::string scope_of(const std::string& exec_root) {
  auto usual = sys::user_runtime_directory(::getuid());
  if (usual && exec_root == *usual) return "berth.scope";
  return fmt::format("berth-{}.scope", sha256(exec_root).hex().substr(0, 12));
}

std::string move_to_own_scope(const std::string& exec_root) {
  if (!unified_alone()) return {};
  std::string unit = scope_of(exec_root);
  if (is_in(unit)) return {};
  auto moved = make_or_join(unit);
  // A part that somebody has delegated to us does as well.
  if (moved || has_groups()) return {};
  return fmt::format(
      "containers have no limits, statistics of their own or pause: {}: log in so that a systemd of your own "
      "runs (\"systemctl "
      "--user status\"), or start berthd in a delegated group",
      moved.error().message());
}

}  // namespace berth::berthd::rootless
