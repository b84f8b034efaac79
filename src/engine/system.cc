// info and disk use.
#include "engine/system.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>

#include "engine/cdi_catalog.h"
#include "engine/core.h"
#include "engine/rootless.h"
#include "sys/file.h"

namespace berth::engine {
namespace {

std::string first_line(const std::string& path) {
  auto text = sys::read_file(path, size_t{64} << 10);
  if (!text) return {};
  return text->substr(0, text->find('\n'));
}

/// NAME="value" of os-release(5).
std::string os_release_value(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != '=') continue;
    line.remove_prefix(name.size() + 1);
    if (line.size() >= 2 && line.front() == '"' && line.back() == '"') line = line.substr(1, line.size() - 2);
    return std::string(line);
  }
  return {};
}

void count_containers(const Core& core, SystemInfo& info) {
  for (const ContainerHandle& container : core.containers.all()) {
    ++info.containers;
    switch (container->record.state.status) {
      case Status::Running:
      case Status::Restarting:
        ++info.running;
        break;
      case Status::Paused:
        ++info.paused;
        break;
      default:
        ++info.stopped;
    }
  }
}

void describe_host(SystemInfo& info) {
  utsname name{};
  if (::uname(&name) == 0) {
    info.name = name.nodename;
    info.kernel_version = name.release;
    info.architecture = name.machine;
  }
  auto release = sys::read_file("/etc/os-release", size_t{64} << 10);
  if (!release) release = sys::read_file("/usr/lib/os-release", size_t{64} << 10);
  if (release) {
    info.operating_system = os_release_value(*release, "PRETTY_NAME");
    info.os_version = os_release_value(*release, "VERSION_ID");
  }
  if (info.operating_system.empty()) info.operating_system = "Linux";
  info.cpus = static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN));
  info.memory =
      static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  info.ipv4_forwarding = first_line("/proc/sys/net/ipv4/ip_forward") == "1";
}

/// What `docker info` prints at its end: limits that this host cannot hold.
std::vector<std::string> missing_limits(const sys::CgroupFeatures& features) {
  std::vector<std::string> warnings;
  auto need = [&](bool has, const char* text) {
    if (!has) warnings.emplace_back(text);
  };
  need(features.memory, "WARNING: No memory limit support");
  need(features.swap, "WARNING: No swap limit support");
  need(features.cpu_quota, "WARNING: No cpu cfs quota support");
  need(features.cpu_shares, "WARNING: No cpu shares support");
  need(features.cpuset, "WARNING: No cpuset support");
  need(features.pids, "WARNING: No pids limit support");
  need(features.blkio_throttle, "WARNING: No blkio throttle support");
  need(features.freezer, "WARNING: No freezer support: pause is not available");
  return warnings;
}

int open_descriptors() {
  auto entries = sys::list_dir("/proc/self/fd");
  return entries ? static_cast<int>(entries->size()) : 0;
}

/// A proxy's address without the password that it may hold.
std::string without_password(const std::string& url) {
  size_t at = url.rfind('@');
  size_t scheme = url.find("://");
  if (at == std::string::npos) return url;
  return (scheme == std::string::npos ? "" : url.substr(0, scheme + 3)) + "xxxxx:xxxxx" + url.substr(at);
}

void describe_registries(const registry::Settings& settings, SystemInfo& info) {
  info.insecure_registries = settings.insecure;
  for (const registry::Mirror& mirror : settings.mirrors) {
    if (mirror.registry == "docker.io") info.registry_mirrors.push_back(mirror.url.str());
  }
  registry::Proxies proxies = registry::proxies_in_force(settings);
  info.http_proxy = without_password(proxies.http);
  info.https_proxy = without_password(proxies.https);
  info.no_proxy = proxies.none;
}

}  // namespace

