// From flags to the body of POST /containers/create.
#include "apps/berth/options/container_config.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "apps/berth/options/attachments.h"
#include "apps/berth/options/devices.h"
#include "apps/berth/options/ip_address.h"
#include "apps/berth/options/key_values.h"
#include "apps/berth/options/mounts.h"
#include "apps/berth/options/ports.h"
#include "apps/berth/options/security.h"
#include "base/json.h"
#include "spec/cdi.h"

namespace berth::cli::options {
namespace {

using grammar::Invocation;

Error bad(std::string message) {
  return Error(Kind::InvalidArgument, std::move(message));
}

/// A flag's value by its type, set only when the flag was given.
struct Direct {
  std::string_view flag;
  const char* key;
};

constexpr std::array config_texts{Direct{"hostname", "Hostname"},
                                  Direct{"domainname", "Domainname"},
                                  Direct{"user", "User"},
                                  Direct{"workdir", "WorkingDir"},
                                  Direct{"stop-signal", "StopSignal"},
                                  Direct{"mac-address", "MacAddress"}};
constexpr std::array host_texts{Direct{"cidfile", "ContainerIDFile"},
                                Direct{"ipc", "IpcMode"},
                                Direct{"pid", "PidMode"},
                                Direct{"uts", "UTSMode"},
                                Direct{"userns", "UsernsMode"},
                                Direct{"cgroupns", "CgroupnsMode"},
                                Direct{"cgroup-parent", "CgroupParent"},
                                Direct{"cpuset-cpus", "CpusetCpus"},
                                Direct{"cpuset-mems", "CpusetMems"},
                                Direct{"runtime", "Runtime"},
                                Direct{"isolation", "Isolation"},
                                Direct{"volume-driver", "VolumeDriver"}};
constexpr std::array host_numbers{Direct{"memory", "Memory"},
                                  Direct{"memory-reservation", "MemoryReservation"},
                                  Direct{"memory-swap", "MemorySwap"},
                                  Direct{"kernel-memory", "KernelMemory"},
                                  Direct{"cpus", "NanoCpus"},
                                  Direct{"cpu-shares", "CpuShares"},
                                  Direct{"cpu-period", "CpuPeriod"},
                                  Direct{"cpu-quota", "CpuQuota"},
                                  Direct{"cpu-rt-period", "CpuRealtimePeriod"},
                                  Direct{"cpu-rt-runtime", "CpuRealtimeRuntime"},
                                  Direct{"blkio-weight", "BlkioWeight"},
                                  Direct{"pids-limit", "PidsLimit"},
                                  Direct{"oom-score-adj", "OomScoreAdj"},
                                  Direct{"shm-size", "ShmSize"},
                                  Direct{"cpu-count", "CpuCount"},
                                  Direct{"cpu-percent", "CpuPercent"},
                                  Direct{"io-maxbandwidth", "IOMaximumBandwidth"},
                                  Direct{"io-maxiops", "IOMaximumIOps"},
                                  Direct{"memory-swappiness", "MemorySwappiness"}};
constexpr std::array host_flags{
    Direct{"privileged", "Privileged"},           Direct{"publish-all", "PublishAllPorts"},
    Direct{"read-only", "ReadonlyRootfs"},        Direct{"rm", "AutoRemove"},
    Direct{"oom-kill-disable", "OomKillDisable"}, Direct{"init", "Init"}};
constexpr std::array host_lists{Direct{"cap-add", "CapAdd"},
                                Direct{"cap-drop", "CapDrop"},
                                Direct{"group-add", "GroupAdd"},
                                Direct{"add-host", "ExtraHosts"},
                                Direct{"link", "Links"},
                                Direct{"volumes-from", "VolumesFrom"},
                                Direct{"dns", "Dns"},
                                Direct{"dns-search", "DnsSearch"},
                                Direct{"device-cgroup-rule", "DeviceCgroupRules"}};
constexpr std::array host_maps{Direct{"sysctl", "Sysctls"}, Direct{"annotation", "Annotations"}};

/// Lists whose elements are objects.
struct Parsed {
  std::string_view flag;
  const char* key;
  Result<Json> (*parse)(std::string_view);
};
constexpr std::array host_objects{
    Parsed{"blkio-weight-device", "BlkioWeightDevice", parse_weight_device},
    Parsed{"device-read-bps", "BlkioDeviceReadBps", parse_throttle_bytes},
    Parsed{"device-write-bps", "BlkioDeviceWriteBps", parse_throttle_bytes},
    Parsed{"device-read-iops", "BlkioDeviceReadIOps", parse_throttle_operations},
    Parsed{"device-write-iops", "BlkioDeviceWriteIOps", parse_throttle_operations},
    Parsed{"mount", "Mounts", parse_mount}};

bool valid_namespace(const std::string& mode, bool container, bool private_too) {
  if (mode.empty() || mode == "host") return true;
  if (private_too && mode == "private") return true;
  return container && mode.starts_with("container:") && mode.size() > 10;
}

class Builder {
 public:
  Builder(const Invocation& invocation, const ConfigContext& context)
      : flags_(invocation), context_(context) {}

