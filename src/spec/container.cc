// Parses the Docker API's container configuration. Serialising is in container_json.cc.
#include "spec/container.h"

#include <algorithm>
#include <charconv>

#include "base/format.h"
#include "base/json.h"
#include "spec/object_reader.h"

namespace berth::spec {
namespace {

/// Cmd and Entrypoint: a list, or one string that stands for a list of one.
Result<std::optional<StringList>> parse_command(const Json& value) {
  if (value.is_string()) return std::optional<StringList>(StringList{value.get<std::string>()});
  if (!value.is_array())
    return Error(Kind::InvalidArgument, "invalid JSON: a command must be a string or a list");
  StringList words;
  for (const Json& word : value) {
    if (!word.is_string())
      return Error(Kind::InvalidArgument, "invalid JSON: a command must be a list of strings");
    words.push_back(word.get<std::string>());
  }
  return std::optional<StringList>(std::move(words));
}

Result<std::optional<Healthcheck>> parse_healthcheck(const Json& object) {
  Healthcheck check;
  ObjectReader reader(object, "Healthcheck");
  reader.read("Test", check.test);
  reader.read("Interval", check.interval);
  reader.read("Timeout", check.timeout);
  reader.read("StartPeriod", check.start_period);
  reader.read("StartInterval", check.start_interval);
  reader.read("Retries", check.retries);
  CHECK(std::move(reader).finish());
  return std::optional<Healthcheck>(std::move(check));
}

Result<PortBinding> parse_port_binding(const Json& object) {
  PortBinding binding;
  ObjectReader reader(object, "a port binding");
  reader.read("HostIp", binding.host_ip);
  reader.read("HostPort", binding.host_port);
  CHECK(std::move(reader).finish());
  return binding;
}

Result<RestartPolicy> parse_restart_policy(const Json& object) {
  RestartPolicy policy;
  ObjectReader reader(object, "RestartPolicy");
  reader.read("Name", policy.name);
  reader.read("MaximumRetryCount", policy.maximum_retry_count);
  CHECK(std::move(reader).finish());
  return policy;
}

Result<LogConfig> parse_log_config(const Json& object) {
  LogConfig config;
  ObjectReader reader(object, "LogConfig");
  reader.read("Type", config.type);
  reader.read("Config", config.config);
  CHECK(std::move(reader).finish());
  return config;
}

Result<std::array<uint16_t, 2>> parse_console_size(const Json& value) {
  std::array<uint16_t, 2> size{};
  if (!value.is_array() || value.size() > 2) {
    return Error(Kind::InvalidArgument, "invalid JSON: \"ConsoleSize\" must be [height, width]");
  }
  for (size_t i = 0; i < value.size(); ++i) {
    if (!value[i].is_number_unsigned() || value[i].get<uint64_t>() > UINT16_MAX) {
      return Error(Kind::InvalidArgument, "invalid JSON: \"ConsoleSize\" must be [height, width]");
    }
    size[i] = value[i].get<uint16_t>();
  }
  return size;
}

Result<DeviceMapping> parse_device(const Json& object) {
  DeviceMapping device;
  ObjectReader reader(object, "a device");
  reader.read("PathOnHost", device.path_on_host);
  reader.read("PathInContainer", device.path_in_container);
  reader.read("CgroupPermissions", device.cgroup_permissions);
  CHECK(std::move(reader).finish());
  return device;
}

Result<StringList> parse_strings(const Json& value) {
  StringList strings;
  if (!value.is_array()) return Error(Kind::InvalidArgument, "invalid JSON: expected a list of strings");
  for (const Json& element : value) {
    if (!element.is_string()) return Error(Kind::InvalidArgument, "invalid JSON: expected a list of strings");
    strings.push_back(element.get<std::string>());
  }
  return strings;
}

Result<DeviceRequest> parse_device_request(const Json& object) {
  DeviceRequest request;
  ObjectReader reader(object, "a device request");
  reader.read("Driver", request.driver);
  reader.read("Count", request.count);
  reader.read("DeviceIDs", request.device_ids);
  reader.read_list("Capabilities", request.capabilities, parse_strings);
  reader.read("Options", request.options);
  CHECK(std::move(reader).finish());
  return request;
}

Result<Ulimit> parse_ulimit(const Json& object) {
  Ulimit limit;
  ObjectReader reader(object, "an ulimit");
  reader.read("Name", limit.name);
  reader.read("Soft", limit.soft);
  reader.read("Hard", limit.hard);
  CHECK(std::move(reader).finish());
  return limit;
}

Result<BlkioWeightDevice> parse_weight_device(const Json& object) {
  BlkioWeightDevice device;
  ObjectReader reader(object, "BlkioWeightDevice");
  reader.read("Path", device.path);
  reader.read("Weight", device.weight);
  CHECK(std::move(reader).finish());
  return device;
}

Result<BlkioRateDevice> parse_rate_device(const Json& object) {
  BlkioRateDevice device;
  ObjectReader reader(object, "a block device rate");
  reader.read("Path", device.path);
  reader.read("Rate", device.rate);
  CHECK(std::move(reader).finish());
  return device;
}

void read_resources(ObjectReader& reader, ContainerResources& resources) {
  reader.read("CpuShares", resources.cpu_shares);
  reader.read("Memory", resources.memory);
  reader.read("NanoCpus", resources.nano_cpus);
  reader.read("CgroupParent", resources.cgroup_parent);
  reader.read("BlkioWeight", resources.blkio_weight);
  reader.read_list("BlkioWeightDevice", resources.blkio_weight_device, parse_weight_device);
  reader.read_list("BlkioDeviceReadBps", resources.blkio_device_read_bps, parse_rate_device);
  reader.read_list("BlkioDeviceWriteBps", resources.blkio_device_write_bps, parse_rate_device);
  reader.read_list("BlkioDeviceReadIOps", resources.blkio_device_read_iops, parse_rate_device);
  reader.read_list("BlkioDeviceWriteIOps", resources.blkio_device_write_iops, parse_rate_device);
  reader.read("CpuPeriod", resources.cpu_period);
  reader.read("CpuQuota", resources.cpu_quota);
  reader.read("CpuRealtimePeriod", resources.cpu_realtime_period);
  reader.read("CpuRealtimeRuntime", resources.cpu_realtime_runtime);
  reader.read("CpusetCpus", resources.cpuset_cpus);
  reader.read("CpusetMems", resources.cpuset_mems);
  reader.read_list("Devices", resources.devices, parse_device);
  reader.read("DeviceCgroupRules", resources.device_cgroup_rules);
  reader.read_list("DeviceRequests", resources.device_requests, parse_device_request);
  reader.read("MemoryReservation", resources.memory_reservation);
  reader.read("MemorySwap", resources.memory_swap);
  reader.read("MemorySwappiness", resources.memory_swappiness);
  reader.read("OomKillDisable", resources.oom_kill_disable);
  reader.read("PidsLimit", resources.pids_limit);
  reader.read_list("Ulimits", resources.ulimits, parse_ulimit);
}

Result<std::optional<MountRequest::Bind>> parse_bind_options(const Json& object) {
  MountRequest::Bind bind;
  ObjectReader reader(object, "BindOptions");
  reader.read("Propagation", bind.propagation);
  reader.read("NonRecursive", bind.non_recursive);
  reader.read("CreateMountpoint", bind.create_mountpoint);
  reader.read("ReadOnlyNonRecursive", bind.read_only_non_recursive);
  reader.read("ReadOnlyForceRecursive", bind.read_only_force_recursive);
  CHECK(std::move(reader).finish());
  return std::optional(std::move(bind));
}

Result<std::optional<MountRequest::Volume>> parse_volume_options(const Json& object) {
  MountRequest::Volume volume;
  ObjectReader reader(object, "VolumeOptions");
  reader.read("NoCopy", volume.no_copy);
  reader.read("Labels", volume.labels);
  reader.read("Subpath", volume.subpath);
  if (const Json* driver = reader.find("DriverConfig")) {
    ObjectReader driver_reader(*driver, "DriverConfig");
    driver_reader.read("Name", volume.driver);
    driver_reader.read("Options", volume.driver_options);
    CHECK(std::move(driver_reader).finish());
  }
  CHECK(std::move(reader).finish());
  return std::optional(std::move(volume));
}

Result<std::optional<MountRequest::Tmpfs>> parse_tmpfs_options(const Json& object) {
  MountRequest::Tmpfs tmpfs;
  ObjectReader reader(object, "TmpfsOptions");
  reader.read("SizeBytes", tmpfs.size_bytes);
  reader.read("Mode", tmpfs.mode);
  reader.read_list("Options", tmpfs.options, parse_strings);
  CHECK(std::move(reader).finish());
  return std::optional(std::move(tmpfs));
}

Result<MountType> parse_mount_type(std::string_view text) {
  if (text == "bind") return MountType::Bind;
  if (text == "volume") return MountType::Volume;
  if (text == "tmpfs") return MountType::Tmpfs;
  if (text == "image") return MountType::Image;
  return failure(Kind::InvalidArgument, "invalid mount config for type \"{}\": mount type unknown: \"{}\"",
                 text, text);
}

Result<std::optional<EndpointIpamConfig>> parse_ipam(const Json& object) {
  EndpointIpamConfig ipam;
  ObjectReader reader(object, "IPAMConfig");
  reader.read("IPv4Address", ipam.ipv4_address);
  reader.read("IPv6Address", ipam.ipv6_address);
  reader.read("LinkLocalIPs", ipam.link_local_ips);
  CHECK(std::move(reader).finish());
  return std::optional(std::move(ipam));
}

/// Bodies must hold something: docker refuses a create without a document.
Result<Json> parse_body(std::string_view body, std::string_view when_empty) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return Error(Kind::InvalidArgument, std::string(when_empty));
  }
  TRY(auto document, parse_json(body));
  if (document.is_null()) return Error(Kind::InvalidArgument, std::string(when_empty));
  if (!document.is_object()) return Error(Kind::InvalidArgument, "invalid JSON: expected an object");
  return document;
}

}  // namespace

