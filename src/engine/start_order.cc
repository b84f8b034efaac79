// Dependencies between containers.
#include "engine/start_order.h"

#include <algorithm>
#include <functional>
#include <set>

#include "base/format.h"
#include "base/log.h"
#include "engine/lifecycle.h"
#include "engine/links.h"
#include "io/cancel.h"

namespace berth::engine {
namespace {

using namespace std::chrono_literals;

/// A dependency that does not come up holds the others no longer than this.
constexpr auto longest_wait = 120s;
constexpr const char* kProject = "com.docker.compose.project";
constexpr const char* kService = "com.docker.compose.service";
constexpr const char* kDependsOn = "com.docker.compose.depends_on";

std::string label(const ContainerRecord& record, const char* name) {
  auto found = record.config.labels.find(name);
  return found == record.config.labels.end() ? std::string() : found->second;
}

void add_services(const Core& core, const ContainerRecord& record, std::vector<StartDependency>& found) {
  std::string project = label(record, kProject);
  if (project.empty()) return;
  for (const ServiceDependency& wanted : parse_depends_on(label(record, kDependsOn))) {
    for (const ContainerHandle& other : core.containers.all()) {
      const ContainerRecord& theirs = other->record;
      bool is_it = label(theirs, kProject) == project && label(theirs, kService) == wanted.service;
      if (is_it && theirs.id != record.id) found.push_back({theirs.id, wanted.until});
    }
  }
}

/// Whether it will run without anybody asking for it now.
bool is_on_its_way(const Container& container) {
  return container.record.state.status == Status::Restarting ||
         (container.run != nullptr && !container.run->settled.is_set());
}

bool is_there(const Container& container, StartDependency::Until until) {
  const ContainerState& state = container.record.state;
  bool runs = state.status == Status::Running || state.status == Status::Paused;
  if (!runs || until == StartDependency::Until::Started) return runs;
  return state.health.status == HealthStatus::None || state.health.status == HealthStatus::Healthy;
}

/// Worth waiting for: it starts, or its health check has not decided yet.
bool may_come(const Container& container) {
  bool starting = container.record.state.status == Status::Running &&
                  container.record.state.health.status == HealthStatus::Starting;
  return !container.removed && (is_on_its_way(container) || starting);
}

io::Task<Result<bool>> until_there(Core& core, ContainerHandle other, StartDependency::Until until) {
  EventLog::Query query;
  query.filters = {{"container", {other->record.id}},
                   {"event", {"start", "die", "destroy", "health_status"}}};
  auto subscription = core.events.subscribe(std::move(query));
  while (!is_there(*other, until) && may_come(*other) && !core.closing) {
    auto event = co_await subscription.next();
    if (!event) break;
  }
  co_return true;
}

}  // namespace

std::vector<ServiceDependency> parse_depends_on(std::string_view text) {
  std::vector<ServiceDependency> services;
  while (!text.empty()) {
    std::string_view entry = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), entry.size() + 1));
    std::string_view name = entry.substr(0, entry.find(':'));
    if (name.empty()) continue;
    bool healthy = entry.find(":service_healthy") != std::string_view::npos;
    // What has to have run to its end has done so before the reboot.
    if (entry.find(":service_completed_successfully") != std::string_view::npos) continue;
    services.push_back(
        {std::string(name), healthy ? StartDependency::Until::Healthy : StartDependency::Until::Started});
  }
  return services;
}

std::vector<StartDependency> start_dependencies(const Core& core, const ContainerRecord& record) {
  std::vector<StartDependency> found;
  auto add = [&](std::string_view reference) {
    auto other = core.containers.find(reference);
    if (other && (*other)->record.id != record.id) found.push_back({(*other)->record.id});
  };
  const spec::HostConfig& host = record.host_config;
  for (const std::string* mode : {&host.network_mode, &host.ipc_mode, &host.pid_mode}) {
    if (mode->starts_with("container:")) add(std::string_view(*mode).substr(10));
  }
  for (const std::string& text : host.links) {
    if (auto link = parse_link(text)) add(link->container);
  }
  add_services(core, record, found);
  return found;
}

std::vector<ContainerHandle> in_start_order(const Core& core,
                                            const std::vector<ContainerHandle>& containers) {
  std::vector<ContainerHandle> ordered;
  std::set<std::string> seen;
  std::function<void(const ContainerHandle&)> visit = [&](const ContainerHandle& container) {
    if (!seen.insert(container->record.id).second) return;
    for (const StartDependency& needed : start_dependencies(core, container->record)) {
      for (const ContainerHandle& other : containers) {
        if (other->record.id == needed.container_id) visit(other);
      }
    }
    ordered.push_back(container);
  };
  for (const ContainerHandle& container : containers) visit(container);
  return ordered;
}

io::Task<void> await_dependencies(Core& core, ContainerHandle container) {
  auto deadline = std::chrono::steady_clock::now() + longest_wait;
  for (const StartDependency& needed : start_dependencies(core, container->record)) {
    ContainerHandle other = core.containers.by_id(needed.container_id);
    if (!other || is_there(*other, needed.until) || !may_come(*other)) continue;
    io::Task<Result<bool>> waiting = until_there(core, other, needed.until);
    auto came = co_await io::with_deadline(std::move(waiting), deadline);
    if (!came) {
      log::warn("container {}: started without {}, which is not up after {} s", container->record.short_id(),
                other->record.name, std::chrono::seconds(longest_wait).count());
    }
  }
}

}  // namespace berth::engine