io::Task<SystemInfo> System::info() {
  SystemInfo info;
  info.id = core_.id;
  count_containers(core_, info);
  describe_host(info);
  // As docker counts: those that a classic build has left between its steps too.
  if (auto images = core_.image_store->list(true)) info.images = static_cast<int>(images->size());
  info.driver_status = {{"Backing Filesystem", "extfs"}, {"Supports d_type", "true"}, {"Userxattr", "false"}};
  info.data_root = core_.options.data_root;
  info.cgroups = core_.cgroups->features();
  info.cgroup_version = core_.cgroups->version() == sys::CgroupVersion::V2 ? "2" : "1";
  if (core_.cgroups->version() == sys::CgroupVersion::None) info.cgroup_driver = "none";
  if (core_.host.apparmor) info.security_options.push_back("name=apparmor");
  if (core_.host.seccomp_filter)
    info.security_options.push_back("name=seccomp,profile=" +
                                    core_.options.settings.container_defaults.seccomp_name);
  info.security_options.push_back("name=cgroupns");
  if (core_.options.user_remap) info.security_options.push_back("name=userns");
  if (rootless_facts().rootless) info.security_options.push_back("name=rootless");
  info.warnings = missing_limits(info.cgroups);
  for (const std::string& warning : rootless_facts().warnings) info.warnings.push_back("WARNING: " + warning);
  info.log_drivers = {"fluentd", "gelf", "journald", "json-file", "local", "none", "splunk", "syslog"};
  info.volume_drivers = {"local"};
  info.network_drivers = {"bridge", "host", "ipvlan", "macvlan", "null"};
  info.runtimes = {"berth", "runc"};
  info.default_runtime = "runc";
  const std::string& log_driver = core_.options.settings.default_log.type;
  info.logging_driver = log_driver.empty() ? "json-file" : log_driver;
  info.init_binary = "berth-keeper";
  info.now = now();
  info.open_files = open_descriptors();
  // One of them is the engine's own (image_quota.h).
  info.event_listeners = std::max(static_cast<int>(core_.events.subscribers()) - 1, 0);
  describe_registries(core_.registry_jobs->client().settings(), info);
  info.events = core_.events.published();
  info.health_checks = core_.health_checks;
  info.failed_health_checks = core_.failed_health_checks;
  info.labels = core_.options.settings.labels;
  info.authorization_plugins = core_.options.authorization_plugins;
  info.live_restore = core_.options.settings.live_restore;
  info.cdi_spec_dirs = core_.options.settings.cdi_spec_dirs;
  if (!info.cdi_spec_dirs.empty()) {
    auto read = [&info] { return CdiCatalog::read(info.cdi_spec_dirs); };
    CdiCatalog catalog = co_await core_.loop.on_worker(read);
    info.cdi_devices = catalog.devices();
    for (const std::string& problem : catalog.problems()) info.warnings.push_back("WARNING: CDI: " + problem);
  }
  co_return info;
}

io::Task<Result<DiskUsageReport>> System::disk_usage(DiskUsageParts parts) {
  DiskUsageReport report;
  storage::ImageStore* store = core_.image_store.get();
  CO_TRY(storage::ImageUsage usage, co_await core_.loop.on_worker([store] { return store->usage(); }));
  report.layers_bytes = usage.layers_bytes;
  report.images_disk_bytes = usage.disk_bytes;
  report.storage_quota = core_.options.settings.storage_quota;
  if (parts.images) {
    ListImages query;
    query.shared_size = true;
    CO_TRY(report.images, co_await core_.images_facade.list(std::move(query)));
  }
  if (parts.containers) {
    ListContainers query;
    query.scope = ListScope::All;
    CO_TRY(auto containers, core_.containers_facade.list(query));
    for (const ContainerPtr& container : containers) {
      auto size = co_await core_.containers_facade.size(container->id);
      if (size) report.containers.push_back({container, *size});
    }
  }
  if (parts.volumes) {
    CO_TRY(auto volumes, core_.volumes_facade.list({}));
    for (const VolumeRecord& volume : volumes) {
      auto use = co_await core_.volumes_facade.usage(volume.name);
      if (use) report.volumes.push_back({volume, *use});
    }
  }
  co_return report;
}

}  // namespace berth::engine
