// Users of tmpfs volumes, by the place where they are mounted.
#include "engine/memory_volumes.h"

#include <sys/stat.h>

#include <map>
#include <mutex>
#include <set>

#include "base/format.h"
#include "launch/mount_options.h"
#include "sys/file.h"
#include "sys/shared_memory.h"

namespace berth::engine {
namespace {

std::mutex mutex;
std::map<std::string, std::set<std::string>>& users() {
  static std::map<std::string, std::set<std::string>> table;
  return table;
}

std::string place_of(const std::string& exec_root, const MountPoint& mount) {
  return fmt::format("{}/volumes/{}", exec_root, mount.name);
}

Result<void> share(const std::string& exec_root, const std::string& container_id, MountPoint& mount) {
  TRY(auto options, launch::parse_mount_options(mount.tmpfs_options));
  std::string place = place_of(exec_root, mount);
  CHECK(sys::make_dirs(exec_root + "/volumes", 0700));
  CHECK(sys::mount_memory(place, options.set, fmt::format("{}", fmt::join(options.parameters, ","))));
  users()[place].insert(container_id);
  mount.source = place;
  mount.filesystem.clear();
  mount.tmpfs_options.clear();
  return {};
}

}  // namespace

Result<void> share_memory_volumes(const std::string& exec_root, const std::string& container_id,
                                  std::vector<MountPoint>& mounts) {
  for (MountPoint& mount : mounts) {
    if (mount.type != spec::MountType::Volume || mount.filesystem != "tmpfs") continue;
    std::lock_guard lock(mutex);
    if (auto shared = share(exec_root, container_id, mount); !shared)
      return std::move(shared).error().in(fmt::format("error while mounting volume '{}'", mount.name));
  }
  return {};
}

void adopt_memory_volumes(const std::string& exec_root, const std::string& container_id,
                          const std::vector<MountPoint>& mounts) {
  for (const MountPoint& mount : mounts) {
    if (mount.type != spec::MountType::Volume) continue;
    std::string place = place_of(exec_root, mount);
    struct stat status {};
    if (::stat(place.c_str(), &status) != 0) continue;
    std::lock_guard lock(mutex);
    users()[place].insert(container_id);
  }
}

Result<void> release_memory_volumes(const std::string& container_id) {
  std::lock_guard lock(mutex);
  for (auto entry = users().begin(); entry != users().end();) {
    auto& [place, ids] = *entry;
    if (ids.erase(container_id) == 0 || !ids.empty()) {
      ++entry;
      continue;
    }
    CHECK(sys::unmount_shared_memory(place));
    CHECK(sys::remove_tree(place));
    entry = users().erase(entry);
  }
  return {};
}

}  // namespace berth::engine