  Outcome<ContainerConfig> build() {
    CHECK(validate());
    CHECK(config());
    CHECK(host());
    CHECK(storage());
    CHECK(ports());
    CHECK(devices());
    CHECK(health());
    CHECK(networks());
    if (context_.rows > 0 || context_.columns > 0)
      host_["ConsoleSize"] = std::vector{context_.rows, context_.columns};
    config_["HostConfig"] = std::move(host_);
    result_.body = to_json(config_);
    return std::move(result_);
  }

 private:
  Result<void> validate() {
    if (std::string mac = flags_.text("mac-address"); !mac.empty() && !is_mac_address(mac)) {
      return bad(mac + " is not a valid mac address");
    }
    int64_t swappiness = flags_.number("memory-swappiness");
    if (swappiness != -1 && (swappiness < 0 || swappiness > 100)) {
      return bad(fmt::format("invalid value: {}. Valid memory swappiness range is 0-100", swappiness));
    }
    if (!valid_namespace(flags_.text("pid"), true, false)) return bad("--pid: invalid PID mode");
    if (!valid_namespace(flags_.text("uts"), false, false)) return bad("--uts: invalid UTS mode");
    if (std::string mode = flags_.text("userns");
        !valid_namespace(mode, false, false) && !mode.starts_with("keep-id") && !mode.starts_with("auto")) {
      return bad("--userns: invalid USER mode");
    }
    if (!valid_namespace(flags_.text("cgroupns"), false, true)) return bad("--cgroupns: invalid CGROUP mode");
    return {};
  }

  Result<void> config() {
    config_["Image"] = result_.image = flags_.argument(0);
    auto attach = flags_.list("attach");
    auto wants = [&](std::string_view stream) {
      return std::find(attach.begin(), attach.end(), stream) != attach.end();
    };
    bool open_stdin = flags_.on("interactive");
    result_.tty = flags_.on("tty");
    if (!context_.detach) {
      result_.attach_stdin = wants("stdin") || open_stdin;
      result_.attach_stdout = attach.empty() || wants("stdout");
      result_.attach_stderr = attach.empty() || wants("stderr");
    }
    config_["Tty"] = result_.tty;
    config_["OpenStdin"] = open_stdin;
    config_["StdinOnce"] = open_stdin && result_.attach_stdin;
    config_["AttachStdin"] = result_.attach_stdin;
    config_["AttachStdout"] = result_.attach_stdout;
    config_["AttachStderr"] = result_.attach_stderr;
    for (auto [flag, key] : config_texts) {
      if (std::string value = flags_.text(flag); !value.empty()) config_[key] = value;
    }
    const auto& arguments = flags_.arguments();
    if (arguments.size() > 1)
      config_["Cmd"] = std::vector<std::string>(arguments.begin() + 1, arguments.end());
    if (flags_.given("entrypoint")) config_["Entrypoint"] = std::vector{flags_.text("entrypoint")};
    if (flags_.given("stop-timeout")) config_["StopTimeout"] = flags_.number("stop-timeout");
    TRY(auto variables, read_key_values(flags_.list("env-file"), flags_.list("env"), Lookup::Environment));
    std::vector<std::string> environment = context_.proxies;
    environment.insert(environment.end(), variables.begin(), variables.end());
    config_["Env"] = environment;
    TRY(auto labels, read_key_values(flags_.list("label-file"), flags_.list("label"), Lookup::Empty));
    config_["Labels"] = to_map(labels);
    return {};
  }

