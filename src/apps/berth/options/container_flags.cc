// The table of flags of `run` and `create`, sorted by name.
#include "apps/berth/options/container_flags.h"

#include <array>

#include "apps/berth/options/attachments.h"
#include "apps/berth/options/devices.h"
#include "apps/berth/options/ip_address.h"
#include "apps/berth/options/key_values.h"
#include "apps/berth/options/links.h"
#include "apps/berth/options/mounts.h"
#include "apps/berth/options/secrets.h"

namespace berth::cli::options {
namespace {

using grammar::Flag;
using grammar::Type;
using grammar::Visibility;

constexpr Flag list(const char* name, const char* help, grammar::Check check = nullptr, char letter = 0) {
  return {.letter = letter, .name = name, .type = Type::List, .help = help, .check = check};
}
constexpr Flag text(const char* name, const char* help, const char* fallback = "", char letter = 0) {
  return {.letter = letter, .name = name, .type = Type::String, .help = help, .fallback = fallback};
}
constexpr Flag number(const char* name, const char* help, const char* fallback = "0", char letter = 0) {
  return {.letter = letter, .name = name, .type = Type::Int, .help = help, .fallback = fallback};
}
constexpr Flag flag(const char* name, const char* help, char letter = 0) {
  return {.letter = letter, .name = name, .help = help};
}
constexpr Flag bytes(const char* name, const char* help, char letter = 0) {
  return {.letter = letter, .name = name, .type = Type::Bytes, .help = help};
}
constexpr Flag duration(const char* name, const char* help) {
  return {.name = name, .type = Type::Duration, .help = help};
}
constexpr Flag hidden(const char* name, Type type) {
  return {.name = name, .type = type, .visibility = Visibility::Hidden};
}

constexpr std::array flags{
    list("add-host", "Add a line to /etc/hosts (host:ip, or host:host-gateway)", check_extra_host),
    Flag{.name = "annotation", .type = Type::Map, .help = "Annotation passed on to the runtime (key=value)"},
    list("attach", "Attach to STDIN, STDOUT or STDERR", check_stream, 'a'),
    Flag{.name = "blkio-weight", .type = Type::Uint16, .help = "Block I/O weight, 10 to 1000, or 0 for none"},
    list("blkio-weight-device", "Block I/O weight for a device (path:weight)", check_weight_device),
    list("cap-add", "Add a Linux capability"),
    list("cap-drop", "Drop a Linux capability"),
    text("cgroup-parent", "Parent of the container's cgroup"),
    text("cgroupns", "Cgroup namespace to use (host|private)"),
    text("cidfile", "Write the container's id to this file"),
    hidden("cpu-count", Type::Int),
    hidden("cpu-percent", Type::Int),
    number("cpu-period", "Length of a CPU period in microseconds"),
    number("cpu-quota", "Microseconds of CPU time per period"),
    number("cpu-rt-period", "Length of a real-time period in microseconds"),
    number("cpu-rt-runtime", "Microseconds of real-time CPU time per period"),
    number("cpu-shares", "CPU shares (relative weight)", "0", 'c'),
    Flag{.name = "cpus", .type = Type::Decimal, .help = "Number of CPUs (1.5)"},
    text("cpuset-cpus", "CPUs to run on (0-3, 0,1)"),
    text("cpuset-mems", "Memory nodes to use (0-3, 0,1)"),
    list("device", "Give the container a device of the host (host[:container[:rwm]])"),
    list("device-cgroup-rule", "Add a rule to the list of allowed devices", check_device_cgroup_rule),
    list("device-read-bps", "Limit reading from a device (path:bytes per second)", check_throttle_bytes),
    list("device-read-iops", "Limit reading from a device (path:operations per second)",
         check_throttle_operations),
    list("device-write-bps", "Limit writing to a device (path:bytes per second)", check_throttle_bytes),
    list("device-write-iops", "Limit writing to a device (path:operations per second)",
         check_throttle_operations),
    hidden("disable-content-trust", Type::Bool),
    list("dns", "Address of a DNS server", check_ip),
    hidden("dns-opt", Type::List),
    list("dns-option", "Option of the resolver"),
    list("dns-search", "Search domain of the resolver", check_dns_search),
    text("domainname", "NIS domain name of the container"),
    text("entrypoint", "Replace the image's ENTRYPOINT"),
    list("env", "Set an environment variable (KEY=value, or KEY to pass on the caller's)", check_environment,
         'e'),
    list("env-file", "Read environment variables from a file"),
    list("expose", "Expose a port or a range of ports"),
    Flag{.name = "gpus",
         .type = Type::Gpus,
         .help = "GPUs for the container (\"all\" for all of them)",
         .check = check_gpus},
    list("group-add", "Add a supplementary group"),
    text("health-cmd", "Command that checks the container's health"),
    duration("health-interval", "Time between two checks (ms|s|m|h)"),
    number("health-retries", "Failures in a row that make the container unhealthy"),
    duration("health-start-interval", "Time between two checks while starting (ms|s|m|h)"),
    duration("health-start-period", "Time to start in which failures do not count (ms|s|m|h)"),
    duration("health-timeout", "Time that one check may take (ms|s|m|h)"),
    flag("help", "Print usage"),
    text("hostname", "Host name of the container", "", 'h'),
    flag("init", "Run an init in the container that forwards signals and reaps processes"),
    flag("interactive", "Keep standard input open", 'i'),
    hidden("io-maxbandwidth", Type::Bytes),
    hidden("io-maxiops", Type::Int),
    text("ip", "IPv4 address (172.30.100.104)"),
    text("ip6", "IPv6 address (2001:db8::33)"),
    text("ipc", "IPC namespace to use (none|private|shareable|host|container:NAME)"),
    hidden("isolation", Type::String),
    hidden("kernel-memory", Type::Bytes),
    list("label", "Label of the container (key=value)", check_label, 'l'),
    list("label-file", "Read labels from a file"),
    list("link", "Link to another container (name[:alias])", check_link),
    list("link-local-ip", "Link-local address of the container"),
    text("log-driver", "Log driver of the container"),
    list("log-opt", "Option for the log driver (key=value)"),
    text("mac-address", "MAC address (92:d0:c6:0a:29:33)"),
    bytes("memory", "Memory limit", 'm'),
    bytes("memory-reservation", "Memory soft limit"),
    Flag{.name = "memory-swap",
         .type = Type::SwapBytes,
         .help = "Limit of memory and swap together; -1 for unlimited swap"},
    number("memory-swappiness", "Inclination to swap (0 to 100)", "-1"),
    Flag{.name = "mount",
         .type = Type::Mount,
         .help = "Attach a filesystem (type=bind,source=...,target=...)",
         .check = check_mount},
    text("name", "Name of the container"),
    hidden("net", Type::Network),
    hidden("net-alias", Type::List),
    Flag{.name = "network", .type = Type::Network, .help = "Network to join", .check = check_attachment},
    list("network-alias", "Further name of the container in the network"),
    flag("no-healthcheck", "Disable the image's HEALTHCHECK"),
    flag("oom-kill-disable", "Disable the OOM killer"),
    number("oom-score-adj", "Inclination of the OOM killer (-1000 to 1000)"),
    text("pid", "PID namespace to use (host|container:NAME)"),
    number("pids-limit", "Limit of processes (-1 for unlimited)"),
    text("platform", "Platform of a multi-platform image (os/arch)"),
    flag("privileged", "Give the container all the host's privileges"),
    list("publish", "Publish a port ([ip:][host:]container[/protocol])", nullptr, 'p'),
    flag("publish-all", "Publish all exposed ports at free ports of the host", 'P'),
    text("pull", "Pull the image before (\"always\", \"missing\", \"never\")", "missing"),
    flag("quiet", "Do not show the progress of pulling", 'q'),
    flag("read-only", "Mount the root filesystem read-only"),
    text("restart",
         "When to start the container again (no|on-failure[:n]|on-unhealthy[:n]|always|unless-stopped)",
         "no"),
    flag("rm", "Remove the container and its anonymous volumes when it exits"),
    text("runtime", "Runtime for the container"),
    text("security", "How far the container is confined (default|hardened)"),
    flag("explain-denials", "Tell which system calls the seccomp filter denies (events, inspect)"),
    list("secret", "File of /run/secrets, kept in memory: id=NAME,src=FILE", check_secret),
    list("security-opt", "Security option"),
    bytes("shm-size", "Size of /dev/shm"),
    text("stop-signal", "Signal that stops the container"),
    number("stop-timeout", "Seconds to wait for the container to stop before killing it"),
    list("storage-opt", "Option for the storage driver"),
    Flag{.name = "sysctl",
         .type = Type::Map,
         .help = "Kernel parameter of the container (key=value)",
         .check = check_sysctl},
    list("tmpfs", "Mount a tmpfs (path[:options])"),
    flag("tty", "Allocate a terminal", 't'),
    Flag{.name = "ulimit",
         .type = Type::Ulimit,
         .help = "Limit of resources (name=soft[:hard])",
         .check = check_ulimit},
    flag("use-api-socket", "Give the container the engine's socket"),
    text("user", "User to run as (name|uid[:group|gid])", "", 'u'),
    text("userns", "User namespace to use (host)"),
    text("uts", "UTS namespace to use (host)"),
    list("volume", "Mount a folder or a volume ([source:]target[:options])", nullptr, 'v'),
    text("volume-driver", "Driver for the container's volumes"),
    list("volumes-from", "Mount the volumes of another container"),
    text("workdir", "Working directory in the container", "", 'w'),
};

}  // namespace

grammar::Flags container_flags() {
  return flags;
}

}  // namespace berth::cli::options
