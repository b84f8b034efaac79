// The table of sandboxes.
#include "engine/sandbox_table.h"

#include <algorithm>

#include "sys/cgroup_controls.h"

namespace berth::engine {
namespace {

struct Entry {
  Core* core;
  SandboxTable table;
};

/// Of the engines of this process: one, but in tests.
std::vector<std::unique_ptr<Entry>>& entries() {
  static std::vector<std::unique_ptr<Entry>> all;
  return all;
}

}  // namespace

SandboxTable& SandboxTable::of(const Core& core) {
  auto same = [&](const auto& entry) { return entry->core == &core; };
  auto found = std::find_if(entries().begin(), entries().end(), same);
  if (found != entries().end()) return (*found)->table;
  static SandboxTable none;  // a core that was never added has no sandboxes
  return none;
}

Core& SandboxTable::core_of(const Engine& engine) {
  // Engine keeps its core to itself; its options are the core's own.
  auto same = [&](const auto& entry) { return &entry->core->options == &engine.options(); };
  auto found = std::find_if(entries().begin(), entries().end(), same);
  return *(*found)->core;
}

void SandboxTable::add(Core& core) {
  entries().push_back(std::make_unique<Entry>(Entry{&core, {}}));
}

void SandboxTable::remove(const Core& core) {
  std::erase_if(entries(), [&](const auto& entry) { return entry->core == &core; });
}

SandboxLife* SandboxTable::find(std::string_view container_id) const {
  auto found = lives_.find(container_id);
  return found == lives_.end() ? nullptr : found->second.get();
}

void SandboxTable::insert(const std::string& container_id, std::shared_ptr<SandboxLife> life) {
  lives_[container_id] = std::move(life);
}

void SandboxTable::erase(std::string_view container_id) {
  auto found = lives_.find(container_id);
  if (found != lives_.end()) lives_.erase(found);
}

Result<void> wire_sandbox(const Core& core, const ContainerRecord& record, const sys::NetworkNamespace& netns,
                          launch::LaunchRequest& request) {
  SandboxLife* life = SandboxTable::of(core).find(record.id);
  if (life == nullptr) return {};
  request.inherits_stdio = life->wiring.stdio.size() == 3;
  if (life->wiring.start == SandboxStart::WhenReleased) request.start = launch::StartMode::WhenReleased;
  if (life->wiring.in_network) return life->wiring.in_network(netns);
  return {};
}

void note_sandbox_exit(const Core& core, const ContainerRecord& record, const Run& run,
                       const launch::ExitRecord& exit) {
  SandboxLife* life = SandboxTable::of(core).find(record.id);
  if (life == nullptr) return;
  life->exit = exit;
  life->ready.set();
  if (!run.cgroup) return;
  auto controls = sys::CgroupControls::open(*run.cgroup);
  auto kills = run.cgroup->oom_kills();
  life->usage = SandboxUsage{.memory_peak = controls.memory_peak(),
                             .cpu_us = controls.cpu_microseconds(),
                             .oom_kills = kills ? *kills : 0};
}

void note_sandbox_ready(const Core& core, std::string_view container_id) {
  if (SandboxLife* life = SandboxTable::of(core).find(container_id)) life->ready.set();
}

}  // namespace berth::engine