  Result<void> host() {
    for (auto [flag, key] : host_texts) {
      if (std::string value = flags_.text(flag); !value.empty()) host_[key] = value;
    }
    for (auto [flag, key] : host_numbers) {
      if (flags_.given(flag)) host_[key] = flags_.number(flag);
    }
    for (auto [flag, key] : host_flags) {
      if (flags_.given(flag)) host_[key] = flags_.on(flag);
    }
    for (auto [flag, key] : host_lists) {
      if (flags_.given(flag)) host_[key] = flags_.list(flag);
    }
    for (auto [flag, key] : host_maps) {
      if (flags_.given(flag)) host_[key] = to_map(flags_.list(flag));
    }
    for (const Parsed& parsed : host_objects) {
      for (const std::string& value : flags_.list(parsed.flag)) {
        TRY(Json object, parsed.parse(value));
        host_[parsed.key].push_back(std::move(object));
      }
    }
    auto resolver = flags_.list("dns-option");
    for (std::string& option : flags_.list("dns-opt")) resolver.push_back(std::move(option));
    if (!resolver.empty()) host_["DnsOptions"] = resolver;
    result_.dns = flags_.list("dns");
    result_.auto_remove = flags_.on("rm");
    return policies();
  }

  Result<void> policies() {
    TRY(RestartPolicy restart, parse_restart_policy(flags_.text("restart")));
    if (result_.auto_remove && !restart.name.empty() && restart.name != "no") {
      return bad("conflicting options: cannot specify both --restart and --rm");
    }
    host_["RestartPolicy"] = {{"Name", restart.name}, {"MaximumRetryCount", restart.retries}};
    std::string driver = flags_.text("log-driver");
    auto log_options = flags_.list("log-opt");
    if (driver == "none" && !log_options.empty()) return bad("invalid logging opts for driver none");
    host_["LogConfig"] = {{"Type", driver}, {"Config", to_map(log_options)}};
    TRY(SecurityOptions security, read_security_options(flags_.list("security-opt")));
    std::string profile = flags_.text("security");
    if (!profile.empty() && profile != "default" && profile != "hardened")
      return failure(Kind::InvalidArgument, "invalid --security \"{}\": it is \"default\" or \"hardened\"",
                     profile);
    if (!profile.empty()) security.options.push_back("security=" + profile);
    if (flags_.on("explain-denials")) security.options.push_back("explain-denials=true");
    if (!security.options.empty()) host_["SecurityOpt"] = security.options;
    if (security.unconfined_paths) {
      host_["MaskedPaths"] = Json::array();
      host_["ReadonlyPaths"] = Json::array();
    }
    return {};
  }

  Result<void> storage() {
    TRY(Volumes volumes, parse_volumes(flags_.list("volume")));
    if (!volumes.binds.empty()) host_["Binds"] = volumes.binds;
    for (const std::string& target : volumes.anonymous) config_["Volumes"][target] = Json::object();
    for (const std::string& tmpfs : flags_.list("tmpfs")) {
      size_t colon = tmpfs.find(':');
      host_["Tmpfs"][tmpfs.substr(0, colon)] = colon == std::string::npos ? "" : tmpfs.substr(colon + 1);
    }
    for (const std::string& option : flags_.list("storage-opt")) {
      size_t equals = option.find('=');
      if (equals == std::string::npos) return bad("invalid storage option");
      host_["StorageOpt"][option.substr(0, equals)] = option.substr(equals + 1);
    }
    if (flags_.on("use-api-socket")) {
      if (context_.api_socket.empty()) return bad("--use-api-socket needs an engine on a unix socket");
      host_["Mounts"].push_back({{"Type", "bind"},
                                 {"Source", context_.api_socket},
                                 {"Target", "/var/run/docker.sock"},
                                 {"BindOptions", Json::object()}});
    }
    return {};
  }

