// Sandboxes of functions.
#include "engine/sandboxes.h"

#include <csignal>

#include "base/format.h"
#include "base/log.h"
#include "base/rollback.h"
#include "engine/core.h"
#include "engine/lifecycle.h"
#include "engine/sandbox_table.h"

namespace berth::engine {

Sandbox::Sandbox(std::shared_ptr<Container> container, std::shared_ptr<SandboxLife> life)
    : container_(std::move(container)), life_(std::move(life)) {
  if (life_->run->cgroup) controls_ = sys::CgroupControls::open(*life_->run->cgroup);
}

const std::string& Sandbox::id() const {
  return container_->record.id;
}

Result<void> Sandbox::release() {
  Run& run = *life_->run;
  if (!run.keeper || has_ended()) return berth::failure(Kind::WrongState, "sandbox {} has ended", id());
  return run.keeper->release();
}

io::Task<Result<void>> Sandbox::started() {
  std::shared_ptr<Run> run = life_->run;
  co_await run->settled.wait();
  if (run->failure) co_return Error(Kind::InvalidArgument, run->failure->message);
  co_return Result<void>();
}

const launch::LaunchFailure* Sandbox::failure() const {
  return life_->run->failure ? &*life_->run->failure : nullptr;
}

Result<void> Sandbox::freeze() {
  return controls_.freeze();
}
Result<void> Sandbox::thaw() {
  return controls_.thaw();
}

uint64_t Sandbox::memory_peak() const {
  return life_->usage ? life_->usage->memory_peak : controls_.memory_peak();
}
uint64_t Sandbox::cpu_microseconds() const {
  return life_->usage ? life_->usage->cpu_us : controls_.cpu_microseconds();
}
uint64_t Sandbox::oom_kills() const {
  if (life_->usage) return life_->usage->oom_kills;
  if (!life_->run->cgroup) return 0;
  auto kills = life_->run->cgroup->oom_kills();
  return kills ? *kills : 0;
}

uint64_t Sandbox::shared_memory() const {
  return life_->run->cgroup ? sys::shared_memory_of(*life_->run->cgroup) : 0;
}

Result<sys::MemoryWatch> Sandbox::watch_memory(uint64_t bytes) const {
  if (!life_->run->cgroup) return Error(Kind::WrongState, "the sandbox has ended");
  return sys::MemoryWatch::prepare(*life_->run->cgroup, bytes);
}

Result<void> Sandbox::set_memory_limit(uint64_t bytes) {
  if (!life_->run->cgroup) return Error(Kind::WrongState, "the sandbox has ended");
  sys::CgroupLimits limits;
  limits.memory = static_cast<int64_t>(bytes);
  limits.memory_swap = static_cast<int64_t>(bytes);
  TRY([[maybe_unused]] auto warnings, life_->run->cgroup->apply(limits));
  return {};
}

std::vector<pid_t> Sandbox::processes() const {
  if (!life_->run->cgroup) return {};
  auto pids = life_->run->cgroup->pids();
  return pids ? std::move(*pids) : std::vector<pid_t>();
}

bool Sandbox::has_ended() const {
  return life_->run->exited.is_set();
}

Result<void> Sandbox::signal(int number) {
  Run& run = *life_->run;
  if (!run.keeper || has_ended()) return berth::failure(Kind::WrongState, "sandbox {} has ended", id());
  return run.keeper->signal("", number);
}

void Sandbox::kill() {
  if (auto sent = signal(SIGKILL); !sent) log::debug("sandbox {}: {}", id(), sent.error().message());
  // A process that the v1 freezer holds dies when it is thawed.
  (void)controls_.thaw();
}

io::Task<launch::ExitRecord> Sandbox::ended() {
  std::shared_ptr<SandboxLife> life = life_;
  std::shared_ptr<Run> run = life->run;
  co_await run->exited.wait();
  co_return life->exit;
}

Sandboxes::Sandboxes(Engine& engine) : core_(SandboxTable::core_of(engine)) {}

namespace {

io::Task<void> forget_when_ended(Core& core, ContainerHandle container, std::shared_ptr<SandboxLife> life,
                                 std::string name) {
  std::shared_ptr<Run> run = life->run;
  co_await run->exited.wait();
  SandboxTable::of(core).erase(container->record.id);
  SandboxTable::of(core).forget(name);
}

/// Whatever becomes of who waits for it: a sandbox is started whole or not at all.
io::Task<Result<std::unique_ptr<Sandbox>>> start_sandbox(Core& core, SandboxRequest request) {
  std::string name = request.container.name;
  SandboxTable::of(core).expect(name);
  Rollback forget;
  forget.add([&core, name] { SandboxTable::of(core).forget(name); });
  request.container.request.host_config.auto_remove = true;
  io::Task<Result<CreatedContainer>> create = core.containers_facade.create(std::move(request.container));
  CO_TRY(auto created, co_await std::move(create));
  ContainerHandle container = core.containers.by_id(created.id);
  if (!container) co_return Error(Kind::Unavailable, "the sandbox was removed while it was made");
  auto life = std::make_shared<SandboxLife>();
  life->wiring = std::move(request.wiring);
  life->mounts = std::move(request.mounts);
  SandboxTable::of(core).insert(created.id, life);
  io::Task<Result<void>> start = start_container(core, container, StartReason::User);
  auto started = co_await std::move(start);
  if (!started) {
    SandboxTable::of(core).erase(created.id);
    if (!container->removed && !container->run) forget_container(core, container, RemoveVolumes::Yes);
    co_return std::move(started).error();
  }
  forget.keep();
  core.tasks.spawn(forget_when_ended(core, container, life, name));
  co_return std::make_unique<Sandbox>(container, life);
}

}  // namespace

io::Task<Result<std::unique_ptr<Sandbox>>> Sandboxes::start(SandboxRequest request) {
  io::Task<Result<std::unique_ptr<Sandbox>>> start = start_sandbox(core_, std::move(request));
  co_return co_await core_.run_to_end(std::move(start));
}

Result<std::vector<std::string>> Sandboxes::image_directories(std::string_view reference) const {
  TRY(auto image, core_.image_store->resolve(reference));
  std::vector<std::string> directories;
  if (!image.chain_id) return directories;
  TRY(auto layers, core_.snapshotter->chain(*image.chain_id));
  for (const storage::Layer& layer : layers) {
    directories.push_back(core_.snapshotter->layer_dir(layer.chain_id) + "/fs");
  }
  return directories;
}

}  // namespace berth::engine