std::string_view to_string(MountType type) {
  switch (type) {
    case MountType::Bind:
      return "bind";
    case MountType::Volume:
      return "volume";
    case MountType::Tmpfs:
      return "tmpfs";
    case MountType::Image:
      return "image";
  }
  return "volume";
}

Result<ContainerConfig> parse_container_config(const Json& object) {
  ContainerConfig config;
  ObjectReader reader(object, "the container configuration");
  reader.read("Hostname", config.hostname);
  reader.read("Domainname", config.domainname);
  reader.read("User", config.user);
  reader.read("AttachStdin", config.attach_stdin);
  reader.read("AttachStdout", config.attach_stdout);
  reader.read("AttachStderr", config.attach_stderr);
  if (const Json* value = reader.find("ExposedPorts"); value != nullptr && value->is_object()) {
    for (const auto& [port, unused] : value->items()) {
      // A range ("8000-8010/tcp") is kept as the ports it stands for.
      TRY(auto expanded, expand_container_ports(port));
      for (const ContainerPort& one : expanded) config.exposed_ports.insert(one.str());
    }
  }
  reader.read("Tty", config.tty);
  reader.read("OpenStdin", config.open_stdin);
  reader.read("StdinOnce", config.stdin_once);
  reader.read("Env", config.env);
  reader.read_with("Cmd", config.cmd, parse_command);
  reader.read_with("Entrypoint", config.entrypoint, parse_command);
  reader.read_with("Healthcheck", config.healthcheck, parse_healthcheck);
  reader.read("ArgsEscaped", config.args_escaped);
  reader.read("Image", config.image);
  reader.read_keys("Volumes", config.volumes);
  reader.read("WorkingDir", config.working_dir);
  reader.read("NetworkDisabled", config.network_disabled);
  reader.read("MacAddress", config.mac_address);
  reader.read("OnBuild", config.on_build);
  reader.read("Labels", config.labels);
  reader.read("StopSignal", config.stop_signal);
  reader.read("StopTimeout", config.stop_timeout);
  reader.read("Shell", config.shell);
  CHECK(std::move(reader).finish());
  return config;
}

