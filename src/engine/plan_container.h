// From what a user asked for to what the kernel will be asked for: a container's record and the host's facts
// give the OCI runtime specification. Pure but for looking at host device nodes that --device names.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/records.h"
#include "launch/host_facts.h"
#include "launch/launch_request.h"
#include "spec/runtime.h"

namespace berth::engine {

/// Namespaces of other containers that this one joins, as /proc/<pid>/ns/... paths; empty: not asked for.
struct JoinedNamespaces {
  std::string network;
  std::string ipc;
  std::string pid;
};

struct ContainerPlan {
  spec::RuntimeSpec spec;
  launch::InitMode init = launch::InitMode::None;
  bool explains_denials = false;
  std::vector<std::string> warnings;  ///< for the create answer
};

/// What one string of HostConfig.NetworkMode, IpcMode, PidMode means.
struct NamespaceMode {
  enum class Kind { Default, Private, Shareable, None, Host, Container, Named } kind = Kind::Default;
  std::string name = {};  ///< of the container, or of the network
};
/// `what` names the mode in the error: "IPC mode". Named is for networks alone.
Result<NamespaceMode> parse_namespace_mode(std::string_view text, std::string_view what);

/// Security options (`--security-opt`) taken apart. Unknown ones: InvalidArgument as docker words it.
/// How far a container is confined where no other option says: docker's way, or as far as most programs bear.
enum class SecurityProfile { Default, Hardened };

struct SecurityOptions {
  std::optional<bool> no_new_privileges;
  bool unconfined_system_paths = false;
  bool writable_cgroups = false;
  std::optional<std::string> seccomp;  ///< "unconfined", "builtin" or a JSON profile
  std::string apparmor;
  SecurityProfile profile = SecurityProfile::Default;
  bool explain_denials = false;
  std::vector<std::string> labels;
};
Result<SecurityOptions> parse_security_options(const std::vector<std::string>& options);

/// Later settings win; "NAME" without '=' removes (docker's ReplaceOrAppendEnvValues).
void override_environment(std::vector<std::string>& env, const std::vector<std::string>& changes);

/// What a container asks for by device requests is added by the start (device_requests.h).
/// The record must hold the merged configuration, the resolved mounts and the paths of hosts, hostname and
/// resolv.conf (empty ones are not mounted). InvalidArgument names the option that cannot be.
Result<ContainerPlan> plan_container(const ContainerRecord& record, const JoinedNamespaces& joined,
                                     const launch::HostFacts& host);

/// The process of an exec: the container's environment, user and capabilities with the exec's changes.
Result<spec::Process> plan_exec(const ContainerRecord& record, const spec::ExecConfig& exec,
                                const spec::Process& init, const launch::HostFacts& host);

}  // namespace berth::engine
