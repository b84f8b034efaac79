// EventSources: the pollers of event source mappings: one per enabled mapping of the catalog, started,
// changed and ended as the catalog's records are. Loop thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "functions/catalog/catalog.h"
#include "functions/invocation.h"
#include "io/event_loop.h"
#include "io/task_group.h"

namespace berth::functions::queues {
class Queues;
}

namespace berth::functions::events {

/// What pollers work with; outlives them.
struct PollerServices {
  io::EventLoop& loop;
  Catalog& catalog;
  Invoker& invoker;
  queues::Queues& queues;
};

/// Polls for one mapping from its making to its destruction.
class Poller {
 public:
  virtual ~Poller() = default;
};

/// A mapping whose source is one of the local queues.
std::unique_ptr<Poller> make_queue_poller(PollerServices& services, EventSourceMapping mapping);
/// A mapping of self-managed Kafka topics. Unavailable: librdkafka is not installed.
Result<std::unique_ptr<Poller>> make_kafka_poller(PollerServices& services, EventSourceMapping mapping);

class EventSources final : public CatalogListener {
 public:
  /// Starts the pollers of all enabled mappings; listens to the catalog from then on.
  explicit EventSources(PollerServices services);
  ~EventSources() override;

  void mapping_changed(const EventSourceMapping& mapping) override;
  void mapping_removed(const EventSourceMapping& mapping) override;
  /// Ends all pollers; none is started any more.
  void stop();
  size_t running() const { return pollers_.size(); }

 private:
  void start(const EventSourceMapping& mapping);
  PollerServices services_;
  bool stopped_ = false;
  std::map<std::string, std::unique_ptr<Poller>> pollers_;
};

// What the pollers share.
/// The payload's parts that a partial failure names, by {"batchItemFailures":[{"itemIdentifier": ...}]}.
struct BatchResponse {
  enum class Kind { AllDone, AllFailed, Some };
  Kind kind = Kind::AllDone;
  std::vector<std::string> failed;
};
/// Pure. An answer that is not of this form means that all failed, as AWS has it.
BatchResponse read_batch_response(std::string_view payload);

/// Invokes and, while it is turned away (throttled), tries again with growing delays until `give_up`.
io::Task<Result<InvocationOutcome>> invoke_patiently(PollerServices& services,
                                                     const EventSourceMapping& mapping, std::string payload,
                                                     io::SteadyTime give_up);

}  // namespace berth::functions::events
