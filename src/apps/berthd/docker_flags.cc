// dockerd's flags that berth takes for compatibility, and those that it refuses.
#include <algorithm>

#include "apps/berthd/flag.h"

namespace berth::berthd {
namespace {

/// Layers are stacked by overlayfs, whatever the driver is called.
Result<void> only_overlay(Options&, std::string_view value) {
  if (value.empty() || value.starts_with("overlay") || value == "fuse-overlayfs") return {};
  return failure(Kind::Unsupported, "storage driver \"{}\": berth stacks layers with overlayfs (overlay2)",
                 value);
}
Result<void> refuse_storage_option(Options&, std::string_view value) {
  if (value.starts_with("overlay2.override_kernel_check")) return {};
  return failure(
      Kind::Unsupported,
      "storage option \"{}\": berth has none; images' disk use is bounded by --storage-quota, a volume's "
      "by \"volume create -o size=\"",
      value);
}
Result<void> only_false(Options&, std::string_view value) {
  TRY(bool wanted, boolean(value));
  if (!wanted) return {};
  return Error(
      Kind::Unsupported,
      "berth does not label containers for SELinux: leave it out, and confine them by seccomp, AppArmor "
      "or --security hardened");
}
Result<void> only_zero(Options&, std::string_view value) {
  TRY(int64_t wanted, number<int64_t>(value));
  if (wanted == 0) return {};
  return Error(
      Kind::Unsupported,
      "berth gives its parent group no real-time budget: give it one in cpu.rt_runtime_us of the group "
      "of --cgroup-parent, and containers theirs by --cpu-rt-runtime");
}
Result<void> refuse_cors(Options&, std::string_view value) {
  if (value.empty()) return {};
  return Error(
      Kind::Unsupported,
      "dockerd has removed this too: use a reverse proxy that sets CORS headers in front of the API");
}

/// Runtimes of others are not run. Which one a container asks for is checked when it is created; what
/// nvidia's adds is added by berth (engine/device_requests.h).
constexpr std::string_view own_runtimes[] = {"", "runc", "berth", "crun", "io.containerd.runc.v2"};
bool is_own_runtime(std::string_view name) {
  return std::ranges::find(own_runtimes, name) != std::end(own_runtimes);
}
Result<void> note_runtime(Options& options, std::string_view value) {
  std::string_view name = value.substr(0, value.find('='));
  if (name.empty() || value.find('=') == value.npos)
    return failure(Kind::InvalidArgument, "invalid runtime \"{}\": expected NAME=PATH", value);
  if (is_own_runtime(name) || name == "nvidia") return {};
  options.notices.push_back(fmt::format(
      "runtime \"{}\" is not used: berth runs containers itself, and devices of vendors come by CDI (--gpus, "
      "--device vendor.com/class=name)",
      name));
  return {};
}
Result<void> check_default_runtime(Options&, std::string_view value) {
  if (is_own_runtime(value)) return {};
  return failure(
      Kind::Unsupported,
      "default runtime \"{}\": berth runs containers itself (\"runc\"); devices of vendors come by CDI "
      "(--gpus, --device vendor.com/class=name)",
      value);
}
Result<void> note_init_path(Options& options, std::string_view value) {
  if (!value.empty())
    options.notices.push_back(fmt::format("init-path \"{}\" is not used: --init is berth's own", value));
  return {};
}

constexpr Flag flags[] = {
    {"add-runtime", 0, "name=path", "", note_runtime},
    {"allow-nondistributable-artifacts", 0, "list", "", ignore},
    {"api-cors-header", 0, "string", "", refuse_cors},
    {"containerd", 0, "string", "", ignore},
    {"containerd-namespace", 0, "string", "", ignore},
    {"containerd-plugin-namespace", 0, "string", "", ignore},
    {"containerd-plugins-namespace", 0, "string", "", ignore},
    {"cpu-rt-period", 0, "int", "", only_zero},
    {"cpu-rt-runtime", 0, "int", "", only_zero},
    {"cri-containerd", 0, "", "", ignore},
    {"default-runtime", 0, "string", "", check_default_runtime},
    {"exec-opt", 0, "option", "", ignore},
    {"experimental", 0, "", "", ignore},
    {"init-path", 0, "string", "", note_init_path},
    {"node-generic-resource", 0, "list", "", ignore},  // of a swarm's nodes, as the next four
    {"raw-logs", 0, "", "", ignore},
    {"restart", 'r', "", "", ignore},
    {"rootless", 0, "", "", ignore},
    {"selinux-enabled", 0, "", "", only_false},
    {"storage-driver", 's', "string", "", only_overlay},
    {"storage-opt", 0, "option", "", refuse_storage_option},
    {"swarm-default-advertise-addr", 0, "string", "", ignore},
    {"swarm-raft-election-tick", 0, "int", "", ignore},
    {"swarm-raft-heartbeat-tick", 0, "int", "", ignore},
};

}  // namespace

std::span<const Flag> docker_flags() {
  return flags;
}

}  // namespace berth::berthd
