// Version, info, disk use and statistics objects.
#include "api/docker/system_json.h"

#include "api/docker/object_json.h"
#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "sys/file.h"

namespace berth::api {
namespace {

Json string_list(const std::vector<std::string>& values) {
  Json list = Json::array();
  for (const std::string& value : values) list.push_back(value);
  return list;
}

Json swarm_json() {
  return {
      {"NodeID", ""}, {"NodeAddr", ""},           {"LocalNodeState", "inactive"}, {"ControlAvailable", false},
      {"Error", ""},  {"RemoteManagers", nullptr}};
}

Json runtimes_json(const engine::SystemInfo& info) {
  Json object = Json::object();
  for (const std::string& runtime : info.runtimes) object[runtime] = {{"path", runtime}};
  return object;
}

std::string go_architecture(const std::string& machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return machine;
}

Json cpu_json(const engine::StatsSample& sample) {
  const sys::CgroupCpuStats& cpu = sample.cgroup.cpu;
  Json usage = {{"total_usage", cpu.total_ns},
                {"usage_in_kernelmode", cpu.kernel_ns},
                {"usage_in_usermode", cpu.user_ns}};
  if (!cpu.per_cpu_ns.empty()) usage["percpu_usage"] = cpu.per_cpu_ns;
  Json object = {{"cpu_usage", std::move(usage)},
                 {"throttling_data",
                  {{"periods", cpu.periods},
                   {"throttled_periods", cpu.throttled_periods},
                   {"throttled_time", cpu.throttled_ns}}}};
  if (sample.system_cpu_ns != 0) object["system_cpu_usage"] = sample.system_cpu_ns;
  if (sample.online_cpus != 0) object["online_cpus"] = sample.online_cpus;
  return object;
}

Json memory_json(const engine::StatsSample& sample) {
  const sys::CgroupMemoryStats& memory = sample.cgroup.memory;
  if (to_unix_nanoseconds(sample.read) == 0) return Json::object();
  uint64_t limit = memory.limit < sample.host_memory ? memory.limit : sample.host_memory;
  Json object = {{"usage", memory.usage}, {"limit", limit}, {"stats", memory.stat}};
  if (!sample.cgroup_v2) {
    object["max_usage"] = memory.max_usage;
    object["failcnt"] = memory.fail_count;
  }
  return object;
}

Json block_entries(const std::vector<sys::CgroupBlockEntry>& entries) {
  if (entries.empty()) return nullptr;
  Json list = Json::array();
  for (const sys::CgroupBlockEntry& entry : entries) {
    list.push_back(
        {{"major", entry.major}, {"minor", entry.minor}, {"op", entry.op}, {"value", entry.value}});
  }
  return list;
}

Json networks_json(const engine::StatsSample& sample) {
  Json object = Json::object();
  for (const auto& [name, counters] : sample.networks) {
    object[name] = {{"rx_bytes", counters.rx_bytes},   {"rx_packets", counters.rx_packets},
                    {"rx_errors", counters.rx_errors}, {"rx_dropped", counters.rx_dropped},
                    {"tx_bytes", counters.tx_bytes},   {"tx_packets", counters.tx_packets},
                    {"tx_errors", counters.tx_errors}, {"tx_dropped", counters.tx_dropped}};
  }
  return object;
}

Json registry_config_json(const engine::SystemInfo& info) {
  Json mirrors = string_list(info.registry_mirrors);
  Json networks = Json::array({"::1/128", "127.0.0.0/8"});
  Json indexes = {
      {"docker.io", {{"Name", "docker.io"}, {"Mirrors", mirrors}, {"Secure", true}, {"Official", true}}}};
  for (const std::string& registry : info.insecure_registries) {
    if (registry.find('/') != std::string::npos) {
      networks.push_back(registry);
    } else {
      indexes[registry] = {
          {"Name", registry}, {"Mirrors", Json::array()}, {"Secure", false}, {"Official", false}};
    }
  }
  return {{"InsecureRegistryCIDRs", std::move(networks)},
          {"IndexConfigs", std::move(indexes)},
          {"Mirrors", info.registry_mirrors.empty() ? Json(nullptr) : mirrors}};
}

/// What berthd has in place of goroutines: its threads.
size_t daemon_threads() {
  auto threads = sys::list_dir("/proc/self/task");
  return threads ? threads->size() : 0;
}

}  // namespace

std::string to_string(ApiVersion version) {
  return fmt::format("{}.{}", version.major, version.minor);
}

Json version_json(const engine::SystemInfo& info) {
  std::string architecture = go_architecture(info.architecture);
  Json details = {{"ApiVersion", to_string(newest_version)},
                  {"Arch", architecture},
                  {"BuildTime", ""},
                  {"Experimental", "true"},
                  {"GitCommit", ""},
                  {"GoVersion", "none"},
                  {"KernelVersion", info.kernel_version},
                  {"MinAPIVersion", to_string(oldest_version)},
                  {"Os", "linux"}};
  Json engine = {{"Name", "Engine"}, {"Version", engine_version}, {"Details", std::move(details)}};
  Json berth = {{"Name", "berth"}, {"Version", BERTH_VERSION}, {"Details", Json::object()}};
  return {{"Platform", {{"Name", "berth"}}},
          {"Components", Json::array({std::move(engine), std::move(berth)})},
          {"Version", engine_version},
          {"ApiVersion", to_string(newest_version)},
          {"MinAPIVersion", to_string(oldest_version)},
          {"GitCommit", ""},
          {"GoVersion", "none"},
          {"Os", "linux"},
          {"Arch", architecture},
          {"KernelVersion", info.kernel_version},
          {"Experimental", true},
          {"BuildTime", ""}};
}

Json info_json(const engine::SystemInfo& info, ApiVersion version) {
  const sys::CgroupFeatures& cgroups = info.cgroups;
  Json driver_status = Json::array();
  for (const auto& [name, value] : info.driver_status) driver_status.push_back(Json::array({name, value}));
  Json object = {
      {"ID", info.id},
      {"Containers", info.containers},
      {"ContainersRunning", info.running},
      {"ContainersPaused", info.paused},
      {"ContainersStopped", info.stopped},
      {"Images", info.images},
      {"Driver", info.driver},
      {"DriverStatus", std::move(driver_status)},
      {"SystemStatus", nullptr},
      {"Plugins",
       {{"Volume", string_list(info.volume_drivers)},
        {"Network", string_list(info.network_drivers)},
        {"Authorization",
         info.authorization_plugins.empty() ? Json(nullptr) : string_list(info.authorization_plugins)},
        {"Log", string_list(info.log_drivers)}}},
      {"MemoryLimit", cgroups.memory},
      {"SwapLimit", cgroups.swap},
      {"CpuCfsPeriod", cgroups.cpu_quota},
      {"CpuCfsQuota", cgroups.cpu_quota},
      {"CPUShares", cgroups.cpu_shares},
      {"CPUSet", cgroups.cpuset},
      {"PidsLimit", cgroups.pids},
      {"OomKillDisable", cgroups.oom_kill_disable},
      {"IPv4Forwarding", info.ipv4_forwarding},
      {"Debug", log::enabled(log::Level::Debug)},
      {"NFd", info.open_files},
      {"NGoroutines", daemon_threads()},
      {"SystemTime", to_rfc3339(info.now)},
      {"LoggingDriver", info.logging_driver},
      {"CgroupDriver", info.cgroup_driver},
      {"CgroupVersion", info.cgroup_version},
      {"NEventsListener", info.event_listeners},
      {"KernelVersion", info.kernel_version},
      {"OperatingSystem", info.operating_system},
      {"OSVersion", info.os_version},
      {"OSType", "linux"},
      {"Architecture", info.architecture},
      {"NCPU", info.cpus},
      {"MemTotal", info.memory},
      {"IndexServerAddress", "https://index.docker.io/v1/"},
      {"RegistryConfig", registry_config_json(info)},
      {"GenericResources", nullptr},
      {"DockerRootDir", info.data_root},
      {"HttpProxy", info.http_proxy},
      {"HttpsProxy", info.https_proxy},
      {"NoProxy", info.no_proxy},
      {"Name", info.name},
      {"Labels", string_list(info.labels)},
      {"ExperimentalBuild", true},
      {"ServerVersion", engine_version},
      {"Runtimes", runtimes_json(info)},
      {"DefaultRuntime", info.default_runtime},
      {"Swarm", swarm_json()},
      {"LiveRestoreEnabled", info.live_restore},
      {"Isolation", ""},
      {"InitBinary", info.init_binary},
      {"ContainerdCommit", {{"ID", ""}}},
      {"RuncCommit", {{"ID", ""}}},
      {"InitCommit", {{"ID", ""}}},
      {"SecurityOptions", string_list(info.security_options)},
      {"CDISpecDirs", string_list(info.cdi_spec_dirs)},
      {"Warnings", info.warnings.empty() ? Json(nullptr) : string_list(info.warnings)}};
  if (version >= ApiVersion{1, 50} && !info.cdi_devices.empty()) {
    Json devices = Json::array();
    for (const std::string& id : info.cdi_devices) devices.push_back({{"Source", "cdi"}, {"ID", id}});
    object["DiscoveredDevices"] = std::move(devices);
  }
  // Where the host's administrator works: DOCKER-USER and policies are iptables' (network/host_filter.h).
  if (version >= ApiVersion{1, 49}) object["FirewallBackend"] = {{"Driver", "iptables"}};
  if (version < ApiVersion{1, 50}) {
    object["BridgeNfIptables"] = false;
    object["BridgeNfIp6tables"] = false;
  }
  return object;
}

Json cache_record_json(const build::CacheRecordInfo& record) {
  return {{"ID", record.id},
          {"Type", record.type},
          {"Description", record.description},
          {"InUse", record.in_use},
          {"Shared", record.shared},
          {"Size", record.size},
          {"CreatedAt", to_rfc3339(record.created)},
          {"LastUsedAt", to_rfc3339(record.last_used)},
          {"UsageCount", record.use_count}};
}

Json disk_usage_json(const engine::DiskUsageReport& report,
                     const std::optional<std::vector<build::CacheRecordInfo>>& cache,
                     engine::System::DiskUsageParts parts, ApiVersion version) {
  Json object = {{"LayersSize", parts.images ? report.layers_bytes : 0},
                 {"Images", nullptr},
                 {"Containers", nullptr},
                 {"Volumes", nullptr},
                 {"BuildCache", nullptr}};
  if (parts.images) {
    Json list = Json::array();
    for (const engine::ImageSummary& image : report.images) {
      Json entry = image_summary_json(image, version);
      entry["Containers"] = image.containers;
      list.push_back(std::move(entry));
    }
    object["Images"] = std::move(list);
  }
  if (parts.containers) {
    Json list = Json::array();
    Timestamp time = now();
    for (const auto& container : report.containers) {
      list.push_back(container_summary_json(*container.record, container.size, time));
    }
    object["Containers"] = std::move(list);
  }
  if (parts.volumes) {
    Json list = Json::array();
    for (const auto& volume : report.volumes) {
      Json entry = volume_json(volume.record);
      entry["UsageData"] = {{"Size", volume.usage.bytes}, {"RefCount", volume.usage.references}};
      list.push_back(std::move(entry));
    }
    object["Volumes"] = std::move(list);
  }
  if (cache) {
    Json records = Json::array();
    for (const build::CacheRecordInfo& record : *cache) records.push_back(cache_record_json(record));
    object["BuildCache"] = std::move(records);
  }
  if (version < ApiVersion{1, 42}) object["BuilderSize"] = 0;
  // berth's own: LayersSize is what files hold, as docker counts; this is what du says of layers and blobs.
  if (parts.images) object["ImagesOnDisk"] = report.images_disk_bytes;
  // What its bound on images is about.
  if (report.storage_quota != 0)
    object["StorageQuota"] = {{"Limit", report.storage_quota}, {"Used", report.images_disk_bytes}};
  return object;
}

Json stats_json(const engine::ContainerRecord& record, const engine::StatsSample& sample,
                const std::optional<engine::StatsSample>& previous) {
  bool empty = to_unix_nanoseconds(sample.read) == 0;
  engine::StatsSample before = previous.value_or(engine::StatsSample{});
  Json pids = Json::object();
  if (!empty) {
    pids["current"] = sample.cgroup.pids;
    if (sample.cgroup.pids_limit != 0) pids["limit"] = sample.cgroup.pids_limit;
  }
  Json object = {{"name", "/" + record.name},
                 {"id", record.id},
                 {"read", to_rfc3339(sample.read)},
                 {"preread", to_rfc3339(before.read)},
                 {"pids_stats", std::move(pids)},
                 {"blkio_stats",
                  {{"io_service_bytes_recursive", block_entries(sample.cgroup.io_service_bytes)},
                   {"io_serviced_recursive", block_entries(sample.cgroup.io_serviced)},
                   {"io_queue_recursive", nullptr},
                   {"io_service_time_recursive", nullptr},
                   {"io_wait_time_recursive", nullptr},
                   {"io_merged_recursive", nullptr},
                   {"io_time_recursive", nullptr},
                   {"sectors_recursive", nullptr}}},
                 {"num_procs", 0},
                 {"storage_stats", Json::object()},
                 {"cpu_stats", cpu_json(sample)},
                 {"precpu_stats", cpu_json(before)},
                 {"memory_stats", memory_json(sample)}};
  if (!sample.networks.empty()) object["networks"] = networks_json(sample);
  return object;
}

}  // namespace berth::api
