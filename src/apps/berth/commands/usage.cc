// Numbers from samples.
#include "apps/berth/commands/usage.h"

#include <algorithm>

#include "base/json.h"

namespace berth::cli::commands {
namespace {

const Json& member(const Json& object, const char* key) {
  static const Json nothing = Json::object();
  auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

double number(const Json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

double cpu_percent(const Json& sample) {
  const Json& now = member(sample, "cpu_stats");
  const Json& before = member(sample, "precpu_stats");
  double used =
      number(member(now, "cpu_usage"), "total_usage") - number(member(before, "cpu_usage"), "total_usage");
  double passed = number(now, "system_cpu_usage") - number(before, "system_cpu_usage");
  double cpus = number(now, "online_cpus");
  if (cpus == 0) {
    const Json& each = member(member(now, "cpu_usage"), "percpu_usage");
    cpus = each.is_array() ? static_cast<double>(each.size()) : 0;
  }
  return passed > 0 && used > 0 ? used / passed * cpus * 100 : 0;
}

double memory_in_use(const Json& memory) {
  double usage = number(memory, "usage");
  const Json& stats = member(memory, "stats");
  // cgroup v1 and v2 name it differently.
  for (const char* key : {"total_inactive_file", "inactive_file"}) {
    double cache = number(stats, key);
    if (stats.contains(key) && cache < usage) return usage - cache;
  }
  return usage;
}

}  // namespace

Usage usage_of(const Json& sample) {
  Usage usage;
  usage.id = json_string(sample, "id").value_or("");
  usage.name = json_string(sample, "name").value_or("");
  usage.cpu_percent = cpu_percent(sample);
  const Json& memory = member(sample, "memory_stats");
  usage.memory = memory_in_use(memory);
  usage.memory_limit = number(memory, "limit");
  if (usage.memory_limit > 0) usage.memory_percent = usage.memory / usage.memory_limit * 100;
  const Json& networks = member(sample, "networks");
  if (networks.is_object()) {
    for (const auto& [name, network] : networks.items()) {
      usage.network_received += number(network, "rx_bytes");
      usage.network_sent += number(network, "tx_bytes");
    }
  }
  const Json& blocks = member(member(sample, "blkio_stats"), "io_service_bytes_recursive");
  if (blocks.is_array()) {
    for (const Json& entry : blocks) {
      std::string operation = json_string(entry, "op").value_or("");
      auto bytes = static_cast<uint64_t>(std::max(0.0, number(entry, "value")));
      if (operation.starts_with('r') || operation.starts_with('R')) usage.block_read += bytes;
      if (operation.starts_with('w') || operation.starts_with('W')) usage.block_written += bytes;
    }
  }
  usage.processes = static_cast<uint64_t>(std::max(0.0, number(member(sample, "pids_stats"), "current")));
  return usage;
}

}  // namespace berth::cli::commands
