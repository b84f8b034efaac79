// Writes the Docker API's container configuration as JSON. Where docker gives null for what is absent and []
// for what is empty, so does this: clients tell them apart.
#include "base/json.h"
#include "spec/container.h"

namespace berth::spec {
namespace {

Json list_or_null(const StringList& list) {
  return list.empty() ? Json(nullptr) : Json(list);
}
Json list(const StringList& strings) {
  return strings.empty() ? Json::array() : Json(strings);
}
Json map(const StringMap& strings) {
  return strings.empty() ? Json::object() : Json(strings);
}

template <class T>
Json optional(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

template <class Set>
Json keys(const Set& names) {
  Json object = Json::object();
  for (const auto& name : names) object[name] = Json::object();
  return object;
}

Json rates(const std::vector<BlkioRateDevice>& devices) {
  Json list = Json::array();
  for (const auto& device : devices) list.push_back({{"Path", device.path}, {"Rate", device.rate}});
  return list;
}

void write_block_io(Json& object, const ContainerResources& resources) {
  object["BlkioWeight"] = resources.blkio_weight;
  Json weights = Json::array();
  for (const auto& device : resources.blkio_weight_device) {
    weights.push_back({{"Path", device.path}, {"Weight", device.weight}});
  }
  object["BlkioWeightDevice"] = std::move(weights);
  object["BlkioDeviceReadBps"] = rates(resources.blkio_device_read_bps);
  object["BlkioDeviceWriteBps"] = rates(resources.blkio_device_write_bps);
  object["BlkioDeviceReadIOps"] = rates(resources.blkio_device_read_iops);
  object["BlkioDeviceWriteIOps"] = rates(resources.blkio_device_write_iops);
}

void write_devices(Json& object, const ContainerResources& resources) {
  Json devices = Json::array();
  for (const auto& device : resources.devices) {
    devices.push_back({{"PathOnHost", device.path_on_host},
                       {"PathInContainer", device.path_in_container},
                       {"CgroupPermissions", device.cgroup_permissions}});
  }
  object["Devices"] = std::move(devices);
  object["DeviceCgroupRules"] = list_or_null(resources.device_cgroup_rules);
  Json requests = nullptr;
  for (const auto& request : resources.device_requests) {
    Json capabilities = nullptr;
    for (const auto& alternative : request.capabilities) capabilities.push_back(list(alternative));
    requests.push_back({{"Driver", request.driver},
                        {"Count", request.count},
                        {"DeviceIDs", list_or_null(request.device_ids)},
                        {"Capabilities", std::move(capabilities)},
                        {"Options", request.options.empty() ? Json(nullptr) : map(request.options)}});
  }
  object["DeviceRequests"] = std::move(requests);
}

void write_resources(Json& object, const ContainerResources& resources) {
  object["CpuShares"] = resources.cpu_shares;
  object["Memory"] = resources.memory;
  object["NanoCpus"] = resources.nano_cpus;
  object["CgroupParent"] = resources.cgroup_parent;
  write_block_io(object, resources);
  object["CpuPeriod"] = resources.cpu_period;
  object["CpuQuota"] = resources.cpu_quota;
  object["CpuRealtimePeriod"] = resources.cpu_realtime_period;
  object["CpuRealtimeRuntime"] = resources.cpu_realtime_runtime;
  object["CpusetCpus"] = resources.cpuset_cpus;
  object["CpusetMems"] = resources.cpuset_mems;
  write_devices(object, resources);
  object["MemoryReservation"] = resources.memory_reservation;
  object["MemorySwap"] = resources.memory_swap;
  object["MemorySwappiness"] = optional(resources.memory_swappiness);
  object["OomKillDisable"] = optional(resources.oom_kill_disable);
  object["PidsLimit"] = optional(resources.pids_limit);
  Json ulimits = nullptr;  // as docker has an empty list
  for (const auto& limit : resources.ulimits) {
    ulimits.push_back({{"Name", limit.name}, {"Hard", limit.hard}, {"Soft", limit.soft}});
  }
  object["Ulimits"] = std::move(ulimits);
  object["CpuCount"] = 0;
  object["CpuPercent"] = 0;
  object["IOMaximumIOps"] = 0;
  object["IOMaximumBandwidth"] = 0;
}

Json bind_options(const MountRequest::Bind& bind) {
  Json object = Json::object();
  if (!bind.propagation.empty()) object["Propagation"] = bind.propagation;
  if (bind.non_recursive) object["NonRecursive"] = true;
  if (bind.create_mountpoint) object["CreateMountpoint"] = true;
  if (bind.read_only_non_recursive) object["ReadOnlyNonRecursive"] = true;
  if (bind.read_only_force_recursive) object["ReadOnlyForceRecursive"] = true;
  return object;
}

Json volume_options(const MountRequest::Volume& volume) {
  Json object = Json::object();
  if (volume.no_copy) object["NoCopy"] = true;
  if (!volume.labels.empty()) object["Labels"] = volume.labels;
  if (!volume.subpath.empty()) object["Subpath"] = volume.subpath;
  if (!volume.driver.empty() || !volume.driver_options.empty()) {
    Json driver = Json::object();
    if (!volume.driver.empty()) driver["Name"] = volume.driver;
    if (!volume.driver_options.empty()) driver["Options"] = volume.driver_options;
    object["DriverConfig"] = std::move(driver);
  }
  return object;
}

Json tmpfs_options(const MountRequest::Tmpfs& tmpfs) {
  Json object = Json::object();
  if (tmpfs.size_bytes != 0) object["SizeBytes"] = tmpfs.size_bytes;
  if (tmpfs.mode != 0) object["Mode"] = tmpfs.mode;
  if (!tmpfs.options.empty()) object["Options"] = tmpfs.options;
  return object;
}

}  // namespace

Json to_json_value(const Healthcheck& healthcheck) {
  Json object = Json::object();
  if (!healthcheck.test.empty()) object["Test"] = healthcheck.test;
  if (healthcheck.interval != 0) object["Interval"] = healthcheck.interval;
  if (healthcheck.timeout != 0) object["Timeout"] = healthcheck.timeout;
  if (healthcheck.start_period != 0) object["StartPeriod"] = healthcheck.start_period;
  if (healthcheck.start_interval != 0) object["StartInterval"] = healthcheck.start_interval;
  if (healthcheck.retries != 0) object["Retries"] = healthcheck.retries;
  return object;
}

Json to_json_value(const ContainerConfig& config) {
  Json object = Json::object();
  object["Hostname"] = config.hostname;
  object["Domainname"] = config.domainname;
  object["User"] = config.user;
  object["AttachStdin"] = config.attach_stdin;
  object["AttachStdout"] = config.attach_stdout;
  object["AttachStderr"] = config.attach_stderr;
  if (!config.exposed_ports.empty()) object["ExposedPorts"] = keys(config.exposed_ports);
  object["Tty"] = config.tty;
  object["OpenStdin"] = config.open_stdin;
  object["StdinOnce"] = config.stdin_once;
  object["Env"] = list(config.env);
  object["Cmd"] = optional(config.cmd);
  if (config.healthcheck) object["Healthcheck"] = to_json_value(*config.healthcheck);
  if (config.args_escaped) object["ArgsEscaped"] = true;
  object["Image"] = config.image;
  object["Volumes"] = config.volumes.empty() ? Json(nullptr) : keys(config.volumes);
  object["WorkingDir"] = config.working_dir;
  object["Entrypoint"] = optional(config.entrypoint);
  if (config.network_disabled) object["NetworkDisabled"] = true;
  if (!config.mac_address.empty()) object["MacAddress"] = config.mac_address;
  object["OnBuild"] = list_or_null(config.on_build);
  object["Labels"] = map(config.labels);
  if (!config.stop_signal.empty()) object["StopSignal"] = config.stop_signal;
  if (config.stop_timeout) object["StopTimeout"] = *config.stop_timeout;
  if (!config.shell.empty()) object["Shell"] = config.shell;
  return object;
}

Json to_json_value(const RestartPolicy& policy) {
  return {{"Name", policy.name}, {"MaximumRetryCount", policy.maximum_retry_count}};
}

Json to_json_value(const LogConfig& config) {
  return {{"Type", config.type}, {"Config", map(config.config)}};
}

Json to_json_value(const HostConfig& config) {
  Json object = Json::object();
  object["Binds"] = list_or_null(config.binds);
  object["ContainerIDFile"] = config.container_id_file;
  object["LogConfig"] = to_json_value(config.log_config);
  object["NetworkMode"] = config.network_mode;
  object["PortBindings"] = to_json_value(config.port_bindings);
  object["RestartPolicy"] = to_json_value(config.restart_policy);
  object["AutoRemove"] = config.auto_remove;
  object["VolumeDriver"] = config.volume_driver;
  object["VolumesFrom"] = list_or_null(config.volumes_from);
  object["ConsoleSize"] = config.console_size;
  if (!config.annotations.empty()) object["Annotations"] = config.annotations;
  object["CapAdd"] = list_or_null(config.cap_add);
  object["CapDrop"] = list_or_null(config.cap_drop);
  object["CgroupnsMode"] = config.cgroupns_mode;
  object["Dns"] = list(config.dns);
  object["DnsOptions"] = list(config.dns_options);
  object["DnsSearch"] = list(config.dns_search);
  object["ExtraHosts"] = list_or_null(config.extra_hosts);
  object["GroupAdd"] = list_or_null(config.group_add);
  object["IpcMode"] = config.ipc_mode;
  object["Cgroup"] = config.cgroup;
  object["Links"] = list_or_null(config.links);
  object["OomScoreAdj"] = config.oom_score_adj;
  object["PidMode"] = config.pid_mode;
  object["Privileged"] = config.privileged;
  object["PublishAllPorts"] = config.publish_all_ports;
  object["ReadonlyRootfs"] = config.readonly_rootfs;
  object["SecurityOpt"] = list_or_null(config.security_opt);
  if (!config.storage_opt.empty()) object["StorageOpt"] = config.storage_opt;
  if (!config.tmpfs.empty()) object["Tmpfs"] = config.tmpfs;
  object["UTSMode"] = config.uts_mode;
  object["UsernsMode"] = config.userns_mode;
  object["ShmSize"] = config.shm_size;
  if (!config.sysctls.empty()) object["Sysctls"] = config.sysctls;
  object["Runtime"] = config.runtime;
  object["Isolation"] = config.isolation;
  if (config.init) object["Init"] = *config.init;
  write_resources(object, config.resources);
  if (!config.mounts.empty()) {
    Json& mounts = object["Mounts"] = Json::array();
    for (const auto& mount : config.mounts) mounts.push_back(to_json_value(mount));
  }
  object["MaskedPaths"] = optional(config.masked_paths);
  object["ReadonlyPaths"] = optional(config.readonly_paths);
  return object;
}

Json to_json_value(const MountRequest& mount) {
  Json object = {{"Type", to_string(mount.type)}};
  if (!mount.source.empty()) object["Source"] = mount.source;
  object["Target"] = mount.target;
  if (mount.read_only) object["ReadOnly"] = true;
  if (!mount.consistency.empty()) object["Consistency"] = mount.consistency;
  if (mount.bind) object["BindOptions"] = bind_options(*mount.bind);
  if (mount.volume) object["VolumeOptions"] = volume_options(*mount.volume);
  if (mount.image_subpath) object["ImageOptions"] = {{"Subpath", *mount.image_subpath}};
  if (mount.tmpfs) object["TmpfsOptions"] = tmpfs_options(*mount.tmpfs);
  return object;
}

Json to_json_value(const PortMap& ports) {
  Json object = Json::object();
  for (const auto& [port, bindings] : ports) {
    Json list = nullptr;
    for (const auto& binding : bindings) {
      list.push_back({{"HostIp", binding.host_ip}, {"HostPort", binding.host_port}});
    }
    object[port] = std::move(list);
  }
  return object;
}

Json to_json_value(const EndpointSettings& endpoint) {
  Json object = Json::object();
  Json ipam = nullptr;
  if (endpoint.ipam) {
    ipam = Json::object();
    if (!endpoint.ipam->ipv4_address.empty()) ipam["IPv4Address"] = endpoint.ipam->ipv4_address;
    if (!endpoint.ipam->ipv6_address.empty()) ipam["IPv6Address"] = endpoint.ipam->ipv6_address;
    if (!endpoint.ipam->link_local_ips.empty()) ipam["LinkLocalIPs"] = endpoint.ipam->link_local_ips;
  }
  object["IPAMConfig"] = std::move(ipam);
  object["Links"] = list_or_null(endpoint.links);
  object["Aliases"] = list_or_null(endpoint.aliases);
  object["MacAddress"] = endpoint.mac_address;
  object["DriverOpts"] = endpoint.driver_opts.empty() ? Json(nullptr) : Json(endpoint.driver_opts);
  object["GwPriority"] = endpoint.gw_priority;
  object["NetworkID"] = endpoint.network_id;
  object["EndpointID"] = endpoint.endpoint_id;
  object["Gateway"] = endpoint.gateway;
  object["IPAddress"] = endpoint.ip_address;
  object["IPPrefixLen"] = endpoint.ip_prefix_len;
  object["IPv6Gateway"] = endpoint.ipv6_gateway;
  object["GlobalIPv6Address"] = endpoint.global_ipv6_address;
  object["GlobalIPv6PrefixLen"] = endpoint.global_ipv6_prefix_len;
  object["DNSNames"] = list_or_null(endpoint.dns_names);
  return object;
}

Json to_json_value(const EndpointMap& endpoints) {
  Json object = Json::object();
  for (const auto& [network, endpoint] : endpoints) object[network] = to_json_value(endpoint);
  return object;
}

}  // namespace berth::spec
