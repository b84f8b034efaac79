#include "apps/berth/compose/request_parts.h"

#include <algorithm>
#include <cmath>

#include "apps/berth/compose/config_hash.h"
#include "apps/berth/compose/copier.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/options/capabilities.h"
#include "apps/berth/options/quantity.h"
#include "base/format.h"
#include "base/json.h"
#include "spec/cdi.h"

namespace berth::cli::compose {
namespace {

using Strings = std::vector<std::string>;

Result<void> add_healthcheck(const Service& service, Json& body) {
  const Value* check = service.config.find("healthcheck");
  if (check == nullptr) return {};
  std::string path = service.path() + ".healthcheck";
  if (check->find("start_interval") != nullptr && check->find("start_period") == nullptr)
    return complaint(*check, service.path(),
                     "healthcheck.start_interval requires healthcheck.start_period to be set");
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
      TRY(std::string source, text_of(item, "source", service.path() + ".devices"));
      TRY(std::string target, text_of(item, "target", service.path() + ".devices", source));
      TRY(std::string permissions, text_of(item, "permissions", service.path() + ".devices", "rwm"));
      if (spec::is_cdi_name(source)) {
        host["DeviceRequests"].push_back({{"Driver", "cdi"}, {"DeviceIDs", {source}}});
        continue;
      }
      host["Devices"].push_back(
          {{"PathOnHost", source}, {"PathInContainer", target}, {"CgroupPermissions", permissions}});
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
            .texts("group_add", "GroupAdd")
            .texts("security_opt", "SecurityOpt")
            .texts("device_cgroup_rules", "DeviceCgroupRules")
            .flag("privileged", "Privileged")
            .flag("read_only", "ReadonlyRootfs")
            .done());
  TRY(Strings added, texts_of(service.config, "cap_add", service.path()));
  TRY(Strings dropped, texts_of(service.config, "cap_drop", service.path()));
  auto capabilities = options::effective_capabilities(added, dropped);
  if (!capabilities.add.empty()) host["CapAdd"] = capabilities.add;
  if (!capabilities.drop.empty()) host["CapDrop"] = capabilities.drop;
  return add_devices(service, host);
}

Result<void> add_limits(const Service& service, Json& host) {
  host["OomKillDisable"] = false;
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
            .map("sysctls", "Sysctls")
            .map("storage_opt", "StorageOpt")
            .map("annotations", "Annotations")
            .flag("init", "Init")
            .text("runtime", "Runtime")
            .text("isolation", "Isolation")
            .done());
  TRY(Strings hosts, texts_of(service.config, "extra_hosts", service.path()));
  for (std::string& line : hosts) host["ExtraHosts"].push_back(host_line(std::move(line)));
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

Result<Json> network_body(const Project& project, const Resource& network) {
  std::string path = "networks." + network.key;
  Json body{{"Name", network.name}};
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
  labels[std::string(label_hash)] = network_hash(network);
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
  labels[std::string(label_hash)] = volume_hash(volume);
  body["Labels"] = labels;
  return body;
}

}  // namespace berth::cli::compose
