// DurableInvoker: an Invoker before another one, which makes executions of events for durable functions.
// Whoever calls functions (function URLs, event sources, the queue of events) need not know which ones are
// durable.
#pragma once

#include "functions/durable/executions.h"

namespace berth::functions::durable {

class DurableInvoker final : public Invoker {
 public:
  /// Both must outlive it.
  DurableInvoker(Invoker& invoker, LimitProfile profile) : invoker_(invoker), profile_(profile) {}
  void set_executions(DurableExecutions& executions) { executions_ = &executions; }

  /// Of a durable function: waits until the execution is over, unless nobody waits for the event; then it
  /// answers when the execution has started, which the request id names. InvalidArgument: AWS's words.
  io::Task<Result<InvocationOutcome>> invoke(Invocation invocation) override;

  Throttle last_throttle() const override { return invoker_.last_throttle(); }
  void function_changed(const Realm& realm, const std::string& name, FunctionVersionPtr current) override {
    invoker_.function_changed(realm, name, std::move(current));
  }
  void set_concurrency(const Realm& realm, const std::string& name, ConcurrencySettings settings) override {
    invoker_.set_concurrency(realm, name, std::move(settings));
  }
  Provisioned provisioned(const Realm& realm, const std::string& name,
                          const std::string& version) const override {
    return invoker_.provisioned(realm, name, version);
  }

 private:
  io::Task<Result<InvocationOutcome>> run(Invocation invocation);

  Invoker& invoker_;
  LimitProfile profile_;
  DurableExecutions* executions_ = nullptr;
};

/// What an invocation of a durable function starts. InvalidArgument: it may not be called like this (without
/// qualifier, or longer than a client may wait; strict limits).
Result<NewExecution> execution_for(const Invocation& invocation, LimitProfile profile);
/// What a client that waited for the execution gets.
InvocationOutcome outcome_of(const ExecutionState& state, const Invocation& invocation);
bool is_durable(const FunctionVersion& version);

}  // namespace berth::functions::durable
