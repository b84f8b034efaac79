// Containers that end with their engine (--live-restore=false).
#include "base/log.h"
#include "engine/lifecycle.h"
#include "io/task_group.h"

namespace berth::engine {
namespace {

io::Task<void> stop_one(Core& core, ContainerHandle container) {
  Status status = container->record.state.status;
  // What is only being started has nothing yet that a signal would tell anything.
  io::Task<Result<void>> end = status == Status::Running || status == Status::Paused
                                   ? stop_container(core, container, {}, StopReason::Engine)
                                   : kill_container(core, container, StopReason::Engine);
  auto ended = co_await std::move(end);
  if (!ended) log::warn("container {}: {}", container->record.short_id(), ended.error().message());
}

}  // namespace

io::Task<void> stop_with_engine(Core& core) {
  io::TaskGroup stopping;
  for (const ContainerHandle& container : core.containers.all()) {
    if (container->run) stopping.spawn(stop_one(core, container));
  }
  io::Task<void> all = stopping.wait_until_empty();
  co_await std::move(all);
}

}  // namespace berth::engine
