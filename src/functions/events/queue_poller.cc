// The poller of a local queue: gathers batches, invokes, deletes what has been done. A message whose batch
// failed comes back when its visibility timeout has passed, and ends in the queue's dead letter queue: SQS's
// rules, not the poller's.
#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "functions/events/event_pattern.h"
#include "functions/events/event_sources.h"
#include "functions/queues/attributes.h"
#include "functions/queues/queues.h"
#include "io/sync.h"

namespace berth::functions::events {
namespace {

using namespace std::chrono_literals;
using queues::Message;
using queues::QueueName;

/// Batches at work at once when the mapping does not say (AWS begins with five and grows).
constexpr uint32_t kConcurrency = 5;
constexpr size_t kMaxPayload = 6u << 20;
constexpr uint32_t kReceiveAtOnce = 10;
constexpr int64_t kPollSeconds = 20;
constexpr auto kAfterError = 1s;

Json attribute_json(const queues::MessageAttribute& attribute) {
  Json json{
      {"dataType", attribute.type}, {"stringListValues", Json::array()}, {"binaryListValues", Json::array()}};
  json[attribute.binary() ? "binaryValue" : "stringValue"] =
      attribute.binary() ? to_base64(attribute.value) : attribute.value;
  return json;
}

Json record_of(const Message& message, const EventSourceMapping& mapping) {
  Json attributes{{"ApproximateReceiveCount", std::to_string(message.receive_count)},
                  {"SentTimestamp", std::to_string(message.sent_ms)},
                  {"SenderId", mapping.realm.account},
                  {"ApproximateFirstReceiveTimestamp", std::to_string(message.first_received_ms)}};
  if (!message.group_id.empty()) attributes["MessageGroupId"] = message.group_id;
  if (!message.deduplication_id.empty()) attributes["MessageDeduplicationId"] = message.deduplication_id;
  if (!message.sequence_number.empty()) attributes["SequenceNumber"] = message.sequence_number;
  if (!message.trace_header.empty()) attributes["AWSTraceHeader"] = message.trace_header;
  Json user = Json::object();
  for (const auto& [name, attribute] : message.attributes) user[name] = attribute_json(attribute);
  Json record{{"messageId", message.message_id},
              {"receiptHandle", message.receipt_handle},
              {"body", message.body},
              {"attributes", std::move(attributes)},
              {"messageAttributes", std::move(user)},
              {"md5OfBody", queues::md5_hex(message.body)},
              {"eventSource", "aws:sqs"},
              {"eventSourceARN", mapping.event_source_arn},
              {"awsRegion", mapping.realm.region}};
  if (!message.attributes.empty())
    record["md5OfMessageAttributes"] = queues::md5_of_attributes(message.attributes);
  return record;
}

class QueuePoller final : public Poller {
 public:
  QueuePoller(PollerServices& services, EventSourceMapping mapping)
      : services_(services),
        mapping_(std::move(mapping)),
        batch_size_(mapping_.batch_size == 0 ? 10 : mapping_.batch_size),
        slots_(mapping_.maximum_concurrency.value_or(kConcurrency)) {
    for (const std::string& text : mapping_.filters) {
      if (auto pattern = EventPattern::parse(text)) patterns_.push_back(std::move(*pattern));
    }
    tasks_.spawn(run());
  }

 private:
  using Batch = std::vector<Message>;

  io::Task<void> run() {
    auto name = queues::parse_queue_arn(mapping_.event_source_arn);
    if (!name) co_return;
    queue_ = std::move(*name);
    while (true) {
      auto permit = co_await slots_.acquire();
      Batch batch;
      bool good = co_await gather(batch);
      if (!good) {
        co_await services_.loop.sleep_for(kAfterError);
        continue;
      }
      if (batch.empty()) continue;
      tasks_.spawn(work_off(std::move(batch), std::move(permit)));
    }
  }

