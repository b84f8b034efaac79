#include "apps/berth/compose/request_parts.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "apps/berth/compose/request.h"
#include "apps/berth/options/devices.h"
#include "apps/berth/options/quantity.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using Strings = std::vector<std::string>;

/// Copies texts, numbers, booleans and lists of a service to the API's fields of the same meaning.
class Copier {
 public:
  Copier(const Value& from, std::string path, Json& to) : from_(from), path_(std::move(path)), to_(to) {}

  Copier& text(std::string_view key, const char* field) {
    return copy(key, field, [](const Value& value, const std::string& path) -> Result<Json> {
      TRY(std::string text, as_text(value, path));
      return Json(text);
    });
  }
  Copier& flag(std::string_view key, const char* field) {
    return copy(key, field, [](const Value& value, const std::string& path) -> Result<Json> {
      TRY(bool on, as_bool(value, path));
      return Json(on);
    });
  }
  Copier& integer(std::string_view key, const char* field) {
    return copy(key, field, [](const Value& value, const std::string& path) -> Result<Json> {
      TRY(int64_t number, as_int(value, path));
      return Json(number);
    });
  }
  Copier& bytes(std::string_view key, const char* field) {
    return copy(key, field, [](const Value& value, const std::string& path) -> Result<Json> {
      TRY(int64_t number, as_bytes(value, path));
      return Json(number);
    });
  }
  Copier& duration(std::string_view key, const char* field) {
    return copy(key, field, [](const Value& value, const std::string& path) -> Result<Json> {
      TRY(int64_t number, as_duration(value, path));
      return Json(number);
    });
  }
  Copier& texts(std::string_view key, const char* field) {
    return copy(key, field, [](const Value& value, const std::string& path) -> Result<Json> {
      TRY(Strings list, as_texts(value, path));
      return Json(list);
    });
  }
  Copier& map(std::string_view key, const char* field) {
    return copy(key, field, [this, key](const Value&, const std::string&) -> Result<Json> {
      TRY(auto map, text_map_of(from_, key, path_));
      return Json(map);
    });
  }
  Result<void> done() { return std::move(result_); }

 private:
  template <class Read>
  Copier& copy(std::string_view key, const char* field, Read read) {
    const Value* value = from_.find(key);
    if (value == nullptr || !result_) return *this;
    auto json = read(*value, fmt::format("{}.{}", path_, key));
    if (json)
      to_[field] = std::move(*json);
    else
      result_ = json.error();
    return *this;
  }

  const Value& from_;
  std::string path_;
  Json& to_;
  Result<void> result_;
};

Result<void> add_healthcheck(const Service& service, Json& body) {
  const Value* check = service.config.find("healthcheck");
  if (check == nullptr) return {};
  std::string path = service.path() + ".healthcheck";
  Json health = Json::object();
  CHECK(Copier(*check, path, health)
            .texts("test", "Test")
            .duration("interval", "Interval")
            .duration("timeout", "Timeout")
            .duration("start_period", "StartPeriod")
            .duration("start_interval", "StartInterval")
            .integer("retries", "Retries")
            .done());
  TRY(bool disable, bool_of(*check, "disable", path));
  if (disable) health["Test"] = {"NONE"};
  body["Healthcheck"] = std::move(health);
  return {};
}

Result<void> add_devices(const Service& service, Json& host) {
  if (const Value* devices = service.config.find("devices")) {
    if (!devices->is_list()) return complaint(*devices, service.path() + ".devices", "must be a list");
    for (const Value& item : devices->items) {
      if (item.is_map()) {
        TRY(std::string source, text_of(item, "source", service.path() + ".devices"));
        TRY(std::string target, text_of(item, "target", service.path() + ".devices", source));
        TRY(std::string permissions, text_of(item, "permissions", service.path() + ".devices", "rwm"));
        host["Devices"].push_back(
            {{"PathOnHost", source}, {"PathInContainer", target}, {"CgroupPermissions", permissions}});
        continue;
      }
      if (options::is_cdi_name(item.text)) {
        host["DeviceRequests"].push_back({{"Driver", "cdi"}, {"DeviceIDs", {item.text}}});
        continue;
      }
      auto device = options::parse_device(item.text);
      if (!device) return complaint(item, service.path() + ".devices", device.error().message());
      host["Devices"].push_back(std::move(*device));
    }
  }
  auto add_requests = [&](const Value& list, const std::string& path) -> Result<void> {
    if (list.is_scalar() && list.text == "all") {
      host["DeviceRequests"].push_back({{"Count", -1}, {"Capabilities", {{"gpu"}}}});
      return {};
    }
    for (const Value& item : list.items) {
      Json request = Json::object();
      CHECK(Copier(item, path, request)
                .text("driver", "Driver")
                .texts("device_ids", "DeviceIDs")
                .map("options", "Options")
                .done());
      TRY(Strings capabilities, texts_of(item, "capabilities", path));
      if (capabilities.empty()) capabilities = {"gpu"};
      request["Capabilities"] = {capabilities};
      const Value* count = item.find("count");
      if (count != nullptr && count->text == "all") {
        request["Count"] = -1;
      } else if (count != nullptr) {
        TRY(request["Count"], as_int(*count, path + ".count"));
      } else if (!request.contains("DeviceIDs")) {
        request["Count"] = -1;
      }
      host["DeviceRequests"].push_back(std::move(request));
    }
    return {};
  };
  if (const Value* gpus = service.config.find("gpus")) CHECK(add_requests(*gpus, service.path() + ".gpus"));
  const Value* node = service.config.find("deploy");
  for (std::string_view key : {"resources", "reservations", "devices"})
    node = node == nullptr ? nullptr : node->find(key);
  return node == nullptr ? Result<void>()
                         : add_requests(*node, service.path() + ".deploy.resources.reservations.devices");
}