  Result<void> ports() {
    TRY(Ports ports, parse_ports(flags_.list("publish"), flags_.list("expose")));
    for (const std::string& port : ports.exposed) config_["ExposedPorts"][port] = Json::object();
    for (const auto& [port, bindings] : ports.bindings) {
      for (const PortBinding& binding : bindings) {
        host_["PortBindings"][port].push_back({{"HostIp", binding.host_ip}, {"HostPort", binding.host_port}});
      }
    }
    return {};
  }

  Result<void> devices() {
    std::vector<std::string> cdi;
    for (const std::string& value : flags_.list("device")) {
      if (spec::is_cdi_name(value)) {
        cdi.push_back(value);
        continue;
      }
      TRY(Json device, parse_device(value));
      host_["Devices"].push_back(std::move(device));
    }
    for (const std::string& value : flags_.list("gpus")) {
      TRY(Json request, parse_gpus(value));
      host_["DeviceRequests"].push_back(std::move(request));
    }
    if (!cdi.empty()) host_["DeviceRequests"].push_back({{"Driver", "cdi"}, {"DeviceIDs", cdi}});
    Json limits = Json::object();  // by name: the last one of a name wins
    for (const std::string& value : flags_.list("ulimit")) {
      TRY(Json limit, parse_ulimit(value));
      std::string name = limit["Name"];
      limits[name] = std::move(limit);
    }
    for (auto& [name, limit] : limits.items()) host_["Ulimits"].push_back(limit);
    return {};
  }

  Result<void> health() {
    constexpr std::array times{Direct{"health-interval", "Interval"}, Direct{"health-timeout", "Timeout"},
                               Direct{"health-start-period", "StartPeriod"},
                               Direct{"health-start-interval", "StartInterval"},
                               Direct{"health-retries", "Retries"}};
    std::string command = flags_.text("health-cmd");
    Json settings = Json::object();
    if (!command.empty()) settings["Test"] = std::vector<std::string>{"CMD-SHELL", command};
    for (auto [flag, key] : times) {
      int64_t value = flags_.number(flag);
      if (value < 0) return bad(fmt::format("--{} cannot be negative", flag));
      if (value != 0) settings[key] = value;
    }
    if (flags_.on("no-healthcheck")) {
      if (!settings.empty()) return bad("--no-healthcheck conflicts with --health-* options");
      settings["Test"] = std::vector<std::string>{"NONE"};
    }
    if (!settings.empty()) config_["Healthcheck"] = settings;
    return {};
  }

  Result<void> networks() {
    auto values = flags_.list("network");
    for (std::string& value : flags_.list("net")) values.push_back(std::move(value));
    std::vector<Attachment> attachments;
    for (const std::string& value : values) {
      TRY(Attachment attachment, parse_attachment(value));
      attachments.push_back(std::move(attachment));
    }
    bool implied = attachments.empty();
    if (implied) attachments.push_back({.network = "default"});
    CHECK(apply_plain_flags(attachments.front()));
    bool user_defined = false;
    bool others = false;
    Json endpoints = Json::object();
    for (const Attachment& attachment : attachments) {
      (is_user_defined(attachment.network) ? user_defined : others) = true;
      TRY(Json endpoint, endpoint_of(attachment));
      if (endpoints.contains(attachment.network)) {
        return bad(fmt::format("network \"{}\" is specified multiple times", attachment.network));
      }
      bool plain = endpoint.empty() && attachments.size() == 1;
      if (!plain) endpoints[attachment.network] = std::move(endpoint);
    }
    if (user_defined && others) {
      return bad("conflicting options: cannot attach both user-defined and non-user-defined network-modes");
    }
    host_["NetworkMode"] = attachments.front().network;
    if (!endpoints.empty()) config_["NetworkingConfig"] = {{"EndpointsConfig", endpoints}};
    return {};
  }

