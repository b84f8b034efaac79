// Planning the sandbox of a RUN.
#include "build/step_plan.h"

#include <algorithm>
#include <array>

#include "base/format.h"
#include "launch/apparmor.h"
#include "launch/defaults.h"
#include "sys/sub_ids.h"

namespace berth::build {
namespace {

/// As the snapshotter's: marks in user.* go with redirects that are not followed.
std::vector<std::string> overlay_options() {
  if (sys::in_initial_user_namespace()) return {"index=off", "metacopy=off", "redirect_dir=off"};
  return {"index=off", "metacopy=off", "redirect_dir=nofollow", "userxattr"};
}

constexpr std::array host_files = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"};

spec::Mount bind_host(const std::string& source, const std::string& target, bool readonly) {
  spec::Mount mount{
      .destination = target, .type = "bind", .source = source, .options = {"rbind", "rprivate"}};
  if (readonly) mount.options.push_back("ro");
  return mount;
}

spec::Mount overlay(const OverlayMount& source, const std::string& target, bool readonly) {
  spec::Mount mount{
      .destination = target, .type = "overlay", .source = "overlay", .options = overlay_options()};
  for (const auto& lower : source.lowers) mount.options.push_back("lowerdir+=" + lower);
  if (!source.upper.empty()) {
    mount.options.push_back("upperdir=" + source.upper);
    mount.options.push_back("workdir=" + source.work);
  }
  if (readonly) mount.options.push_back("ro");
  return mount;
}

spec::Mount tmpfs(const TmpfsMount& source, const std::string& target) {
  spec::Mount mount{
      .destination = target, .type = "tmpfs", .source = "tmpfs", .options = {"nosuid", "nodev", "mode=1777"}};
  if (source.size > 0) mount.options.push_back(fmt::format("size={}", source.size));
  return mount;
}

std::vector<spec::Mount> step_mounts(const StepRequest& request, const StepFiles& files) {
  std::vector<spec::Mount> mounts;
  size_t next_file = 0;
  for (const auto& mount : request.mounts) {
    if (const auto* path = std::get_if<HostMount>(&mount.source))
      mounts.push_back(bind_host(path->path, mount.target, mount.readonly));
    if (const auto* size = std::get_if<TmpfsMount>(&mount.source))
      mounts.push_back(tmpfs(*size, mount.target));
    if (const auto* layers = std::get_if<OverlayMount>(&mount.source))
      mounts.push_back(overlay(*layers, mount.target, mount.readonly));
    if (std::holds_alternative<FileMount>(mount.source) || std::holds_alternative<AgentMount>(mount.source))
      mounts.push_back(bind_host(files.files.at(next_file++), mount.target, mount.readonly));
  }
  return mounts;
}

Result<std::vector<spec::Rlimit>> rlimits_of(const std::vector<spec::Ulimit>& ulimits) {
  std::vector<spec::Rlimit> limits;
  for (const auto& ulimit : ulimits) {
    const bool contradictory = ulimit.hard != -1 && (ulimit.soft == -1 || ulimit.soft > ulimit.hard);
    if (contradictory) {
      return failure(Kind::InvalidArgument,
                     "ulimit soft limit must be less than or equal to hard limit: {} > {}", ulimit.soft,
                     ulimit.hard);
    }
    std::string type = "RLIMIT_";
    for (const char c : ulimit.name) type.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
    limits.push_back({.type = std::move(type),
                      .hard = static_cast<uint64_t>(ulimit.hard),
                      .soft = static_cast<uint64_t>(ulimit.soft)});
  }
  return limits;
}

void set_shm_size(spec::RuntimeSpec& spec, int64_t size) {
  for (auto& mount : spec.mounts) {
    if (mount.destination != "/dev/shm") continue;
    std::erase_if(mount.options, [](const std::string& option) { return option.starts_with("size="); });
    mount.options.push_back(fmt::format("size={}", size));
  }
}

}  // namespace

std::vector<std::string> default_mount_targets(const launch::HostFacts& host) {
  std::vector<std::string> targets;
  for (const auto& mount : launch::default_container_spec(host).mounts) {
    // Mounts upon mounts leave nothing in the root.
    const bool nested = mount.destination.starts_with("/dev/") || mount.destination.starts_with("/sys/");
    if (!nested) targets.push_back(mount.destination);
  }
  targets.insert(targets.end(), host_files.begin(), host_files.end());
  return targets;
}

Result<launch::LaunchRequest> plan_step(const StepRequest& request, const StepFiles& files,
                                        const launch::HostFacts& host) {
  launch::LaunchRequest launch;
  launch.id = request.id;
  launch.root =
      launch::OverlayRoot{request.root.lower, request.root.upper, request.root.work, request.root.options};
  launch.exec_directory = files.directory;
  launch.exit_path = files.directory + "/exit";
  spec::RuntimeSpec& spec = launch.spec = launch::default_container_spec(host);
  spec.process.args = request.args;
  spec.process.env = request.env;
  spec.process.cwd = request.cwd;
  if (host.apparmor) spec.process.apparmor_profile = launch::default_apparmor_profile();
  spec.process.user.name = request.user.empty() ? "0" : request.user;
  TRY(spec.process.rlimits, rlimits_of(request.resources.ulimits));
  spec.hostname = request.id.substr(0, 12);
  if (request.network == StepNetwork::Host) {
    std::erase_if(spec.namespaces,
                  [](const spec::Namespace& space) { return space.type == spec::NamespaceType::Network; });
  }
  if (request.shm_size > 0) set_shm_size(spec, request.shm_size);
  spec.mounts.push_back(bind_host(files.hosts, "/etc/hosts", false));
  spec.mounts.push_back(bind_host(files.hostname, "/etc/hostname", false));
  spec.mounts.push_back(bind_host(files.resolv_conf, "/etc/resolv.conf", false));
  const auto mounts = step_mounts(request, files);
  spec.mounts.insert(spec.mounts.end(), mounts.begin(), mounts.end());
  return launch;
}

Result<sys::CgroupLimits> step_limits(const spec::ContainerResources& resources,
                                      const std::vector<spec::DeviceRule>& devices) {
  constexpr int64_t smallest_memory = 6 << 20;
  if (resources.memory != 0 && resources.memory < smallest_memory) {
    return Error(Kind::InvalidArgument, "Minimum memory limit allowed is 6MB");
  }
  if (resources.memory > 0 && resources.memory_swap > 0 && resources.memory_swap < resources.memory) {
    return Error(Kind::InvalidArgument,
                 "Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  sys::CgroupLimits limits;
  if (resources.memory != 0) limits.memory = resources.memory;
  if (resources.memory_swap != 0) limits.memory_swap = resources.memory_swap;
  if (resources.cpu_shares > 0) limits.cpu_shares = static_cast<uint64_t>(resources.cpu_shares);
  if (resources.cpu_quota != 0) limits.cpu_quota = resources.cpu_quota;
  if (resources.cpu_period > 0) limits.cpu_period = static_cast<uint64_t>(resources.cpu_period);
  limits.cpuset_cpus = resources.cpuset_cpus;
  limits.cpuset_mems = resources.cpuset_mems;
  for (const auto& rule : devices)
    limits.devices.push_back({rule.allow, rule.type, rule.major, rule.minor, rule.access});
  return limits;
}

}  // namespace berth::build
