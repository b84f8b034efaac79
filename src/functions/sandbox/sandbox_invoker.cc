// Which sandbox an event goes to, and when sandboxes are made, frozen and ended.
#include "functions/sandbox/sandbox_invoker.h"

#include <algorithm>
#include <deque>
#include <map>

#include "base/format.h"
#include "base/id.h"
#include "base/log.h"
#include "base/rollback.h"
#include "engine/engine.h"
#include "functions/runtimes/runtime_bases.h"
#include "functions/sandbox/function_pool.h"
#include "functions/sandbox/function_sandbox.h"

namespace berth::functions {

struct SandboxInvoker::State {
  State(io::EventLoop& loop, engine::Engine& engine, RuntimeBases& bases, FunctionLog& log,
        MeteringSink& metering, SandboxSettings wanted)
      : settings(std::move(wanted)),
        alarms(loop),
        pool(loop, engine, bases, log, metering, alarms, settings) {}

  SandboxSettings settings;
  Alarms alarms;
  FunctionPool pool;
};

SandboxInvoker::SandboxInvoker(std::unique_ptr<State> state) : state_(std::move(state)) {}
SandboxInvoker::~SandboxInvoker() = default;

io::Task<Result<std::unique_ptr<SandboxInvoker>>> SandboxInvoker::open(io::EventLoop& loop,
                                                                       engine::Engine& engine,
                                                                       RuntimeBases& bases, FunctionLog& log,
                                                                       MeteringSink& metering,
                                                                       SandboxSettings settings) {
  // What an earlier daemon left has been ended by the engine's recovery (engine/sandbox_table.h).
  auto state = std::make_unique<State>(loop, engine, bases, log, metering, std::move(settings));
  co_return std::unique_ptr<SandboxInvoker>(new SandboxInvoker(std::move(state)));
}

io::Task<Result<InvocationOutcome>> SandboxInvoker::invoke(Invocation invocation) {
  auto admitted = state_->pool.admit(std::move(invocation));
  if (!admitted) co_return std::move(admitted).error();
  EventPtr event = std::move(*admitted);
  // A caller that goes takes its stream with it; the function works on.
  Rollback forget;
  forget.add([event] { event->invocation.stream = nullptr; });
  co_await event->done.wait();
  if (event->error) co_return std::move(*event->error);
  co_return std::move(event->outcome);
}

Throttle SandboxInvoker::last_throttle() const {
  return state_->pool.last_throttle();
}

void SandboxInvoker::function_changed(const Realm& realm, const std::string& name,
                                      FunctionVersionPtr current) {
  state_->pool.function_changed(realm, name, std::move(current));
}

void SandboxInvoker::set_concurrency(const Realm& realm, const std::string& name,
                                     ConcurrencySettings settings) {
  state_->pool.set_concurrency(realm, name, std::move(settings));
}

Invoker::Provisioned SandboxInvoker::provisioned(const Realm& realm, const std::string& name,
                                                 const std::string& version) const {
  return state_->pool.provisioned(realm, name, version);
}

void SandboxInvoker::set_provisioned(FunctionVersionPtr version, uint32_t count) {
  state_->pool.set_provisioned(std::move(version), count);
}

void SandboxInvoker::serve_endpoint(uint16_t port, std::function<io::Task<void>(io::Exchange&)> handler) {
  state_->pool.serve_endpoint(port, std::move(handler));
}

std::vector<SandboxInvoker::SandboxInfo> SandboxInvoker::sandboxes() const {
  return state_->pool.sandboxes();
}

size_t SandboxInvoker::prepared_bound() const {
  return state_->settings.prepared;
}

io::Task<void> SandboxInvoker::close() {
  return state_->pool.close();
}

}  // namespace berth::functions
