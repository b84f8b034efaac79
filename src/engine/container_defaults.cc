#include "engine/container_defaults.h"

#include <algorithm>

#include "base/format.h"
#include "sys/ip_address.h"

namespace berth::engine {
namespace {

Result<void> check_mode(std::string_view what, std::string_view mode, std::string_view other) {
  if (mode.empty() || mode == "private" || mode == other) return {};
  return failure(Kind::InvalidArgument, "invalid {} \"{}\": expected private or {}", what, mode, other);
}

/// Of any value: "no-new-privileges", "seccomp=...", with docker's old separator too.
bool has_option(const spec::HostConfig& host, std::string_view name) {
  return std::any_of(host.security_opt.begin(), host.security_opt.end(), [&](std::string_view option) {
    return option.starts_with(name) &&
           (option.size() == name.size() || option[name.size()] == '=' || option[name.size()] == ':');
  });
}

void fill(spec::StringList& list, const spec::StringList& otherwise) {
  if (list.empty()) list = otherwise;
}

}  // namespace

Result<void> check_defaults(const ContainerDefaults& defaults) {
  for (const std::string& address : defaults.dns) {
    if (!sys::IpAddress::parse(address))
      return failure(Kind::InvalidArgument, "invalid address of a name server \"{}\"", address);
  }
  CHECK(check_mode("cgroup namespace mode", defaults.cgroupns_mode, "host"));
  CHECK(check_mode("IPC mode", defaults.ipc_mode, "shareable"));
  if (defaults.shm_size < 0) return Error(Kind::InvalidArgument, "the size of /dev/shm is negative");
  return {};
}

void apply_defaults(const ContainerDefaults& defaults, spec::HostConfig& host) {
  // Who shares another's network has its files as well.
  if (!host.network_mode.starts_with("container:")) {
    fill(host.dns, defaults.dns);
    fill(host.dns_search, defaults.dns_search);
    fill(host.dns_options, defaults.dns_options);
  }
  if (host.cgroupns_mode.empty()) host.cgroupns_mode = defaults.cgroupns_mode;
  if (host.ipc_mode.empty()) host.ipc_mode = defaults.ipc_mode;
  if (host.shm_size == 0) host.shm_size = defaults.shm_size;
  if (defaults.init && !host.init) host.init = true;
  if (defaults.no_new_privileges && !has_option(host, "no-new-privileges"))
    host.security_opt.emplace_back("no-new-privileges");
  if (!defaults.seccomp.empty() && !host.privileged && !has_option(host, "seccomp"))
    host.security_opt.push_back("seccomp=" + defaults.seccomp);
}

}  // namespace berth::engine