Result<HostConfig> parse_host_config(const Json& object) {
  HostConfig config;
  ObjectReader reader(object, "HostConfig");
  reader.read("Binds", config.binds);
  reader.read("ContainerIDFile", config.container_id_file);
  reader.read_with("LogConfig", config.log_config, parse_log_config);
  reader.read("NetworkMode", config.network_mode);
  reader.read_with("PortBindings", config.port_bindings, parse_port_map);
  reader.read_with("RestartPolicy", config.restart_policy, parse_restart_policy);
  reader.read("AutoRemove", config.auto_remove);
  reader.read("VolumeDriver", config.volume_driver);
  reader.read("VolumesFrom", config.volumes_from);
  reader.read_list("Mounts", config.mounts, parse_mount_request);
  reader.read_with("ConsoleSize", config.console_size, parse_console_size);
  reader.read("Annotations", config.annotations);
  reader.read("CapAdd", config.cap_add);
  reader.read("CapDrop", config.cap_drop);
  reader.read("CgroupnsMode", config.cgroupns_mode);
  reader.read("Dns", config.dns);
  reader.read("DnsOptions", config.dns_options);
  reader.read("DnsSearch", config.dns_search);
  reader.read("ExtraHosts", config.extra_hosts);
  reader.read("GroupAdd", config.group_add);
  reader.read("IpcMode", config.ipc_mode);
  reader.read("Cgroup", config.cgroup);
  reader.read("Links", config.links);
  reader.read("OomScoreAdj", config.oom_score_adj);
  reader.read("PidMode", config.pid_mode);
  reader.read("Privileged", config.privileged);
  reader.read("PublishAllPorts", config.publish_all_ports);
  reader.read("ReadonlyRootfs", config.readonly_rootfs);
  reader.read("SecurityOpt", config.security_opt);
  reader.read("StorageOpt", config.storage_opt);
  reader.read("Tmpfs", config.tmpfs);
  reader.read("UTSMode", config.uts_mode);
  reader.read("UsernsMode", config.userns_mode);
  reader.read("ShmSize", config.shm_size);
  reader.read("Sysctls", config.sysctls);
  reader.read("Runtime", config.runtime);
  reader.read("Isolation", config.isolation);
  reader.read("Init", config.init);
  reader.read("MaskedPaths", config.masked_paths);
  reader.read("ReadonlyPaths", config.readonly_paths);
  read_resources(reader, config.resources);
  CHECK(std::move(reader).finish());
  return config;
}

