// Out-of-memory kills while a container runs on: docker's oom event, and State.OOMKilled.
#include <unistd.h>

#include <chrono>

#include "base/log.h"
#include "engine/lifecycle.h"

namespace berth::engine {
namespace {

using namespace std::chrono_literals;

// cgroup v1 tells of a shortage before it counts the kill that follows.
constexpr auto kSoon = 20ms;
constexpr int kLooks = 100;

bool is_over(const Run& run) {
  return run.exited.is_set() || !run.cgroup;
}

io::Task<void> watch(Core& core, ContainerHandle container, std::shared_ptr<Run> run, sys::UniqueFd events) {
  if (!run->cgroup) co_return;  // A quick container has ended before this task begins.
  uint64_t seen = 0;
  if (auto count = run->cgroup->oom_kills()) seen = *count;
  char buffer[1024];
  while (!is_over(*run)) {
    auto readable = co_await core.loop.readable(events.get());
    if (!readable || is_over(*run)) co_return;
    // An eventfd or inotify descriptor; what it holds says nothing more than "look".
    [[maybe_unused]] ssize_t drained = ::read(events.get(), buffer, sizeof buffer);
    auto count = run->cgroup->oom_kills();
    for (int look = 0; count && *count <= seen && look < kLooks; ++look) {
      co_await core.loop.sleep_for(kSoon);
      if (is_over(*run)) co_return;
      count = run->cgroup->oom_kills();
    }
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
