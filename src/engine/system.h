// The engine as a whole: info, version, disk use.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/images.h"
#include "engine/records.h"
#include "engine/volumes.h"
#include "io/task.h"
#include "sys/cgroup.h"

namespace berth::engine {

class Core;

struct SystemInfo {
  std::string id;    ///< of this engine, kept in the database
  std::string name;  ///< host name
  int containers = 0;
  int running = 0;
  int paused = 0;
  int stopped = 0;
  int images = 0;
  std::string driver = "overlay2";
  std::vector<std::pair<std::string, std::string>> driver_status;
  std::string data_root;
  std::string kernel_version;
  std::string operating_system;  ///< PRETTY_NAME of os-release
  std::string os_version;
  std::string architecture;  ///< "x86_64"
  unsigned cpus = 0;
  uint64_t memory = 0;  ///< bytes
  std::string cgroup_driver = "cgroupfs";
  std::string cgroup_version;  ///< "1" or "2"
  sys::CgroupFeatures cgroups;
  bool ipv4_forwarding = false;
  std::vector<std::string> security_options;  ///< "name=seccomp,profile=builtin", "name=cgroupns"
  std::vector<std::string> warnings;
  std::vector<std::string> log_drivers;
  std::vector<std::string> volume_drivers;
  std::vector<std::string> network_drivers;
  std::vector<std::string> runtimes;
  std::string default_runtime;
  std::string logging_driver;
  std::string init_binary;
  Timestamp now{};
  std::vector<std::string> insecure_registries;  ///< as the daemon was given them
  std::vector<std::string> registry_mirrors;     ///< of docker.io
  std::string http_proxy;
  std::string https_proxy;
  std::string no_proxy;
  int open_files = 0;  ///< NFd
  int event_listeners = 0;
  uint64_t events = 0;  ///< published so far
  uint64_t health_checks = 0;
  uint64_t failed_health_checks = 0;
  std::vector<std::string> labels;                 ///< of this engine (--label)
  std::vector<std::string> authorization_plugins;  ///< names
  std::vector<std::string> cdi_spec_dirs;
  std::vector<std::string> cdi_devices;  ///< qualified names
  bool live_restore = true;              ///< containers outlive the engine
};

struct DiskUsageReport {
  uint64_t layers_bytes = 0;
  uint64_t images_disk_bytes = 0;  ///< layers and blobs, allocated on disk, as du counts
  uint64_t storage_quota = 0;      ///< bound on that; 0: none
  std::vector<ImageSummary> images;
  struct Container {
    ContainerPtr record;
    ContainerSize size;
  };
  std::vector<Container> containers;
  struct Volume {
    VolumeRecord record;
    VolumeUsage usage;
  };
  std::vector<Volume> volumes;
};

class System {
 public:
  explicit System(Core& core) : core_(core) {}

  io::Task<SystemInfo> info();
  /// What is computed: the four parts can be asked for one by one.
  struct DiskUsageParts {
    bool images = true;
    bool containers = true;
    bool volumes = true;
  };
  io::Task<Result<DiskUsageReport>> disk_usage(DiskUsageParts parts);

 private:
  Core& core_;
};

}  // namespace berth::engine
