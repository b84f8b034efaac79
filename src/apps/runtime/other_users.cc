// Joining a container's user namespace.
#include "apps/runtime/other_users.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/format.h"

namespace berth::runtime {
namespace {

/// The process is held by its descriptor, by which it is joined: were the number another's by now, that
/// would fail.
Result<bool> lives_elsewhere(pid_t pid) {
  struct stat own {
  }, theirs{};
  constexpr char kOwn[] = "/proc/self/ns/user";
  std::string path = fmt::format("/proc/{}/ns/user", pid);
  if (::stat(kOwn, &own) != 0) return Error::from_errno("look at", kOwn, errno);
  if (::stat(path.c_str(), &theirs) != 0) return Error::from_errno("look at", path, errno);
  return own.st_ino != theirs.st_ino || own.st_dev != theirs.st_dev;
}

Result<void> enter(int init) {
  if (::setns(init, CLONE_NEWUSER) == 0) return {};
  if (errno == EPERM)
    return Error(Kind::Forbidden, "the container is in a user namespace that is not this user's");
  return Error::from_errno("join the container's user namespace", {}, errno);
}

}  // namespace

Result<std::vector<spec::Namespace>> namespaces_to_join(const std::vector<spec::Namespace>& configured,
                                                        pid_t pid, int init) {
  std::vector<spec::Namespace> joined = configured;
  std::erase_if(joined, [](const auto& each) { return each.type == spec::NamespaceType::User; });
  TRY(bool elsewhere, lives_elsewhere(pid));
  if (!elsewhere) return joined;
  if (::geteuid() != 0)
    CHECK(enter(init));
  else
    joined.push_back({spec::NamespaceType::User, {}});
  return joined;
}

}  // namespace berth::runtime