  /// --ip, --network-alias and their like belong to the first network.
  Result<void> apply_plain_flags(Attachment& first) {
    auto aliases = flags_.list("network-alias");
    for (std::string& alias : flags_.list("net-alias")) aliases.push_back(std::move(alias));
    auto conflict = [](std::string_view flag, std::string_view what) {
      return bad(fmt::format("conflicting options: cannot specify both --{} and per-network {}", flag, what));
    };
    if (!aliases.empty() && !first.aliases.empty()) return conflict("network-alias", "alias");
    std::string ip = flags_.text("ip");
    std::string ip6 = flags_.text("ip6");
    std::string mac = flags_.text("mac-address");
    auto local = flags_.list("link-local-ip");
    if (!ip.empty() && !first.ip.empty()) return conflict("ip", "IPv4 address");
    if (!ip6.empty() && !first.ip6.empty()) return conflict("ip6", "IPv6 address");
    if (!mac.empty() && !first.mac.empty()) return conflict("mac-address", "MAC address");
    if (!local.empty() && !first.link_local_ips.empty())
      return conflict("link-local-ip", "link-local IP addresses");
    if (!aliases.empty()) first.aliases = aliases;
    if (!ip.empty()) first.ip = ip;
    if (!ip6.empty()) first.ip6 = ip6;
    if (!mac.empty()) first.mac = mac;
    if (!local.empty()) first.link_local_ips = local;
    if (is_user_defined(first.network)) first.links = flags_.list("link");
    return {};
  }

  static Result<Json> endpoint_of(const Attachment& attachment) {
    if (attachment.network.find_first_not_of(' ') == std::string::npos) return bad("no name set for network");
    if (!is_user_defined(attachment.network) && !attachment.aliases.empty()) {
      return bad("network-scoped aliases are only supported for user-defined networks");
    }
    if (!attachment.mac.empty() && !is_mac_address(attachment.mac)) {
      return bad(attachment.mac + " is not a valid mac address");
    }
    Json endpoint = Json::object();
    if (!attachment.aliases.empty()) endpoint["Aliases"] = attachment.aliases;
    if (!attachment.links.empty()) endpoint["Links"] = attachment.links;
    if (!attachment.driver_options.empty()) endpoint["DriverOpts"] = attachment.driver_options;
    if (!attachment.mac.empty()) endpoint["MacAddress"] = attachment.mac;
    if (attachment.gateway_priority != 0) endpoint["GwPriority"] = attachment.gateway_priority;
    Json ipam = Json::object();
    if (!attachment.ip.empty()) ipam["IPv4Address"] = attachment.ip;
    if (!attachment.ip6.empty()) ipam["IPv6Address"] = attachment.ip6;
    if (!attachment.link_local_ips.empty()) ipam["LinkLocalIPs"] = attachment.link_local_ips;
    if (!ipam.empty()) endpoint["IPAMConfig"] = ipam;
    return endpoint;
  }

  const Invocation& flags_;
  const ConfigContext& context_;
  ContainerConfig result_;
  Json config_ = Json::object();
  Json host_ = Json::object();
};

}  // namespace

Result<RestartPolicy> parse_restart_policy(std::string_view text) {
  RestartPolicy policy;
  size_t colon = text.find(':');
  policy.name = text.substr(0, colon);
  if (colon == std::string_view::npos) return policy;
  if (policy.name.empty()) return bad("invalid restart policy format: no policy provided before colon");
  std::string_view count = text.substr(colon + 1);
  auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), policy.retries);
  if (!count.empty() && (error != std::errc() || end != count.data() + count.size())) {
    return bad("invalid restart policy format: maximum retry count must be an integer");
  }
  return policy;
}

Outcome<ContainerConfig> container_config(const Invocation& invocation, const ConfigContext& context) {
  return Builder(invocation, context).build();
}

}  // namespace berth::cli::options
