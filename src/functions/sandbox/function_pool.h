// FunctionPool: all sandboxes of all functions. Events of one version wait in a queue that its sandboxes take
// from, so that an event is served by whichever is ready first: a warm one, a prepared one, a new one.
// Private to sandbox/.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "functions/sandbox/function_sandbox.h"
#include "functions/sandbox/sandbox_invoker.h"
#include "io/sync.h"

namespace berth::functions {

class FunctionPool final : public SandboxOwner {
 public:
  FunctionPool(io::EventLoop& loop, engine::Engine& engine, RuntimeBases& bases, FunctionLog& log,
               MeteringSink& metering, Alarms& alarms, const SandboxSettings& settings);
  ~FunctionPool() override;

  /// Exhausted when the function may have no more events at once: then last_throttle() says why.
  Result<EventPtr> admit(Invocation invocation);
  Throttle last_throttle() const { return last_throttle_; }
  void function_changed(const Realm& realm, const std::string& name, FunctionVersionPtr current);
  void set_concurrency(const Realm& realm, const std::string& name, ConcurrencySettings settings);
  void set_provisioned(FunctionVersionPtr version, uint32_t count);
  Invoker::Provisioned provisioned(const Realm& realm, const std::string& name,
                                   const std::string& version) const;
  void serve_endpoint(uint16_t port, std::function<io::Task<void>(io::Exchange&)> handler);
  std::vector<SandboxInvoker::SandboxInfo> sandboxes() const;
  io::Task<void> close();

  void sandbox_idle(FunctionSandbox& sandbox) override;
  void sandbox_init_failed(FunctionSandbox& sandbox, InitFailure failure) override;
  void sandbox_ended(FunctionSandbox& sandbox) override;

 private:
  using Key = std::pair<Realm, std::string>;

  /// How many events of a function are under way; outlives it with the last of them.
  struct Counts {
    uint32_t in_flight = 0;
    bool reserved = false;                       ///< they do not count towards the account's shared part
    std::map<std::string, uint32_t> of_version;  ///< where the version has a bound of its own
  };

  /// A version's sandboxes; of a function that keeps tenants apart, those of one tenant.
  struct Version {
    FunctionVersionPtr function;
    std::string tenant;
    std::vector<FunctionVersionPtr> equals;  ///< other objects of the same revision
    std::list<std::unique_ptr<FunctionSandbox>> sandboxes;
    std::vector<FunctionSandbox*> idle;   ///< the warmest last
    FunctionSandbox* prepared = nullptr;  ///< in the stock: complete but for its program, or initialised
    bool preparing = false;
    bool outdated = false;
    std::deque<EventPtr> waiting;
    size_t starting = 0;  ///< sandboxes on their way, without those that are prepared ahead
    size_t bringing = 0;  ///< tasks that bring some up, and hold this
    uint32_t provisioned = 0;
    std::string provision_failure;
    Alarms::Alarm patience;
  };

  struct Function {
    ConcurrencySettings concurrency;
    bool initializes = false;  ///< its last init went well: one ahead is worth while
    std::shared_ptr<Counts> counts = std::make_shared<Counts>();
    std::list<Version> versions;
  };

  Function& function_of(const Realm& realm, const std::string& name);
  Version& version_of(const FunctionVersionPtr& function, const std::string& tenant = {});
  Version& version_of(const FunctionSandbox& sandbox);
  Result<std::shared_ptr<void>> take_place(Function& function, const std::string& version);
  Result<std::shared_ptr<void>> take_place_of_function(Function& function);
  void dispatch(Version& version, EventPtr event);
  void start_more(Version& version);
  void provide(Version& version);
  void prepare_ahead(Version& version);
  bool may_prepare(const Function& function) const;
  FunctionSandbox* unstock(Version& version);
  void drop_stock(Version& version);
  void retire(Version& version);
  void forget_if_empty(Version& version);
  void drop_excess_warm();
  FunctionSandbox& new_sandbox(Version& version, const RuntimeBase& base, std::string initialization);

  io::Task<Result<RuntimeBase>> base_of(FunctionVersionPtr function);
  Result<WebServer> web_server(const FunctionVersion& function) const;
  /// A new sandbox for whoever waits; `within`: for this event, whose time it runs on.
  void start(Version& version, EventPtr within, std::string initialization);
  io::Task<void> bring_up(Version& version, EventPtr within, std::string initialization);
  io::Task<void> bring_up_ahead(Version& version);
  io::Task<void> bury();
  void could_not_start(FunctionSandbox& sandbox, Error error, EventPtr event);

  io::EventLoop& loop_;
  RuntimeBases& bases_;
  const SandboxSettings& settings_;
  SandboxServices services_;
  std::map<Key, Function> functions_;
  std::unordered_map<const FunctionVersion*, Version*> by_pointer_;
  std::unordered_map<const FunctionSandbox*, Version*> by_sandbox_;
  std::list<FunctionSandbox*> prepared_;  ///< the stock, oldest first
  size_t preparing_ = 0;                  ///< on their way into it
  std::vector<std::unique_ptr<FunctionSandbox>> dead_;
  std::shared_ptr<uint32_t> shared_in_flight_ = std::make_shared<uint32_t>(0);
  uint32_t reserved_total_ = 0;
  size_t idle_count_ = 0;
  uint16_t endpoint_port_ = 0;
  Throttle last_throttle_ = Throttle::None;
  io::Semaphore starts_;
  bool closing_ = false;
  io::Condition sandbox_gone_;
  io::TaskGroup tasks_;
};

}  // namespace berth::functions
