// SandboxInvoker: the Invoker whose sandboxes are ordinary containers of the engine. It decides which sandbox
// an event goes to (a warm one, a prepared one, a new one), holds the concurrency limits, freezes and reaps.
// Sandboxes that an earlier daemon left are ended by open().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "functions/function_log.h"
#include "functions/invocation.h"
#include "functions/metering.h"
#include "io/event_loop.h"
#include "io/task.h"

namespace berth::engine {
class Engine;
}
namespace berth::io {
class Exchange;
}

namespace berth::functions {

class RuntimeBases;

struct SandboxSettings {
  LimitProfile limits = LimitProfile::Open;
  uint32_t account_concurrency = 1000;
  std::chrono::milliseconds idle_time{600'000};    ///< without an event, until a sandbox ends
  std::chrono::milliseconds freeze_after{10};      ///< without an event, until it is frozen
  std::chrono::milliseconds init_timeout{10'000};  ///< then init starts anew within the first event
  std::string network = "bridge";                  ///< or "none", or any network of the engine
  /// Sandboxes that are made ahead, one per version; 0: none. They are complete but for their program, and of
  /// functions that have run before also initialised.
  size_t prepared = 8;
  size_t max_warm = 1000;  ///< idle sandboxes of all functions; the longest idle one goes first
};

class SandboxInvoker final : public Invoker {
 public:
  static io::Task<Result<std::unique_ptr<SandboxInvoker>>> open(io::EventLoop& loop, engine::Engine& engine,
                                                                RuntimeBases& bases, FunctionLog& log,
                                                                MeteringSink& metering,
                                                                SandboxSettings settings);
  ~SandboxInvoker() override;

  io::Task<Result<InvocationOutcome>> invoke(Invocation invocation) override;
  Throttle last_throttle() const override;
  void function_changed(const Realm& realm, const std::string& name, FunctionVersionPtr current) override;
  void set_concurrency(const Realm& realm, const std::string& name, ConcurrencySettings settings) override;
  Provisioned provisioned(const Realm& realm, const std::string& name,
                          const std::string& version) const override;

  /// Keeps this many sandboxes of the version initialised, invoked before or not; 0: none.
  void set_provisioned(FunctionVersionPtr version, uint32_t count);

  /// Serves AWS's APIs inside every sandbox at 127.0.0.1:<port>, where AWS_ENDPOINT_URL points, whatever its
  /// network: functions call back without a way to the host. Call it before the first event.
  void serve_endpoint(uint16_t port, std::function<io::Task<void>(io::Exchange&)> handler);

  /// What runs now, for `berth ps`-like views and tests.
  struct SandboxInfo {
    std::string container_id;
    Realm realm;
    std::string function, version;
    std::string state;         ///< "prepared", "init", "idle", "frozen", "busy", "ending"
    bool initialized = false;  ///< its init is done
    uint64_t events = 0;
  };
  /// How many are made ahead at most.
  size_t prepared_bound() const;
  std::vector<SandboxInfo> sandboxes() const;

  /// Ends all sandboxes as AWS does (SIGTERM, SIGKILL); events under way are answered with an error.
  io::Task<void> close();

 private:
  struct State;
  explicit SandboxInvoker(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace berth::functions
