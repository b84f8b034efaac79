// Scopes around containers.
#include "apps/runtime/scope.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "apps/runtime/resources.h"
#include "apps/runtime/scope_properties.h"
#include "base/format.h"
#include "launch/failpoint.h"
#include "sys/file.h"
#include "sys/sub_ids.h"
#include "sys/systemd.h"

namespace berth::runtime {
namespace {

constexpr size_t kMaxProcFile = 4u << 20;

/// The process's path in the unified hierarchy, as this process's namespace sees it.
Result<std::string> unified_path_of(pid_t pid) {
  std::string file = fmt::format("/proc/{}/cgroup", pid);
  TRY(std::string text, sys::read_file(file, kMaxProcFile));
  size_t line = text.starts_with("0::") ? 0 : text.find("\n0::");
  if (line == std::string::npos) return failure(Kind::Unsupported, "{} names no group of cgroup v2", file);
  std::string path = text.substr(text.find("0::", line) + 3);
  return path.substr(0, path.find('\n'));
}

Result<sys::Systemd> connect_systemd() {
  auto systemd = sys::Systemd::connect();
  if (!systemd && systemd.error().kind() == Kind::Unavailable)
    return failure(Kind::Unavailable, "--systemd-cgroup: {}: let the caller use the cgroupfs driver",
                   systemd.error().message());
  return systemd;
}

/// The directory of the closest group that both are in or below.
Result<std::string> common_group(std::string_view one, std::string_view other) {
  TRY(std::string mounts, sys::read_file("/proc/self/mountinfo", kMaxProcFile));
  TRY(auto host,
      sys::CgroupHost::detect_in(mounts, fmt::format("0::{}\n", other.substr(0, other.rfind('/'))), {}));
  if (host.version() != sys::CgroupVersion::V2) return Error(Kind::Forbidden, "no group can be written to");
  size_t shared = 0;
  for (size_t i = 0; i <= one.size() && i <= other.size(); ++i) {
    bool end_of_one = i == one.size() || one[i] == '/', end_of_other = i == other.size() || other[i] == '/';
    if (end_of_one && end_of_other) shared = i;
    if (i == one.size() || i == other.size() || one[i] != other[i]) break;
  }
  return host.hierarchies().front().mount + std::string(one.substr(0, shared));
}

Result<void> come_near(sys::Systemd& systemd, const std::string& group, const std::string& slice) {
  if (!systemd.is_users()) return {};
  TRY(std::string own, unified_path_of(::getpid()));
  TRY(std::string common, common_group(own, group));
  if (::access((common + "/cgroup.procs").c_str(), W_OK) == 0) return {};
  return systemd.start_scope({.slice = slice, .unit = fmt::format("berth-runtime-{}.scope", ::getpid())},
                             ::getpid(), {{"Description", std::string("berth-runtime")}});
}

Result<void> check_host() {
  TRY(const auto* host, group_host());
  if (host->version() == sys::CgroupVersion::V1 || host->version() == sys::CgroupVersion::Hybrid)
    return Error(
        Kind::Unsupported,
        "--systemd-cgroup: this host has control groups v1, where berth-runtime makes groups by cgroupfs "
        "alone: let the caller use that driver");
  return {};
}

}  // namespace

Result<StandIn> StandIn::make() {
  pid_t parent = ::getpid();
  pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno("fork", {}, errno);
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (::getppid() == parent) ::pause();
    ::_exit(0);
  }
  return StandIn(pid);
}

StandIn::~StandIn() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<std::unique_ptr<sys::Cgroup>> make_scope(const Settings& settings, Container& container,
                                                const spec::RuntimeSpec& spec,
                                                const sys::CgroupLimits& limits, StandIn& stand_in) {
  CHECK(check_host());
  TRY(sys::ScopeName name, scope_name(spec.cgroups_path, container.record().id));
  std::vector<sys::DbusProperty> properties{
      {"Description", fmt::format("container {}", container.record().id)}};
  TRY(auto limiting, limit_properties(limits));
  TRY(auto annotated, annotation_properties(spec.annotations));
  properties.insert(properties.end(), limiting.begin(), limiting.end());
  properties.insert(properties.end(), annotated.begin(), annotated.end());
  TRY(auto systemd, connect_systemd());
  TRY(stand_in, StandIn::make());
  CHECK(systemd.start_scope(name, stand_in.pid(), std::move(properties)));
  // Known from here on: whoever finds a half-made container can end the scope.
  container.record().scope = name.unit;
  TRY(container.record().cgroup, unified_path_of(stand_in.pid()));
  CHECK(container.save());
  CHECK(launch::failpoint("create.scope"));
  if (!container.record().cgroup.ends_with("/" + name.unit))
    return failure(Kind::Internal, "systemd put a process for scope {} into {}", name.unit,
                   container.record().cgroup);
  CHECK(come_near(systemd, container.record().cgroup, name.slice));
  TRY(auto group, open_scope_group(container.record().cgroup));
  if (!group)
    return failure(Kind::NotFound, "the group of scope {} is not there: {}", name.unit,
                   container.record().cgroup);
  TRY(auto warnings, group->apply(limits));
  for (const auto& warning : warnings) settings.complaints.warn(warning);
  return group;
}

Result<std::unique_ptr<sys::Cgroup>> open_scope_group(const std::string& path) {
  TRY(std::string mounts, sys::read_file("/proc/self/mountinfo", kMaxProcFile));
  // An ordinary user's groups lie below his manager's, and not below the session's that this process is in.
  std::string parent = path.substr(0, path.rfind('/'));
  TRY(auto host, sys::CgroupHost::detect_in(mounts, fmt::format("0::{}\n", parent), {}));
  if (host.version() != sys::CgroupVersion::V2)
    return failure(Kind::Forbidden, "the group {} cannot be written to", parent);
  const std::string& base = host.hierarchies().front().base;
  auto group = sys::Cgroup::open(host, std::string_view(path).substr(base.size()));
  if (!group && group.error().kind() == Kind::NotFound) return std::unique_ptr<sys::Cgroup>();
  return group;
}

Result<void> come_near_scope(const Record& record) {
  if (record.scope.empty()) return {};
  if (::geteuid() == 0 && sys::in_initial_user_namespace()) return {};
  TRY(auto systemd, connect_systemd());
  return come_near(systemd, record.cgroup, {});
}

Result<void> change_scope(const Record& record, const sys::CgroupLimits& limits) {
  if (record.scope.empty()) return {};
  TRY(auto properties, limit_properties(limits));
  TRY(auto systemd, connect_systemd());
  return systemd.set_properties(record.scope, properties);
}

Result<void> end_scope(const Record& record) {
  if (record.scope.empty()) return {};
  TRY(auto systemd, connect_systemd());
  return systemd.stop_scope(record.scope);
}

}  // namespace berth::runtime
