// Joining a container's user namespace.
#include "apps/runtime/other_users.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/format.h"

namespace berth::runtime {
namespace {

/// The process is held by its descriptor, by which it is joined: were the number another's by now, that
/// would fail.
Result<bool> lives_elsewhere(pid_t pid, const char* type) {
  struct stat own {
  }, theirs{};
  std::string ours = fmt::format("/proc/self/ns/{}", type), path = fmt::format("/proc/{}/ns/{}", pid, type);
  if (::stat(ours.c_str(), &own) != 0) {
    if (errno == ENOENT) return false;  // a kernel without this type
    return Error::from_errno("look at", ours, errno);
  }
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
  // What criu has restored has its clocks in a time namespace, whether or not the configuration has one.
  bool has_time =
      std::ranges::any_of(joined, [](const auto& each) { return each.type == spec::NamespaceType::Time; });
  if (!has_time) {
    TRY(bool other_clocks, lives_elsewhere(pid, "time"));
    if (other_clocks) joined.push_back({spec::NamespaceType::Time, {}});
  }
  TRY(bool elsewhere, lives_elsewhere(pid, "user"));
  if (!elsewhere) return joined;
  if (::geteuid() != 0)
    CHECK(enter(init));
  else
    joined.push_back({spec::NamespaceType::User, {}});
  return joined;
}

}  // namespace berth::runtime