Result<void> add_cpus(const Value& value, const std::string& path, Json& host) {
  auto cpus = value.is_scalar() ? options::parse_cpus(value.text)
                                : Result<int64_t>(complaint(value, path, "must be a number"));
  if (!cpus) return complaint(value, path, cpus.error().message());
  host["NanoCpus"] = *cpus;
  return {};
}

Result<void> add_deploy_limits(const Service& service, Json& host) {
  const Value* deploy = service.config.find("deploy");
  const Value* resources = deploy == nullptr ? nullptr : deploy->find("resources");
  if (resources == nullptr) return {};
  std::string path = service.path() + ".deploy.resources";
  if (const Value* limits = resources->find("limits")) {
    CHECK(Copier(*limits, path + ".limits", host)
              .bytes("memory", "Memory")
              .integer("pids", "PidsLimit")
              .done());
    if (const Value* cpus = limits->find("cpus")) CHECK(add_cpus(*cpus, path + ".limits.cpus", host));
  }
  if (const Value* reservations = resources->find("reservations")) {
    CHECK(Copier(*reservations, path + ".reservations", host).bytes("memory", "MemoryReservation").done());
  }
  return {};
}

Result<void> add_block_io(const Service& service, Json& host) {
  const Value* block = service.config.find("blkio_config");
  if (block == nullptr) return {};
  std::string path = service.path() + ".blkio_config";
  CHECK(Copier(*block, path, host).integer("weight", "BlkioWeight").done());
  for (auto [key, field] : {std::pair{"weight_device", "BlkioWeightDevice"},
                            {"device_read_bps", "BlkioDeviceReadBps"},
                            {"device_write_bps", "BlkioDeviceWriteBps"},
                            {"device_read_iops", "BlkioDeviceReadIOps"},
                            {"device_write_iops", "BlkioDeviceWriteIOps"}}) {
    const Value* list = block->find(key);
    if (list == nullptr) continue;
    for (const Value& item : list->items) {
      Json device = Json::object();
      CHECK(Copier(item, path, device)
                .text("path", "Path")
                .integer("weight", "Weight")
                .bytes("rate", "Rate")
                .done());
      host[field].push_back(std::move(device));
    }
  }
  return {};
}

Result<void> add_ulimits(const Service& service, Json& host) {
  const Value* ulimits = service.config.find("ulimits");
  if (ulimits == nullptr) return {};
  for (const auto& [name, value] : ulimits->members) {
    std::string path = fmt::format("{}.ulimits.{}", service.path(), name);
    Json limit{{"Name", name}};
    if (value.is_map()) {
      CHECK(Copier(value, path, limit).integer("soft", "Soft").integer("hard", "Hard").done());
    } else {
      TRY(int64_t number, as_int(value, path));
      limit["Soft"] = limit["Hard"] = number;
    }
    host["Ulimits"].push_back(std::move(limit));
  }
  return {};
}

