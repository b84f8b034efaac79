// Samples of a container's resource use.
#include "engine/stats.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "engine/core.h"
#include "sys/file.h"
#include "sys/namespace_members.h"

namespace berth::engine {
namespace {

using namespace std::chrono_literals;

/// The first line of /proc/stat: the time all cpus have spent, in nanoseconds.
uint64_t system_cpu_time() {
  auto text = sys::read_file("/proc/stat", size_t{1} << 20);
  if (!text) return 0;
  unsigned long long fields[7] = {};
  int count = std::sscanf(text->c_str(), "cpu %llu %llu %llu %llu %llu %llu %llu", &fields[0], &fields[1],
                          &fields[2], &fields[3], &fields[4], &fields[5], &fields[6]);
  uint64_t ticks = 0;
  for (int i = 0; i < count; ++i) ticks += fields[i];
  return ticks * (1'000'000'000 / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK)));
}

InterfaceStats interface_stats(const sys::LinkStatistics& link) {
  InterfaceStats stats;
  stats.rx_bytes = link.rx_bytes;
  stats.rx_packets = link.rx_packets;
  stats.rx_errors = link.rx_errors;
  stats.rx_dropped = link.rx_dropped;
  stats.tx_bytes = link.tx_bytes;
  stats.tx_packets = link.tx_packets;
  stats.tx_errors = link.tx_errors;
  stats.tx_dropped = link.tx_dropped;
  return stats;
}

/// Without control groups the kernel keeps no account of a container: its processes are added up.
void add_up_processes(pid_t init, sys::CgroupStats& stats) {
  auto usage = sys::usage_of_processes(sys::pid_namespace_members(init));
  stats.cpu.user_ns = usage.user_ns;
  stats.cpu.kernel_ns = usage.kernel_ns;
  stats.cpu.total_ns = usage.user_ns + usage.kernel_ns;
  stats.memory.usage = usage.resident_bytes;
  stats.memory.limit = UINT64_MAX;
  stats.pids = usage.processes;
}

class ContainerStatsStream : public StatsStream {
 public:
  ContainerStatsStream(Core& core, ContainerHandle container)
      : core_(core), container_(std::move(container)) {}

  io::Task<Result<StatsSample>> sample() override {
    last_ = std::chrono::steady_clock::now();
    co_return take();
  }

  io::Task<Result<std::optional<StatsSample>>> next() override {
    co_await core_.loop.sleep_until(last_ + 1s);
    last_ = std::chrono::steady_clock::now();
    if (container_->removed) co_return std::optional<StatsSample>();
    CO_TRY(StatsSample sample, take());
    co_return std::optional<StatsSample>(std::move(sample));
  }

 private:
  Result<StatsSample> take() {
    StatsSample sample;
    const std::shared_ptr<Run>& run = container_->run;
    if (run == nullptr || run->cgroup == nullptr || !is_alive(container_->record.state.status)) return sample;
    auto stats = run->cgroup->stats();
    if (!stats) {
      // It ended between the look and the reading.
      if (stats.error().kind() == Kind::NotFound) return sample;
      return std::move(stats).error();
    }
    sample.cgroup = std::move(*stats);
    if (core_.cgroups->version() == sys::CgroupVersion::None) add_up_processes(run->pid, sample.cgroup);
    sample.read = now();
    sample.system_cpu_ns = system_cpu_time();
    sample.online_cpus = core_.cgroups->features().cpu_count;
    sample.host_memory =
        static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    sample.cgroup_v2 = core_.cgroups->version() == sys::CgroupVersion::V2;
    for (const network::EndpointRecord* endpoint :
         core_.network->endpoints_of_container(container_->record.id)) {
      if (endpoint->host_link.empty()) continue;
      auto counters = core_.network->statistics(endpoint->id);
      if (counters) sample.networks.emplace(endpoint->interface, interface_stats(*counters));
    }
    return sample;
  }

  Core& core_;
  ContainerHandle container_;
  io::SteadyTime last_{};
};

}  // namespace

Result<std::unique_ptr<StatsStream>> Containers::stats(std::string_view reference) {
  TRY(ContainerHandle container, core_.containers.find(reference));
  return std::unique_ptr<StatsStream>(new ContainerStatsStream(core_, std::move(container)));
}

io::Task<Result<ProcessTable>> Containers::top(std::string reference, std::string ps_arguments) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  if (container->run == nullptr || !is_alive(container->record.state.status)) {
    co_return Error(Kind::WrongState, "container " + container->record.id + " is not running");
  }
  if (container->record.state.status == Status::Restarting) {
    co_return Error(Kind::WrongState, "Container " + container->record.id +
                                          " is restarting, wait until the container is running");
  }
  std::vector<int> pids;
  if (container->run->cgroup != nullptr) {
    CO_TRY(auto members, container->run->cgroup->pids());
    pids.assign(members.begin(), members.end());
  }
  if (pids.empty()) pids = sys::pid_namespace_members(container->run->pid);
  if (pids.empty()) pids.push_back(container->run->pid);
  CO_TRY(ProcessTable table, process_table(pids, ps_arguments));
  core_.publish(container->record, "top");
  co_return table;
}

}  // namespace berth::engine
