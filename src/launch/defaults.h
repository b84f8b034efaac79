// The default sandbox: docker's capability set, paths, mounts, devices and seccomp profile, and the ways
// `run` flags change them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launch/host_facts.h"
#include "spec/runtime.h"

namespace berth::launch {

/// What a container gets when no flag says otherwise: 14 capabilities (inheritable empty), new mount, pid,
/// network, ipc, uts and cgroup namespaces, /proc, /dev, /dev/pts, /dev/shm (64 MiB), /dev/mqueue, /sys and
/// /sys/fs/cgroup read-only, masked and read-only paths, device rules, default seccomp profile. args empty,
/// cwd "/", no PATH in env, oom_score_adj 0.
spec::RuntimeSpec default_container_spec(const HostFacts& host);

/// The 14 names docker grants by default, "CAP_CHOWN", ...
const std::vector<std::string>& default_capabilities();
/// Every capability that this host's kernel and berth's own bounding set have.
std::vector<std::string> all_capabilities(const HostFacts& host);
/// docker's --cap-add / --cap-drop over the default set (or over all, when privileged): names with or without
/// "CAP_", any case, "ALL". Unknown names: InvalidArgument `unknown capability: "X"`. Sorted by number.
Result<std::vector<std::string>> resolve_capabilities(std::span<const std::string> add,
                                                      std::span<const std::string> drop, bool privileged,
                                                      const HostFacts& host);
/// The first of the names that resolve_capabilities() would not know, in full: "CAP_NOPE".
std::optional<std::string> unknown_capability(std::span<const std::string> names);
/// Sets bounding, effective and permitted; inheritable and ambient stay empty (CVE-2022-24769).
void set_capabilities(spec::Process& process, const std::vector<std::string>& capabilities);

/// --privileged: all capabilities, no masked or read-only paths, /sys and cgroups writable, no seccomp
/// filter, every device allowed. The caller adds the host's device nodes (host_devices()).
void make_privileged(spec::RuntimeSpec& spec, const HostFacts& host);
/// All device nodes below the host's /dev, as --privileged containers see them (not pts, shm, mqueue,
/// console).
Result<std::vector<spec::Device>> host_devices();
/// One device or a directory of devices, as --device gives them: host path, path inside, access for the rule.
Result<std::vector<spec::Device>> devices_from_host(const std::string& host_path, const std::string& path);
/// The device cgroup rules of default_container_spec().
std::vector<spec::DeviceRule> default_device_rules();

/// The default filter for a process with these capabilities (SYS_ADMIN, SYS_PTRACE, ... open further calls).
spec::Seccomp default_seccomp(std::span<const std::string> capabilities, const HostFacts& host);
/// The filter of hardened containers: of the default, what makes namespaces, looks into other processes or is
/// seldom used and often broken is denied as well; sockets are unix, inet, inet6 and netlink; the machine's
/// own calling convention alone.
spec::Seccomp hardened_seccomp(std::span<const std::string> capabilities, const HostFacts& host);
/// A profile in docker's JSON form (archMap, includes/excludes by caps, arches and minKernel) or in plain OCI
/// form, resolved for these capabilities and this host. InvalidArgument names what is wrong.
Result<spec::Seccomp> parse_seccomp_profile(std::string_view json, std::span<const std::string> capabilities,
                                            const HostFacts& host);

}  // namespace berth::launch