Result<void> add_restart(const Service& service, Json& host) {
  TRY(std::string restart, text_of(service.config, "restart", service.path()));
  if (restart == "false") restart = "no";
  Json policy{{"Name", restart.substr(0, restart.find(':'))}};
  if (size_t colon = restart.find(':'); colon != std::string::npos) {
    Value count = Value::scalar(restart.substr(colon + 1), service.config.find("restart")->at);
    TRY(policy["MaximumRetryCount"], as_int(count, service.path() + ".restart"));
  }
  const Value* deploy = service.config.find("deploy");
  const Value* wanted = deploy == nullptr ? nullptr : deploy->find("restart_policy");
  if (restart.empty() && wanted != nullptr) {
    TRY(std::string condition,
        text_of(*wanted, "condition", service.path() + ".deploy.restart_policy", "any"));
    policy["Name"] = condition == "none" ? "no" : condition == "on-failure" ? "on-failure" : "always";
    TRY(auto attempts, int_of(*wanted, "max_attempts", service.path() + ".deploy.restart_policy"));
    if (attempts && condition == "on-failure") policy["MaximumRetryCount"] = *attempts;
  }
  host["RestartPolicy"] = std::move(policy);
  return {};
}

Result<Json> mount_of(const Project& project, const Value& volume, const std::string& path) {
  Json mount{{"Type", volume.find("type")->text}, {"Target", volume.find("target")->text}};
  std::string type = volume.find("type")->text;
  TRY(std::string source, text_of(volume, "source", path));
  if (type == "volume" && !source.empty()) {
    auto known = project.volumes.find(source);
    if (known != project.volumes.end()) source = known->second.name;
  }
  if (!source.empty()) mount["Source"] = source;
  CHECK(Copier(volume, path, mount).flag("read_only", "ReadOnly").text("consistency", "Consistency").done());
  if (const Value* bind = volume.find("bind"); bind != nullptr && type == "bind") {
    Json options = Json::object();
    CHECK(Copier(*bind, path + ".bind", options)
              .text("propagation", "Propagation")
              .flag("create_host_path", "CreateMountpoint")
              .done());
    TRY(std::string recursive, text_of(*bind, "recursive", path + ".bind"));
    if (recursive == "disabled") options["NonRecursive"] = true;
    if (recursive == "writable") options["ReadOnlyNonRecursive"] = true;
    if (recursive == "readonly") options["ReadOnlyForceRecursive"] = true;
    mount["BindOptions"] = std::move(options);
  }
  if (const Value* own = volume.find("volume"); own != nullptr && type == "volume") {
    Json options = Json::object();
    CHECK(Copier(*own, path + ".volume", options)
              .flag("nocopy", "NoCopy")
              .text("subpath", "Subpath")
              .map("labels", "Labels")
              .done());
    mount["VolumeOptions"] = std::move(options);
  }
  if (const Value* tmpfs = volume.find("tmpfs"); tmpfs != nullptr && type == "tmpfs") {
    Json options = Json::object();
    CHECK(Copier(*tmpfs, path + ".tmpfs", options).bytes("size", "SizeBytes").done());
    if (const Value* mode = tmpfs->find("mode"))
      options["Mode"] = std::strtol(mode->text.c_str(), nullptr, mode->text.starts_with("0") ? 8 : 10);
    mount["TmpfsOptions"] = std::move(options);
  }
  if (const Value* image = volume.find("image"); image != nullptr && type == "image") {
    Json options = Json::object();
    CHECK(Copier(*image, path + ".image", options).text("subpath", "Subpath").done());
    mount["ImageOptions"] = std::move(options);
  }
  return mount;
}

std::string grant_target(const Value& grant, std::string_view folder) {
  const Value* target = grant.find("target");
  std::string name = target != nullptr ? target->text : grant.find("source")->text;
  return name.starts_with('/') ? name : fmt::format("{}/{}", folder == "/" ? "" : folder, name);
}

Result<void> add_grants(const Service& service, std::string_view key,
                        const std::map<std::string, Resource>& resources, std::string_view folder,
                        Json& host) {
  const Value* grants = service.config.find(key);
  if (grants == nullptr) return {};
  for (const Value& grant : grants->items) {
    auto found = resources.find(grant.find("source")->text);
    if (found == resources.end()) continue;
    const Resource& resource = found->second;
    if (resource.external) {
      return complaint(
          grant, fmt::format("{}.{}", service.path(), key),
          fmt::format("\"{}\" is external, which only a swarm has: use file, environment or content",
                      resource.key));
    }
    const Value* file = resource.config.find("file");
    if (file == nullptr) continue;
    if (!std::filesystem::exists(file->text)) {
      return complaint(*file, fmt::format("{}.{}.file", key, resource.key),
                       fmt::format("{} does not exist", file->text));
    }
    host["Mounts"].push_back({{"Type", "bind"},
                              {"Source", file->text},
                              {"Target", grant_target(grant, folder)},
                              {"ReadOnly", true}});
  }
  return {};
}

