// The metrics' text.
#include "api/docker/metrics.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/format.h"
#include "sys/file.h"

namespace berth::api {
namespace {

void declare(std::string& text, std::string_view name, std::string_view type, std::string_view help) {
  text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void add_engine(std::string& text, const engine::SystemInfo& info) {
  declare(text, "engine_daemon_engine_info", "gauge", "The engine and its host");
  text += fmt::format(
      "engine_daemon_engine_info{{architecture=\"{}\",daemon_id=\"{}\",graphdriver=\"{}\",kernel=\"{}\",os="
      "\"{}\","
      "os_type=\"linux\",version=\"{}\"}} 1\n",
      escaped_label(info.architecture), escaped_label(info.id), escaped_label(info.driver),
      escaped_label(info.kernel_version), escaped_label(info.operating_system), BERTH_VERSION);
  declare(text, "engine_daemon_engine_cpus_cpus", "gauge", "CPUs of the host");
  text += fmt::format("engine_daemon_engine_cpus_cpus {}\n", info.cpus);
  declare(text, "engine_daemon_engine_memory_bytes", "gauge", "Memory of the host");
  text += fmt::format("engine_daemon_engine_memory_bytes {}\n", info.memory);
  declare(text, "engine_daemon_container_states_containers", "gauge", "Containers by state");
  for (auto [state, count] : {std::pair("running", info.running), std::pair("paused", info.paused),
                              std::pair("stopped", info.stopped)}) {
    text += fmt::format("engine_daemon_container_states_containers{{state=\"{}\"}} {}\n", state, count);
  }
  declare(text, "engine_daemon_events_total", "counter", "Events published");
  text += fmt::format("engine_daemon_events_total {}\n", info.events);
  declare(text, "engine_daemon_events_subscribers_total", "gauge", "Clients that follow events");
  text += fmt::format("engine_daemon_events_subscribers_total {}\n", info.event_listeners);
  declare(text, "engine_daemon_health_checks_total", "counter", "Health probes run");
  text += fmt::format("engine_daemon_health_checks_total {}\n", info.health_checks);
  declare(text, "engine_daemon_health_checks_failed_total", "counter", "Health probes that failed");
  text += fmt::format("engine_daemon_health_checks_failed_total {}\n", info.failed_health_checks);
  declare(text, "berth_images", "gauge", "Images in the store");
  text += fmt::format("berth_images {}\n", info.images);
}

void add_process(std::string& text, const engine::SystemInfo& info) {
  declare(text, "process_open_fds", "gauge", "Open descriptors of the engine");
  text += fmt::format("process_open_fds {}\n", info.open_files);
  auto status = sys::read_file("/proc/self/statm", 4096);
  unsigned long long size = 0;
  unsigned long long resident = 0;
  if (!status || std::sscanf(status->c_str(), "%llu %llu", &size, &resident) != 2) return;
  declare(text, "process_resident_memory_bytes", "gauge", "Resident memory of the engine");
  text += fmt::format("process_resident_memory_bytes {}\n",
                      resident * static_cast<unsigned long long>(::sysconf(_SC_PAGESIZE)));
}

struct Row {
  std::string labels;
  engine::StatsSample sample;
};

io::Task<std::vector<Row>> sample_all(engine::Engine& engine) {
  std::vector<Row> rows;
  auto running = engine.containers().list({});
  if (!running) co_return rows;
  for (const engine::ContainerPtr& container : *running) {
    auto stream = engine.containers().stats(container->id);
    if (!stream) continue;
    auto sample = co_await (*stream)->sample();
    if (!sample || to_unix_nanoseconds(sample->read) == 0) continue;
    rows.push_back({fmt::format("id=\"{}\",name=\"{}\",image=\"{}\"", container->id, container->name,
                                escaped_label(container->config.image)),
                    std::move(*sample)});
  }
  co_return rows;
}

/// As "docker stats" counts: without the cache that can be given up at any time.
uint64_t working_set(const engine::StatsSample& sample) {
  const auto& memory = sample.cgroup.memory;
  for (const char* key : {"total_inactive_file", "inactive_file"}) {
    if (auto found = memory.stat.find(key); found != memory.stat.end())
      return memory.usage - std::min(memory.usage, found->second);
  }
  return memory.usage;
}

void add_containers(std::string& text, const std::vector<Row>& rows) {
  auto series = [&](std::string_view name, std::string_view type, std::string_view help, auto value) {
    declare(text, name, type, help);
    for (const Row& row : rows) text += fmt::format("{}{{{}}} {}\n", name, row.labels, value(row.sample));
  };
  using engine::StatsSample;
  series("container_cpu_usage_seconds_total", "counter", "CPU time used",
         [](const StatsSample& s) { return static_cast<double>(s.cgroup.cpu.total_ns) / 1e9; });
  series("container_memory_usage_bytes", "gauge", "Memory used, caches included",
         [](const StatsSample& s) { return s.cgroup.memory.usage; });
  series("container_memory_working_set_bytes", "gauge", "Memory used, without caches that can be given up",
         [](const StatsSample& s) { return working_set(s); });
  series("container_spec_memory_limit_bytes", "gauge", "Memory limit; the host's without one",
         [](const StatsSample& s) { return std::min(s.cgroup.memory.limit, s.host_memory); });
  auto network = [&](std::string_view name, std::string_view help, uint64_t engine::InterfaceStats::*field) {
    declare(text, name, "counter", help);
    for (const Row& row : rows) {
      for (const auto& [interface, counters] : row.sample.networks) {
        text += fmt::format("{}{{{},interface=\"{}\"}} {}\n", name, row.labels, interface, counters.*field);
      }
    }
  };
  network("container_network_receive_bytes_total", "Bytes received", &engine::InterfaceStats::rx_bytes);
  network("container_network_transmit_bytes_total", "Bytes sent", &engine::InterfaceStats::tx_bytes);
}

}  // namespace

std::string escaped_label(std::string_view value) {
  std::string text;
  for (char c : value) {
    if (c == '\\' || c == '"') text.push_back('\\');
    if (c == '\n') {
      text += "\\n";
    } else {
      text.push_back(c);
    }
  }
  return text;
}

void Metrics::count(std::string_view method, int status) {
  constexpr std::array<std::string_view, 6> known = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"};
  bool is_known = std::find(known.begin(), known.end(), method) != known.end();
  ++requests_[{std::string(is_known ? method : "other"), status}];
}

io::Task<std::string> Metrics::text(engine::Engine& engine) const {
  std::string text;
  auto info = co_await engine.system().info();
  add_engine(text, info);
  declare(text, "berth_http_requests_total", "counter", "Requests answered, by method and status");
  for (const auto& [key, count] : requests_) {
    text += fmt::format("berth_http_requests_total{{method=\"{}\",code=\"{}\"}} {}\n", key.first, key.second,
                        count);
  }
  add_process(text, info);
  io::Task<std::vector<Row>> sampling = sample_all(engine);
  std::vector<Row> rows = co_await std::move(sampling);
  add_containers(text, rows);
  co_return text;
}

}  // namespace berth::api