  /// Fills a batch up to its size or window; false when the queue cannot be read.
  io::Task<bool> gather(Batch& batch) {
    size_t bytes = 0;
    io::SteadyTime closes = io::SteadyTime::max();
    while (batch.size() < batch_size_ && bytes < kMaxPayload / 2) {
      queues::ReceiveRequest request{
          .max_messages = std::min(kReceiveAtOnce, batch_size_ - static_cast<uint32_t>(batch.size())),
          .wait_seconds = kPollSeconds};
      if (!batch.empty()) {
        auto left =
            std::chrono::duration_cast<std::chrono::seconds>(closes - std::chrono::steady_clock::now());
        request.wait_seconds = mapping_.window_seconds == 0 ? 0 : std::max<int64_t>(left.count(), 0);
      }
      auto received = co_await services_.queues.receive(queue_, request);
      if (!received) {
        report("PROBLEM: " + received.error().message());
        co_return false;
      }
      if (received->empty()) break;
      co_await keep_matching(*received);
      if (batch.empty() && !received->empty())
        closes = std::chrono::steady_clock::now() + std::chrono::seconds(mapping_.window_seconds);
      for (Message& message : *received) {
        bytes += message.body.size();
        batch.push_back(std::move(message));
      }
      bool waits = mapping_.window_seconds > 0 && std::chrono::steady_clock::now() < closes;
      bool emptied = request.wait_seconds == 0 && !waits;
      if (!batch.empty() && emptied && batch.size() % kReceiveAtOnce != 0) break;
    }
    co_return true;
  }

  /// What no filter wants is deleted, as AWS does.
  io::Task<void> keep_matching(Batch& messages) {
    if (patterns_.empty()) co_return;
    std::vector<std::string> unwanted;
    Batch kept;
    for (Message& message : messages) {
      Json event = record_of(message, mapping_);
      if (auto body = parse_json(message.body)) event["body"] = std::move(*body);
      bool wanted = std::any_of(patterns_.begin(), patterns_.end(),
                                [&](const EventPattern& pattern) { return pattern.matches(event); });
      if (wanted) {
        kept.push_back(std::move(message));
      } else {
        unwanted.push_back(message.receipt_handle);
      }
    }
    messages = std::move(kept);
    if (unwanted.empty()) co_return;
    auto removed = co_await services_.queues.remove_messages(queue_, std::move(unwanted));
    if (!removed) log::warn("event source mapping {}: {}", mapping_.uuid, removed.error().message());
  }

  io::Task<void> work_off(Batch batch, io::Semaphore::Permit permit) {
    Json records = Json::array();
    for (const Message& message : batch) records.push_back(record_of(message, mapping_));
    std::string payload = to_json(Json{{"Records", std::move(records)}});
    auto outcome = co_await invoke_patiently(services_, mapping_, std::move(payload),
                                             std::chrono::steady_clock::now() + patience());
    if (!outcome) {
      report("PROBLEM: " + outcome.error().message());
      co_return;
    }
    if (!outcome->function_error.empty()) {
      report("PROBLEM: Function call failed");
      co_return;
    }
    auto done = receipts_of_done(batch, outcome->payload);
    if (!done.empty()) {
      auto removed = co_await services_.queues.remove_messages(queue_, std::move(done));
      if (!removed) log::warn("event source mapping {}: {}", mapping_.uuid, removed.error().message());
    }
    report("OK");
    permit.release();
  }

  std::vector<std::string> receipts_of_done(const Batch& batch, const std::string& payload) const {
    std::set<std::string> failed;
    if (mapping_.report_item_failures) {
      BatchResponse response = read_batch_response(payload);
      if (response.kind == BatchResponse::Kind::AllFailed) return {};
      failed.insert(response.failed.begin(), response.failed.end());
      std::set<std::string> known;
      for (const Message& message : batch) known.insert(message.message_id);
      // A name that is not in the batch fails the whole of it.
      if (!std::includes(known.begin(), known.end(), failed.begin(), failed.end())) return {};
    }
    std::vector<std::string> receipts;
    for (const Message& message : batch) {
      if (!failed.contains(message.message_id)) receipts.push_back(message.receipt_handle);
    }
    return receipts;
  }

  /// How long a batch may wait for the function: the better part of the messages' visibility timeout.
  std::chrono::milliseconds patience() const {
    auto queue = services_.queues.find(queue_);
    int64_t seconds = queue ? (*queue)->settings.visibility_seconds : 30;
    return std::chrono::milliseconds(seconds * 800);
  }

  void report(std::string result) {
    if (result == last_result_) return;
    last_result_ = result;
    auto set = services_.catalog.set_mapping_state(mapping_.uuid, "Enabled", std::move(result));
    if (!set) log::debug("event source mapping {}: {}", mapping_.uuid, set.error().message());
  }

  PollerServices& services_;
  EventSourceMapping mapping_;
  uint32_t batch_size_;
  QueueName queue_;
  std::string last_result_;
  std::vector<EventPattern> patterns_;
  io::Semaphore slots_;
  io::TaskGroup tasks_;
};

}  // namespace

std::unique_ptr<Poller> make_queue_poller(PollerServices& services, EventSourceMapping mapping) {
  return std::make_unique<QueuePoller>(services, std::move(mapping));
}

}  // namespace berth::functions::events