Result<void> add_injected(const Project& project, const Service& service, std::string_view key,
                          const std::map<std::string, Resource>& resources, std::string_view folder,
                          std::vector<InjectedFile>& out) {
  const Value* grants = service.config.find(key);
  if (grants == nullptr) return {};
  for (const Value& grant : grants->items) {
    auto found = resources.find(grant.find("source")->text);
    if (found == resources.end() || found->second.config.find("file") != nullptr) continue;
    std::string path = fmt::format("{}.{}", key, found->first);
    InjectedFile file{.target = grant_target(grant, folder)};
    if (const Value* variable = found->second.config.find("environment")) {
      auto value = project.environment.find(variable->text);
      if (value == project.environment.end()) {
        return complaint(*variable, path + ".environment",
                         fmt::format("environment variable \"{}\" is not set", variable->text));
      }
      file.content = value->second;
    } else if (const Value* content = found->second.config.find("content")) {
      file.content = content->text;
    } else {
      return complaint(found->second.config, path, "needs a file, environment or content");
    }
    TRY(auto uid, int_of(grant, "uid", path));
    TRY(auto gid, int_of(grant, "gid", path));
    file.uid = uid.value_or(0);
    file.gid = gid.value_or(0);
    if (const Value* mode = grant.find("mode")) {
      file.mode =
          static_cast<uint32_t>(std::strtoul(mode->text.c_str() + (mode->text.starts_with("0o") ? 2 : 0),
                                             nullptr, mode->text.starts_with("0") ? 8 : 10)) &
          07777;
    }
    out.push_back(std::move(file));
  }
  return {};
}

}  // namespace

Result<void> add_program(const Service& service, Json& body) {
  CHECK(Copier(service.config, service.path(), body)
            .text("hostname", "Hostname")
            .text("domainname", "Domainname")
            .text("user", "User")
            .text("working_dir", "WorkingDir")
            .text("mac_address", "MacAddress")
            .text("stop_signal", "StopSignal")
            .texts("command", "Cmd")
            .texts("entrypoint", "Entrypoint")
            .flag("tty", "Tty")
            .flag("stdin_open", "OpenStdin")
            .done());
  body["AttachStdout"] = true;
  body["AttachStderr"] = true;
  if (const Value* grace = service.config.find("stop_grace_period")) {
    TRY(int64_t nanoseconds, as_duration(*grace, service.path() + ".stop_grace_period"));
    body["StopTimeout"] = static_cast<int64_t>(std::ceil(static_cast<double>(nanoseconds) / 1e9));
  }
  return add_healthcheck(service, body);
}

Result<void> add_security(const Service& service, Json& host) {
  CHECK(Copier(service.config, service.path(), host)
            .texts("cap_add", "CapAdd")
            .texts("cap_drop", "CapDrop")
            .texts("group_add", "GroupAdd")
            .texts("security_opt", "SecurityOpt")
            .texts("device_cgroup_rules", "DeviceCgroupRules")
            .flag("privileged", "Privileged")
            .flag("read_only", "ReadonlyRootfs")
            .done());
  return add_devices(service, host);
}

Result<void> add_limits(const Service& service, Json& host) {
  CHECK(Copier(service.config, service.path(), host)
            .bytes("mem_limit", "Memory")
            .bytes("mem_reservation", "MemoryReservation")
            .bytes("memswap_limit", "MemorySwap")
            .integer("mem_swappiness", "MemorySwappiness")
            .flag("oom_kill_disable", "OomKillDisable")
            .integer("oom_score_adj", "OomScoreAdj")
            .integer("pids_limit", "PidsLimit")
            .integer("cpu_shares", "CpuShares")
            .integer("cpu_quota", "CpuQuota")
            .integer("cpu_period", "CpuPeriod")
            .integer("cpu_rt_runtime", "CpuRealtimeRuntime")
            .integer("cpu_rt_period", "CpuRealtimePeriod")
            .text("cpuset", "CpusetCpus")
            .text("cgroup_parent", "CgroupParent")
            .bytes("shm_size", "ShmSize")
            .done());
  if (const Value* cpus = service.config.find("cpus")) CHECK(add_cpus(*cpus, service.path() + ".cpus", host));
  CHECK(add_deploy_limits(service, host));
  CHECK(add_block_io(service, host));
  return add_ulimits(service, host);
}