Result<PortMap> parse_port_map(const Json& object) {
  PortMap ports;
  if (!object.is_object())
    return Error(Kind::InvalidArgument, "invalid JSON: \"PortBindings\" must be an object");
  for (const auto& [port, list] : object.items()) {
    TRY(auto parsed, parse_container_port(port));
    auto& bindings = ports[parsed.str()];
    if (list.is_null()) continue;
    if (!list.is_array()) {
      return failure(Kind::InvalidArgument, "invalid JSON: the bindings of port \"{}\" must be a list", port);
    }
    for (const Json& element : list) {
      TRY(auto binding, parse_port_binding(element));
      bindings.push_back(std::move(binding));
    }
  }
  return ports;
}

Result<MountRequest> parse_mount_request(const Json& object) {
  MountRequest mount;
  ObjectReader reader(object, "a mount");
  reader.read_with("Type", mount.type, [](const Json& value) -> Result<MountType> {
    if (!value.is_string())
      return Error(Kind::InvalidArgument, "invalid JSON: a mount's \"Type\" must be a string");
    return parse_mount_type(value.get_ref<const std::string&>());
  });
  reader.read("Source", mount.source);
  reader.read("Target", mount.target);
  reader.read("ReadOnly", mount.read_only);
  reader.read("Consistency", mount.consistency);
  reader.read_with("BindOptions", mount.bind, parse_bind_options);
  reader.read_with("VolumeOptions", mount.volume, parse_volume_options);
  reader.read_with("TmpfsOptions", mount.tmpfs, parse_tmpfs_options);
  if (const Json* image = reader.find("ImageOptions")) {
    ObjectReader image_reader(*image, "ImageOptions");
    image_reader.read("Subpath", mount.image_subpath.emplace());
    CHECK(std::move(image_reader).finish());
  }
  CHECK(std::move(reader).finish());
  return mount;
}

Result<EndpointSettings> parse_endpoint_settings(const Json& object) {
  EndpointSettings endpoint;
  ObjectReader reader(object, "an endpoint's settings");
  reader.read_with("IPAMConfig", endpoint.ipam, parse_ipam);
  reader.read("Links", endpoint.links);
  reader.read("Aliases", endpoint.aliases);
  reader.read("DriverOpts", endpoint.driver_opts);
  reader.read("GwPriority", endpoint.gw_priority);
  reader.read("MacAddress", endpoint.mac_address);
  reader.read("NetworkID", endpoint.network_id);
  reader.read("EndpointID", endpoint.endpoint_id);
  reader.read("Gateway", endpoint.gateway);
  reader.read("IPAddress", endpoint.ip_address);
  reader.read("IPPrefixLen", endpoint.ip_prefix_len);
  reader.read("IPv6Gateway", endpoint.ipv6_gateway);
  reader.read("GlobalIPv6Address", endpoint.global_ipv6_address);
  reader.read("GlobalIPv6PrefixLen", endpoint.global_ipv6_prefix_len);
  reader.read("DNSNames", endpoint.dns_names);
  CHECK(std::move(reader).finish());
  return endpoint;
}

