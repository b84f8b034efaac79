// The stock: sandboxes that are made before an event asks for them, at most one of a version. They are
// complete but for their program; where the function is known to initialise, that has been done too, as AWS
// does it ahead
// ("proactive initialization").
#include <algorithm>

#include "base/log.h"
#include "functions/sandbox/function_pool.h"

namespace berth::functions {

using namespace std::chrono_literals;

/// A function that has never run is not worth what another one waits with.
bool FunctionPool::may_prepare(const Function& function) const {
  if (settings_.prepared == 0 || closing_) return false;
  return function.initializes || prepared_.size() + preparing_ < settings_.prepared;
}

/// What it becomes is the caller's decision.
FunctionSandbox* FunctionPool::unstock(Version& version) {
  FunctionSandbox* sandbox = std::exchange(version.prepared, nullptr);
  if (sandbox != nullptr) prepared_.remove(sandbox);
  return sandbox;
}

void FunctionPool::drop_stock(Version& version) {
  FunctionSandbox* sandbox = unstock(version);
  if (sandbox == nullptr) return;
  if (std::erase(version.idle, sandbox) > 0) --idle_count_;
  sandbox->end();
}

void FunctionPool::prepare_ahead(Version& version) {
  bool wanted = settings_.prepared > 0 && !version.outdated && !closing_ && version.prepared == nullptr &&
                !version.preparing;
  if (!wanted) return;
  if (version.function->package == PackageType::Zip && !bases_.find(version.function->runtime)) return;
  version.preparing = true;
  ++preparing_;
  tasks_.spawn(bring_up_ahead(version));
}

io::Task<void> FunctionPool::bring_up_ahead(Version& version) {
  // After those that somebody waits for.
  co_await loop_.sleep_for(20ms);
  io::Semaphore::Permit permit = co_await starts_.acquire();
  io::Task<Result<RuntimeBase>> find_base = base_of(version.function);
  auto base = co_await std::move(find_base);
  if (!base || version.outdated || closing_) {
    version.preparing = false;
    --preparing_;
    forget_if_empty(version);
    co_return;
  }
  FunctionSandbox& sandbox = new_sandbox(version, *base, "on-demand");
  sandbox.pooled = true;
  io::Task<Result<void>> prepare = sandbox.prepare();
  auto prepared = co_await std::move(prepare);
  version.preparing = false;
  --preparing_;
  if (!prepared || sandbox.phase() != FunctionSandbox::Phase::Prepared) {
    if (!prepared) {
      log::debug("function {}: {}", version.function->name, prepared.error().message());
      sandbox_ended(sandbox);
    }
    co_return;
  }
  if (version.outdated || closing_) {
    sandbox.end();
    co_return;
  }
  version.prepared = &sandbox;
  prepared_.push_back(&sandbox);
  FunctionSandbox* it = &sandbox;
  sandbox.idle_alarm.set(services_.alarms, std::chrono::steady_clock::now() + settings_.idle_time,
                         [this, it] { drop_stock(version_of(*it)); });
  while (prepared_.size() > settings_.prepared) drop_stock(version_of(*prepared_.front()));
  if (version.waiting.size() > version.starting) start_more(version);
  // As AWS initialises ahead, and only what is known to initialise.
  bool still_there = version.prepared == it && it->phase() == FunctionSandbox::Phase::Prepared;
  if (still_there && function_of(version.function->realm, version.function->name).initializes) it->run();
}

}  // namespace berth::functions