Result<void> add_surroundings(const Service& service, Json& host) {
  CHECK(Copier(service.config, service.path(), host)
            .texts("dns", "Dns")
            .texts("dns_search", "DnsSearch")
            .texts("dns_opt", "DnsOptions")
            .texts("extra_hosts", "ExtraHosts")
            .map("sysctls", "Sysctls")
            .map("storage_opt", "StorageOpt")
            .map("annotations", "Annotations")
            .flag("init", "Init")
            .text("runtime", "Runtime")
            .text("isolation", "Isolation")
            .done());
  if (const Value* logging = service.config.find("logging")) {
    Json config = Json::object();
    CHECK(Copier(*logging, service.path() + ".logging", config)
              .text("driver", "Type")
              .map("options", "Config")
              .done());
    host["LogConfig"] = std::move(config);
  }
  return add_restart(service, host);
}

Result<void> add_mounts(const Project& project, const Service& service,
                        const std::map<std::string, std::string>& kept, Json& host) {
  Json mounts = Json::array();
  if (const Value* volumes = service.config.find("volumes")) {
    for (const Value& volume : volumes->items) {
      TRY(Json mount, mount_of(project, volume, service.path() + ".volumes"));
      auto known = kept.find(mount["Target"].get<std::string>());
      if (mount["Type"] == "volume" && !mount.contains("Source") && known != kept.end())
        mount["Source"] = known->second;
      mounts.push_back(std::move(mount));
    }
  }
  // Volumes that the image declares and the replaced container had.
  for (const auto& [target, volume] : kept) {
    bool placed = std::any_of(mounts.begin(), mounts.end(),
                              [&](const Json& mount) { return mount["Target"] == target; });
    if (!placed) mounts.push_back({{"Type", "volume"}, {"Source", volume}, {"Target", target}});
  }
  host["Mounts"] = std::move(mounts);
  CHECK(add_grants(service, "secrets", project.secrets, "/run/secrets", host));
  CHECK(add_grants(service, "configs", project.configs, "/", host));
  TRY(Strings tmpfs, texts_of(service.config, "tmpfs", service.path()));
  for (const std::string& entry : tmpfs) {
    size_t colon = entry.find(':');
    host["Tmpfs"][entry.substr(0, colon)] = colon == std::string::npos ? "" : entry.substr(colon + 1);
  }
  return {};
}

Result<std::vector<InjectedFile>> injected_files(const Project& project, const Service& service) {
  std::vector<InjectedFile> files;
  CHECK(add_injected(project, service, "secrets", project.secrets, "/run/secrets", files));
  CHECK(add_injected(project, service, "configs", project.configs, "/", files));
  return files;
}

Result<Json> network_body(const Project& project, const Resource& network) {
  std::string path = "networks." + network.key;
  Json body{{"Name", network.name}, {"Attachable", true}};
  CHECK(Copier(network.config, path, body)
            .text("driver", "Driver")
            .map("driver_opts", "Options")
            .flag("internal", "Internal")
            .flag("attachable", "Attachable")
            .flag("enable_ipv6", "EnableIPv6")
            .flag("enable_ipv4", "EnableIPv4")
            .done());
  if (!body.contains("Driver")) body["Driver"] = "bridge";
  if (const Value* ipam = network.config.find("ipam")) {
    Json settings = Json::object();
    CHECK(Copier(*ipam, path + ".ipam", settings).text("driver", "Driver").map("options", "Options").done());
    const Value* pools = ipam->find("config");
    for (const Value& pool : pools == nullptr ? Value::List() : pools->items) {
      Json config = Json::object();
      CHECK(Copier(pool, path + ".ipam.config", config)
                .text("subnet", "Subnet")
                .text("ip_range", "IPRange")
                .text("gateway", "Gateway")
                .map("aux_addresses", "AuxiliaryAddresses")
                .done());
      settings["Config"].push_back(std::move(config));
    }
    body["IPAM"] = std::move(settings);
  }
  TRY(auto labels, text_map_of(network.config, "labels", path));
  labels[std::string(label_project)] = project.name;
  labels[std::string(label_network)] = network.key;
  labels[std::string(label_version)] = compose_version;
  labels[std::string(label_hash)] = resource_hash(network);
  body["Labels"] = labels;
  return body;
}

Result<Json> volume_body(const Project& project, const Resource& volume) {
  std::string path = "volumes." + volume.key;
  Json body{{"Name", volume.name}};
  CHECK(Copier(volume.config, path, body).text("driver", "Driver").map("driver_opts", "DriverOpts").done());
  TRY(auto labels, text_map_of(volume.config, "labels", path));
  labels[std::string(label_project)] = project.name;
  labels[std::string(label_volume)] = volume.key;
  labels[std::string(label_version)] = compose_version;
  labels[std::string(label_hash)] = resource_hash(volume);
  body["Labels"] = labels;
  return body;
}

}  // namespace berth::cli::compose
