#include "functions/events/event_sources.h"

#include <algorithm>

#include "base/json.h"
#include "base/log.h"

namespace berth::functions::events {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kFirstDelay = 100ms, kLongestDelay = 5'000ms;

void set_state(Catalog& catalog, const std::string& uuid, std::string state, std::string result) {
  auto set = catalog.set_mapping_state(uuid, std::move(state), std::move(result));
  if (!set) log::warn("event source mapping {}: {}", uuid, set.error().message());
}

}  // namespace

EventSources::EventSources(PollerServices services) : services_(services) {
  for (const EventSourceMapping* mapping : services_.catalog.mappings()) start(*mapping);
  services_.catalog.add_listener(*this);
}
EventSources::~EventSources() = default;

void EventSources::mapping_changed(const EventSourceMapping& mapping) {
  pollers_.erase(mapping.uuid);
  start(mapping);
}

void EventSources::mapping_removed(const EventSourceMapping& mapping) {
  pollers_.erase(mapping.uuid);
}

void EventSources::stop() {
  stopped_ = true;
  pollers_.clear();
}

void EventSources::start(const EventSourceMapping& found) {
  if (stopped_) return;
  EventSourceMapping mapping = found;  // set_mapping_state() changes what was found
  if (!mapping.enabled) {
    if (mapping.state != "Disabled")
      set_state(services_.catalog, mapping.uuid, "Disabled", mapping.last_result);
    return;
  }
  bool kafka = mapping.event_source_arn.empty() && !mapping.bootstrap_servers.empty();
  if (mapping.event_source_arn.starts_with("arn:aws:sqs:")) {
    pollers_[mapping.uuid] = make_queue_poller(services_, mapping);
  } else if (kafka) {
    auto poller = make_kafka_poller(services_, mapping);
    if (!poller) {
      log::warn("event source mapping {}: {}", mapping.uuid, poller.error().message());
      set_state(services_.catalog, mapping.uuid, "Enabled", "PROBLEM: " + poller.error().message());
      return;
    }
    pollers_[mapping.uuid] = std::move(*poller);
  } else {
    set_state(services_.catalog, mapping.uuid, "Enabled",
              "PROBLEM: berth polls SQS queues and self-managed Kafka; " + mapping.event_source_arn +
                  " is neither");
    return;
  }
  if (mapping.state != "Enabled") set_state(services_.catalog, mapping.uuid, "Enabled", mapping.last_result);
}

BatchResponse read_batch_response(std::string_view payload) {
  auto json = parse_json(payload, {.max_bytes = 16u << 20, .max_depth = 64});
  if (!json) return {};
  if (!json->is_object()) return {};
  auto list = json->find("batchItemFailures");
  if (list == json->end() || list->is_null()) return {};
  BatchResponse all_failed{.kind = BatchResponse::Kind::AllFailed, .failed = {}};
  if (!list->is_array()) return all_failed;
  BatchResponse response;
  for (const Json& item : *list) {
    auto id = item.is_object() ? item.find("itemIdentifier") : item.end();
    if (!item.is_object() || id == item.end() || !id->is_string() ||
        id->get_ref<const std::string&>().empty())
      return all_failed;
    response.failed.push_back(id->get<std::string>());
  }
  if (!response.failed.empty()) response.kind = BatchResponse::Kind::Some;
  return response;
}

io::Task<Result<InvocationOutcome>> invoke_patiently(PollerServices& services,
                                                     const EventSourceMapping& mapping, std::string payload,
                                                     io::SteadyTime give_up) {
  auto delay = kFirstDelay;
  while (true) {
    CO_TRY(FunctionVersionPtr version,
           services.catalog.resolve(mapping.realm, mapping.function, mapping.qualifier));
    std::string arn = function_arn(mapping.realm, mapping.function);
    if (!mapping.qualifier.empty()) arn += ":" + mapping.qualifier;
    Invocation invocation{.function = std::move(version),
                          .invoked_arn = std::move(arn),
                          .payload = payload,
                          .source = InvocationSource::EventSource};
    auto outcome = co_await services.invoker.invoke(std::move(invocation));
    if (outcome) co_return outcome;
    if (std::chrono::steady_clock::now() + delay >= give_up) co_return outcome;
    co_await services.loop.sleep_for(delay);
    delay = std::min(delay * 2, kLongestDelay);
  }
}

}  // namespace berth::functions::events
