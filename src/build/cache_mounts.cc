// Cache directories and who uses them.
#include "build/cache_mounts.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/format.h"
#include "base/sha256.h"
#include "sys/file.h"

namespace berth::build {

CacheMounts::State& CacheMounts::state(const std::string& id) {
  auto& state = states_[id];
  if (!state) state = std::make_unique<State>();
  return *state;
}

bool CacheMounts::in_use(const std::string& id) const {
  const auto found = states_.find(id);
  return found != states_.end() && found->second->users.use_count() > 1;
}

Result<CacheMountUse> CacheMounts::open(const std::string& id, const spec::RunMount& mount) {
  CHECK(sys::make_dirs(root_, 0700));
  CacheMountUse use;
  use.path_ = root_ + "/" + id;
  if (::mkdir(use.path_.c_str(), 0700) == 0) {
    use.is_new_ = true;
    if (::chown(use.path_.c_str(), mount.uid.value_or(0), mount.gid.value_or(0)) < 0)
      return Error::from_errno("chown", use.path_, errno);
    if (::chmod(use.path_.c_str(), mount.mode.value_or(0755) & 07777) < 0)
      return Error::from_errno("chmod", use.path_, errno);
  } else if (errno != EEXIST) {
    return Error::from_errno("mkdir", use.path_, errno);
  }
  use.user_ = state(id).users;
  CHECK(cache_.use_mount(id, "cache mount " + mount.id));
  return use;
}

io::Task<Result<CacheMountUse>> CacheMounts::acquire(spec::RunMount mount) {
  std::string id = sha256("cache mount\n" + mount.id).hex();
  if (mount.sharing == spec::CacheSharing::Private) {
    const std::string first = id;
    for (int n = 1; in_use(id); ++n) id = sha256(fmt::format("{}\n{}", first, n)).hex();
  }
  if (mount.sharing != spec::CacheSharing::Locked) co_return open(id, mount);
  auto lock = co_await state(id).lock.lock();
  auto use = open(id, mount);
  if (use) use->lock_ = std::move(lock);
  co_return use;
}

uint64_t CacheMounts::disk_usage(const std::string& id) const {
  auto usage = sys::disk_usage(root_ + "/" + id);
  return usage ? usage->allocated_bytes : 0;
}

Result<void> CacheMounts::remove(const std::string& id) {
  if (in_use(id)) return failure(Kind::WrongState, "cache mount {} is in use", id);
  CHECK(sys::remove_tree(root_ + "/" + id));
  states_.erase(id);
  return cache_.remove_mount(id);
}

}  // namespace berth::build
