// EventServices: everything that calls functions without a client that waits, put together: the database,
// local queues, the queue of asynchronous events, rules, event source mappings, durable executions.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "functions/durable/durable_invoker.h"
#include "functions/durable/executions.h"
#include "functions/events/event_queue.h"
#include "functions/events/event_sources.h"
#include "functions/events/rules.h"
#include "functions/queues/queues.h"
#include "io/event_loop.h"
#include "io/task_group.h"

namespace berth::functions::events {

class EventServices {
 public:
  /// `directory` (data-root/functions) exists. Nothing calls functions before start().
  static Result<std::unique_ptr<EventServices>> open(io::EventLoop& loop, const std::string& directory,
                                                     Catalog& catalog, Invoker& invoker,
                                                     LimitProfile profile = LimitProfile::Open);
  ~EventServices();
  EventServices(const EventServices&) = delete;

  queues::Queues& queues() { return *queues_; }
  EventQueue& events() { return *events_; }
  Rules& rules() { return *rules_; }
  durable::DurableExecutions& executions() { return *executions_; }
  /// Calls functions, durable ones among them.
  Invoker& invoker() { return durable_invoker_; }
  /// Begins to work off events and to poll event sources.
  void start();
  /// Calls no function from now on; events are still taken.
  void stop();
  /// Its events go with it.
  void function_removed(const Realm& realm, const std::string& function);

 private:
  EventServices(io::EventLoop& loop, Catalog& catalog, Invoker& invoker, LimitProfile profile);
  io::EventLoop& loop_;
  Catalog& catalog_;
  durable::DurableInvoker durable_invoker_;
  std::unique_ptr<storage::Database> database_;
  std::unique_ptr<storage::GroupCommit> commits_;
  std::unique_ptr<queues::Queues> queues_;
  std::unique_ptr<durable::DurableExecutions> executions_;
  std::unique_ptr<EventQueue> events_;
  std::unique_ptr<Rules> rules_;
  std::unique_ptr<EventSources> sources_;
  io::TaskGroup tasks_;
};

}  // namespace berth::functions::events
