// A container that runs out of memory: docker's oom event, and, when one of its processes was killed for it,
// State.OOMKilled.
#include <unistd.h>

#include <chrono>

#include "base/log.h"
#include "engine/lifecycle.h"
#include "sys/file.h"

namespace berth::engine {
namespace {

using namespace std::chrono_literals;

// cgroup v1 tells of a shortage before it counts the kill that follows.
constexpr auto kSoon = 20ms;
constexpr int kLooks = 100;

bool is_over(const Run& run) {
  return run.exited.is_set() || !run.cgroup;
}

/// Of a container without the kernel's killer: the file that says of cgroup v1's memory group whether it is
/// short of memory; empty: there is none.
std::string shortage_file(const Core& core, const ContainerRecord& record, const sys::Cgroup& cgroup) {
  bool waits = record.host_config.resources.oom_kill_disable.value_or(false);
  if (!waits || core.cgroups->version() == sys::CgroupVersion::V2) return {};
  for (const auto& [directory, controllers] : cgroup.directories()) {
    if (("," + controllers + ",").find(",memory,") != std::string::npos)
      return directory + "/memory.oom_control";
  }
  return {};
}

/// Without the kernel's killer processes wait for memory that others may free: nothing is counted then, and
/// the group says how it stands.
bool is_short(const std::string& file) {
  auto text = sys::read_file(file, 4096);
  return text && text->find("oom_kill_disable 1") != text->npos && text->find("under_oom 1") != text->npos;
}

io::Task<void> watch(Core& core, ContainerHandle container, std::shared_ptr<Run> run, sys::UniqueFd events) {
  if (!run->cgroup) co_return;  // A quick container has ended before this task begins.
  uint64_t seen = 0;
  if (auto count = run->cgroup->oom_kills()) seen = *count;
  const std::string shortage = shortage_file(core, container->record, *run->cgroup);
  char buffer[1024];
  while (!is_over(*run)) {
    auto readable = co_await core.loop.readable(events.get());
    if (!readable || is_over(*run)) co_return;
    // An eventfd or inotify descriptor; what it holds says nothing more than "look".
    [[maybe_unused]] ssize_t drained = ::read(events.get(), buffer, sizeof buffer);
    auto count = run->cgroup->oom_kills();
    bool waits = !shortage.empty() && is_short(shortage);
    for (int look = 0; count && *count <= seen && !waits && look < kLooks; ++look) {
      co_await core.loop.sleep_for(kSoon);
      if (is_over(*run)) co_return;
      count = run->cgroup->oom_kills();
      waits = !shortage.empty() && is_short(shortage);
    }
    if (waits) core.publish(container->record, "oom");
    if (!count) co_return;
    if (*count <= seen) continue;
    seen = *count;
    container->record.state.oom_killed = true;
    core.save_state(container->record);
    core.publish(container->record, "oom");
  }
}

}  // namespace

void watch_memory(Core& core, const ContainerHandle& container) {
  if (container->record.host_config.resources.memory <= 0 || !container->run->cgroup) return;
  auto events = container->run->cgroup->watch_oom();
  if (!events) {
    log::debug("container {}: {}", container->record.short_id(), events.error().message());
    return;
  }
  core.tasks.spawn(watch(core, container, container->run, std::move(*events)));
}

}  // namespace berth::engine
