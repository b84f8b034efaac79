// The Docker Engine API's container configuration as types: what a client asks for at create, what update and
// exec take, and what inspect gives back. Parsing checks types and bounds alone; whether the values make
// sense together is validate() (engine/validate.h). Also the form in which berth keeps containers on disk.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "base/result.h"
#include "spec/image.h"

namespace berth::spec {

using StringMap = std::map<std::string, std::string>;
using StringList = std::vector<std::string>;

/// "Config" of the API: what runs. Absent and empty Cmd/Entrypoint differ: absent inherits the image's.
struct ContainerConfig {
  std::string hostname = {};
  std::string domainname = {};
  std::string user = {};
  bool attach_stdin = false;
  bool attach_stdout = false;
  bool attach_stderr = false;
  std::set<std::string> exposed_ports = {};  ///< "80/tcp", normalised with protocol
  bool tty = false;
  bool open_stdin = false;
  bool stdin_once = false;
  StringList env = {};  ///< "NAME=value", or "NAME" to remove the image's
  std::optional<StringList> cmd = {};
  std::optional<StringList> entrypoint = {};  ///< {} or {""} clears the image's
  std::optional<Healthcheck> healthcheck = {};
  bool args_escaped = false;
  std::string image = {};  ///< as the client wrote it
  std::set<std::string> volumes = {};
  std::string working_dir = {};
  bool network_disabled = false;
  std::string mac_address = {};  ///< of the endpoint on the default network (before API 1.44)
  StringList on_build = {};
  StringMap labels = {};
  std::string stop_signal = {};
  std::optional<int> stop_timeout = {};  ///< seconds; -1 waits for ever
  StringList shell = {};
};

struct PortBinding {
  std::string host_ip = {};
  std::string host_port = {};  ///< "", "8080" or "8000-8010"
  bool operator==(const PortBinding&) const = default;
};
using PortMap = std::map<std::string, std::vector<PortBinding>>;  ///< "80/tcp" -> where it is published

struct RestartPolicy {
  std::string name = {};  ///< "", "no", "always", "on-failure", "unless-stopped"
  int maximum_retry_count = 0;
  bool operator==(const RestartPolicy&) const = default;
};

struct LogConfig {
  std::string type = {};
  StringMap config = {};
};

struct DeviceMapping {
  std::string path_on_host = {};
  std::string path_in_container = {};
  std::string cgroup_permissions = {};
};

struct DeviceRequest {
  std::string driver = {};
  int count = 0;
  StringList device_ids = {};
  std::vector<StringList> capabilities = {};
  StringMap options = {};
};

struct Ulimit {
  std::string name = {};  ///< "nofile"
  int64_t soft = 0;       ///< -1 is unlimited
  int64_t hard = 0;
};

struct BlkioWeightDevice {
  std::string path = {};
  uint16_t weight = 0;
};

struct BlkioRateDevice {
  std::string path = {};
  uint64_t rate = 0;
};

/// The part of HostConfig that limits: also the body of update.
struct ContainerResources {
  int64_t cpu_shares = 0;
  int64_t memory = 0;  ///< bytes, 0 unlimited
  int64_t nano_cpus = 0;
  std::string cgroup_parent = {};
  uint16_t blkio_weight = 0;
  std::vector<BlkioWeightDevice> blkio_weight_device = {};
  std::vector<BlkioRateDevice> blkio_device_read_bps = {};
  std::vector<BlkioRateDevice> blkio_device_write_bps = {};
  std::vector<BlkioRateDevice> blkio_device_read_iops = {};
  std::vector<BlkioRateDevice> blkio_device_write_iops = {};
  int64_t cpu_period = 0;
  int64_t cpu_quota = 0;
  int64_t cpu_realtime_period = 0;
  int64_t cpu_realtime_runtime = 0;
  std::string cpuset_cpus = {};
  std::string cpuset_mems = {};
  std::vector<DeviceMapping> devices = {};
  StringList device_cgroup_rules = {};
  std::vector<DeviceRequest> device_requests = {};
  int64_t memory_reservation = 0;
  int64_t memory_swap = 0;  ///< memory + swap, bytes; -1 unlimited
  std::optional<int64_t> memory_swappiness = {};
  std::optional<bool> oom_kill_disable = {};
  std::optional<int64_t> pids_limit = {};  ///< 0 or -1 unlimited
  std::vector<Ulimit> ulimits = {};
};

enum class MountType { Bind, Volume, Tmpfs, Image };
std::string_view to_string(MountType type);

/// One element of HostConfig.Mounts (docker's --mount).
struct MountRequest {
  MountType type = MountType::Volume;
  std::string source = {};
  std::string target = {};
  bool read_only = false;
  std::string consistency = {};
  struct Bind {
    std::string propagation = {};
    bool non_recursive = false;
    bool create_mountpoint = false;
    bool read_only_non_recursive = false;
    bool read_only_force_recursive = false;
  };
  std::optional<Bind> bind = {};
  struct Volume {
    bool no_copy = false;
    StringMap labels = {};
    std::string driver = {};
    StringMap driver_options = {};
    std::string subpath = {};
  };
  std::optional<Volume> volume = {};
  std::optional<std::string> image_subpath = {};
  struct Tmpfs {
    int64_t size_bytes = 0;
    uint32_t mode = 0;                     ///< permission bits, 0 is the default 1777
    std::vector<StringList> options = {};  ///< {"noexec"} or {"uid", "1000"}
  };
  std::optional<Tmpfs> tmpfs = {};
};

struct HostConfig {
  StringList binds = {};  ///< "source:destination[:options]"
  std::string container_id_file = {};
  LogConfig log_config = {};
  std::string network_mode = {};  ///< "default", "bridge", "none", "host", "container:X", a network's name
  PortMap port_bindings = {};
  RestartPolicy restart_policy = {};
  bool auto_remove = false;
  std::string volume_driver = {};
  StringList volumes_from = {};  ///< "container[:ro|rw]"
  std::vector<MountRequest> mounts = {};
  std::array<uint16_t, 2> console_size = {0, 0};  ///< height, width
  StringMap annotations = {};
  StringList cap_add = {};
  StringList cap_drop = {};
  std::string cgroupns_mode = {};
  StringList dns = {};
  StringList dns_options = {};
  StringList dns_search = {};
  StringList extra_hosts = {};  ///< "name:address"
  StringList group_add = {};
  std::string ipc_mode = {};
  std::string cgroup = {};
  StringList links = {};  ///< "container:alias"
  int oom_score_adj = 0;
  std::string pid_mode = {};
  bool privileged = false;
  bool publish_all_ports = false;
  bool readonly_rootfs = false;
  StringList security_opt = {};
  StringMap storage_opt = {};
  StringMap tmpfs = {};  ///< destination -> options
  std::string uts_mode = {};
  std::string userns_mode = {};
  int64_t shm_size = 0;  ///< bytes, 0 is the default
  StringMap sysctls = {};
  std::string runtime = {};
  std::string isolation = {};
  std::optional<bool> init = {};
  std::optional<StringList> masked_paths = {};  ///< absent: the default list
  std::optional<StringList> readonly_paths = {};
  ContainerResources resources = {};
};

struct EndpointIpamConfig {
  std::string ipv4_address = {};
  std::string ipv6_address = {};
  StringList link_local_ips = {};
  bool empty() const { return ipv4_address.empty() && ipv6_address.empty() && link_local_ips.empty(); }
};

/// A container's place on a network: what was asked for, and, once connected, what it got.
struct EndpointSettings {
  std::optional<EndpointIpamConfig> ipam = {};
  StringList links = {};
  StringList aliases = {};
  StringMap driver_opts = {};
  int gw_priority = 0;
  std::string mac_address = {};
  // Filled by the engine.
  std::string network_id = {};
  std::string endpoint_id = {};
  std::string gateway = {};
  std::string ip_address = {};
  int ip_prefix_len = 0;
  std::string ipv6_gateway = {};
  std::string global_ipv6_address = {};
  int global_ipv6_prefix_len = 0;
  StringList dns_names = {};
};
using EndpointMap = std::map<std::string, EndpointSettings>;  ///< by network name

/// Body of POST /containers/create.
struct CreateRequest {
  ContainerConfig config = {};
  HostConfig host_config = {};
  EndpointMap endpoints = {};  ///< NetworkingConfig.EndpointsConfig
};

/// Body of POST /containers/{id}/update. Zero and absent values leave things as they are.
struct UpdateRequest {
  ContainerResources resources = {};
  std::optional<RestartPolicy> restart_policy = {};
};

/// Body of POST /containers/{id}/exec.
struct ExecConfig {
  std::string user = {};
  bool privileged = false;
  bool tty = false;
  std::optional<std::array<uint16_t, 2>> console_size = {};  ///< height, width
  bool attach_stdin = false;
  bool attach_stdout = false;
  bool attach_stderr = false;
  std::string detach_keys = {};
  StringList env = {};
  std::string working_dir = {};
  StringList cmd = {};
};

/// Everything below answers InvalidArgument with docker's words for what is malformed. Unknown keys are
/// ignored.
Result<CreateRequest> parse_create_request(std::string_view body);
Result<UpdateRequest> parse_update_request(std::string_view body);
Result<ExecConfig> parse_exec_config(std::string_view body);

Result<ContainerConfig> parse_container_config(const Json& object);
Result<HostConfig> parse_host_config(const Json& object);
Result<EndpointSettings> parse_endpoint_settings(const Json& object);
Result<EndpointMap> parse_endpoint_map(const Json& object);
Result<PortMap> parse_port_map(const Json& object);
Result<MountRequest> parse_mount_request(const Json& object);

/// Docker's JSON, with null and empty lists where docker has them.
Json to_json_value(const ContainerConfig& config);
Json to_json_value(const HostConfig& config);
Json to_json_value(const EndpointSettings& endpoint);
Json to_json_value(const EndpointMap& endpoints);
Json to_json_value(const PortMap& ports);
Json to_json_value(const MountRequest& mount);
Json to_json_value(const RestartPolicy& policy);
Json to_json_value(const LogConfig& config);
Json to_json_value(const Healthcheck& healthcheck);

/// A container port: "80", "80/tcp", "53/udp", "5000/sctp".
struct ContainerPort {
  uint16_t port = 0;
  std::string protocol = "tcp";
  std::string str() const;
  auto operator<=>(const ContainerPort&) const = default;
};
/// Lower-cases the protocol. Malformed: InvalidArgument.
Result<ContainerPort> parse_container_port(std::string_view text);
/// The same for "8000-8010/tcp".
Result<std::vector<ContainerPort>> expand_container_ports(std::string_view text);

}  // namespace berth::spec