Result<EndpointMap> parse_endpoint_map(const Json& object) {
  EndpointMap endpoints;
  if (!object.is_object())
    return Error(Kind::InvalidArgument, "invalid JSON: \"EndpointsConfig\" must be an object");
  for (const auto& [network, settings] : object.items()) {
    TRY(auto endpoint, parse_endpoint_settings(settings));
    endpoints.emplace(network, std::move(endpoint));
  }
  return endpoints;
}

Result<CreateRequest> parse_create_request(std::string_view body) {
  constexpr std::string_view no_config = "config cannot be empty in order to create a container";
  TRY(auto document, parse_body(body, no_config));
  // Go has no Config then: its members lie beside these two.
  if (document.size() == document.count("HostConfig") + document.count("NetworkingConfig"))
    return Error(Kind::InvalidArgument, std::string(no_config));
  CreateRequest request;
  TRY(request.config, parse_container_config(document));
  ObjectReader reader(document, "the request");
  reader.read_with("HostConfig", request.host_config, parse_host_config);
  if (const Json* networking = reader.find("NetworkingConfig")) {
    ObjectReader networks(*networking, "NetworkingConfig");
    networks.read_with("EndpointsConfig", request.endpoints, parse_endpoint_map);
    CHECK(std::move(networks).finish());
  }
  CHECK(std::move(reader).finish());
  return request;
}

Result<UpdateRequest> parse_update_request(std::string_view body) {
  TRY(auto document, parse_body(body, "invalid JSON: the update is empty"));
  UpdateRequest request;
  ObjectReader reader(document, "the request");
  read_resources(reader, request.resources);
  if (reader.find("RestartPolicy") != nullptr) {
    RestartPolicy policy;
    reader.read_with("RestartPolicy", policy, parse_restart_policy);
    if (!policy.name.empty()) request.restart_policy = std::move(policy);
  }
  CHECK(std::move(reader).finish());
  return request;
}

Result<ExecConfig> parse_exec_config(std::string_view body) {
  TRY(auto document, parse_body(body, "No exec command specified"));
  ExecConfig config;
  ObjectReader reader(document, "the request");
  reader.read("User", config.user);
  reader.read("Privileged", config.privileged);
  reader.read("Tty", config.tty);
  if (reader.find("ConsoleSize") != nullptr) {
    reader.read_with("ConsoleSize", config.console_size.emplace(), parse_console_size);
  }
  reader.read("AttachStdin", config.attach_stdin);
  reader.read("AttachStdout", config.attach_stdout);
  reader.read("AttachStderr", config.attach_stderr);
  reader.read("DetachKeys", config.detach_keys);
  reader.read("Env", config.env);
  reader.read("WorkingDir", config.working_dir);
  std::optional<StringList> command;
  reader.read_with("Cmd", command, parse_command);
  CHECK(std::move(reader).finish());
  if (!command || command->empty()) return Error(Kind::InvalidArgument, "No exec command specified");
  config.cmd = std::move(*command);
  return config;
}

std::string ContainerPort::str() const {
  return fmt::format("{}/{}", port, protocol);
}

Result<std::vector<ContainerPort>> expand_container_ports(std::string_view text) {
  auto invalid = [&] { return failure(Kind::InvalidArgument, "invalid port specification: \"{}\"", text); };
  std::string_view numbers = text.substr(0, text.find('/'));
  std::string protocol = "tcp";
  if (numbers.size() < text.size()) protocol = text.substr(numbers.size() + 1);
  std::transform(protocol.begin(), protocol.end(), protocol.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") {
    return failure(Kind::InvalidArgument, "invalid proto: {}", protocol);
  }
  auto number = [](std::string_view digits) -> std::optional<uint16_t> {
    uint16_t value = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) return std::nullopt;
    return value;
  };
  size_t dash = numbers.find('-');
  auto first = number(numbers.substr(0, dash));
  auto last = dash == std::string_view::npos ? first : number(numbers.substr(dash + 1));
  if (!first || !last || *last < *first) return invalid();
  std::vector<ContainerPort> ports;
  for (uint32_t port = *first; port <= *last; ++port)
    ports.push_back({static_cast<uint16_t>(port), protocol});
  return ports;
}

Result<ContainerPort> parse_container_port(std::string_view text) {
  TRY(auto ports, expand_container_ports(text));
  if (ports.size() != 1) return failure(Kind::InvalidArgument, "invalid port specification: \"{}\"", text);
  return std::move(ports.front());
}

}  // namespace berth::spec
