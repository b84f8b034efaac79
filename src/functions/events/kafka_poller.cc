// The poller of self-managed Kafka topics: one consumer of the mapping's group. Offsets are committed when a
// batch has ended (done, or handed to the destination for failures), so that each record is seen at least
// once. Records of one partition stay in order: a batch that fails is tried again before the next.
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <thread>

#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "functions/catalog/secrets.h"
#include "functions/events/event_pattern.h"
#include "functions/events/event_sources.h"
#include "functions/events/kafka_library.h"
#include "functions/events/source_access.h"
#include "functions/queues/queues.h"
#include "functions/uuid.h"
#include "io/sync.h"
#include "sys/fd.h"

namespace berth::functions::events {
namespace {

using namespace std::chrono_literals;

constexpr uint32_t kBatchSize = 100;
constexpr auto kWindow = 500ms;  // when the mapping says none
constexpr size_t kMaxPayload = 6u << 20;
constexpr auto kFirstRetry = 1'000ms, kLongestRetry = 60'000ms;
constexpr auto kPatience = 15min;  // with throttles, until a batch counts as failed

struct Record {
  std::string topic;
  int32_t partition = 0;
  int64_t offset = 0, timestamp_ms = 0;
  bool append_time = false;
  std::optional<std::string> key, value;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string place() const { return fmt::format("{}-{}", topic, partition); }
};
using Batch = std::vector<Record>;

Json record_json(const Record& record) {
  Json headers = Json::array();
  for (const auto& [name, value] : record.headers) {
    Json bytes = Json::array();
    for (char c : value) bytes.push_back(static_cast<int>(static_cast<signed char>(c)));
    headers.push_back({{name, std::move(bytes)}});
  }
  Json json{{"topic", record.topic},
            {"partition", record.partition},
            {"offset", record.offset},
            {"timestamp", record.timestamp_ms},
            {"timestampType", record.append_time ? "LOG_APPEND_TIME" : "CREATE_TIME"},
            {"headers", std::move(headers)}};
  if (record.key) json["key"] = to_base64(*record.key);
  if (record.value) json["value"] = to_base64(*record.value);
  return json;
}

/// A consumer and the descriptor that tells when it has something. Closing it leaves the group, which may
/// take seconds and is done by a thread of its own.
class Consumer {
 public:
  using Settings = std::vector<std::pair<std::string, std::string>>;
  static Result<std::unique_ptr<Consumer>> open(const KafkaLibrary& library,
                                                const EventSourceMapping& mapping, Settings access) {
    rd_kafka_conf_t* settings = library.conf_new();
    char problem[512] = "";
    std::string servers = fmt::format("{}", fmt::join(mapping.bootstrap_servers, ","));
    std::string group = mapping.consumer_group.empty() ? mapping.uuid : mapping.consumer_group;
    bool latest = mapping.starting_position == "LATEST";
    Settings wanted{
        {"bootstrap.servers", servers},
        {"group.id", group},
        // So that the next berthd takes this one's place at once, not when the broker has given it up.
        {"group.instance.id", "berth-" + mapping.uuid},
        {"client.id", "berth"},
        {"enable.auto.commit", "false"},
        {"auto.offset.reset", latest ? "latest" : "earliest"},
        {"max.poll.interval.ms", "86400000"},  // a function may run for hours
        {"queued.max.messages.kbytes", "16384"},
        {"log_level", "3"}};
    std::move(access.begin(), access.end(), std::back_inserter(wanted));
    for (const auto& [name, value] : wanted) {
      if (library.conf_set(settings, name.c_str(), value.c_str(), problem, sizeof problem) !=
          RD_KAFKA_CONF_OK) {
        library.conf_destroy(settings);
        return failure(Kind::InvalidArgument, "Kafka: {}: {}", name, problem);
      }
    }
    auto trouble = std::make_shared<Trouble>();
    library.conf_set_opaque(settings, trouble.get());
    library.conf_set_error_cb(settings, note_trouble);
    rd_kafka_t* handle = library.new_(RD_KAFKA_CONSUMER, settings, problem, sizeof problem);
    if (handle == nullptr) {
      library.conf_destroy(settings);
      return failure(Kind::Unavailable, "Kafka at {}: {}", servers, problem);
    }
    library.poll_set_consumer(handle);
    sys::UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    std::unique_ptr<Consumer> consumer(new Consumer(library, handle, std::move(event), std::move(trouble)));
    return consumer;
  }
  ~Consumer() {
    library_.queue_io_event_enable(queue_, -1, nullptr, 0);
    library_.queue_destroy(queue_);
    std::thread([&library = library_, handle = handle_, trouble = std::move(trouble_),
                 event = std::make_shared<sys::UniqueFd>(std::move(event_))] {
      library.consumer_close(handle);
      library.destroy(handle);
    }).detach();
  }
  Consumer(const Consumer&) = delete;

  Result<void> subscribe(const std::vector<std::string>& topics) {
    auto* list = library_.topic_partition_list_new(static_cast<int>(topics.size()));
    for (const std::string& topic : topics)
      library_.topic_partition_list_add(list, topic.c_str(), RD_KAFKA_PARTITION_UA);
    auto code = library_.subscribe(handle_, list);
    library_.topic_partition_list_destroy(list);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    return failure(Kind::Unavailable, "Kafka: subscribe: {}", library_.err2str(code));
  }

  int fd() const { return event_.get(); }
  void drain() {
    uint64_t count = 0;
    [[maybe_unused]] ssize_t size = ::read(event_.get(), &count, sizeof count);
  }

  /// The next record that is there; an error of the broker goes to `problem`.
  std::optional<Record> next(std::string& problem) {
    while (rd_kafka_message_t* message = library_.consumer_poll(handle_, 0)) {
      std::optional<Record> record;
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        record = read(message);
      } else if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        problem = library_.err2str(message->err);
      }
      library_.message_destroy(message);
      if (record) return record;
    }
    if (!trouble_->text.empty()) problem = std::exchange(trouble_->text, {});
    return std::nullopt;
  }

  /// Everything of the batch is done. Does not wait for the broker.
  void commit(const Batch& batch) {
    std::map<std::pair<std::string, int32_t>, int64_t> ends;
    for (const Record& record : batch) {
      int64_t& end = ends[{record.topic, record.partition}];
      end = std::max(end, record.offset + 1);
    }
    auto* list = library_.topic_partition_list_new(static_cast<int>(ends.size()));
    for (const auto& [place, end] : ends)
      library_.topic_partition_list_add(list, place.first.c_str(), place.second)->offset = end;
    auto code = library_.commit(handle_, list, 1);
    library_.topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) log::warn("Kafka: commit: {}", library_.err2str(code));
  }

 private:
  /// What librdkafka tells of connections while it is polled, on whichever thread does that.
  struct Trouble {
    std::string text;
    std::string connection;  ///< why the last one failed
  };
  static void note_trouble(rd_kafka_t*, int code, const char* reason, void* of_consumer) {
    Trouble& trouble = *static_cast<Trouble*>(of_consumer);
    std::string text(reason);
    // That all are lost is another code, which does not say why.
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
      trouble.text = trouble.connection.empty() ? text : text + ": " + trouble.connection;
      return;
    }
    // How long it took is another time each time, and no news.
    text.resize(std::min(text.size(), text.find(" (after ")));
    trouble.connection = text;
    // A connection that is lost is made anew.
    if (code != RD_KAFKA_RESP_ERR__TRANSPORT) trouble.text = std::move(text);
  }

  Consumer(const KafkaLibrary& library, rd_kafka_t* handle, sys::UniqueFd event,
           std::shared_ptr<Trouble> trouble)
      : library_(library), handle_(handle), event_(std::move(event)), trouble_(std::move(trouble)) {
    queue_ = library_.queue_get_consumer(handle_);
    static constexpr uint64_t one = 1;
    library_.queue_io_event_enable(queue_, event_.get(), &one, sizeof one);
  }

  Record read(const rd_kafka_message_t* message) const {
    Record record{.topic = library_.topic_name(message->rkt),
                  .partition = message->partition,
                  .offset = message->offset};
    rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    record.timestamp_ms = library_.message_timestamp(message, &type);
    record.append_time = type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
    if (message->key != nullptr) record.key.emplace(static_cast<const char*>(message->key), message->key_len);
    if (message->payload != nullptr)
      record.value.emplace(static_cast<const char*>(message->payload), message->len);
    rd_kafka_headers_t* headers = nullptr;
    if (library_.message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return record;
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    for (size_t i = 0;
         library_.header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
      record.headers.emplace_back(
          name, value == nullptr ? std::string() : std::string(static_cast<const char*>(value), size));
    }
    return record;
  }

  const KafkaLibrary& library_;
  rd_kafka_t* handle_;
  rd_kafka_queue_t* queue_ = nullptr;
  sys::UniqueFd event_;
  std::shared_ptr<Trouble> trouble_;
};

class KafkaPoller final : public Poller {
 public:
  KafkaPoller(PollerServices& services, EventSourceMapping mapping, std::unique_ptr<Consumer> consumer)
      : services_(services), mapping_(std::move(mapping)), consumer_(std::move(consumer)) {
    for (const std::string& text : mapping_.filters) {
      if (auto pattern = EventPattern::parse(text)) patterns_.push_back(std::move(*pattern));
    }
    tasks_.spawn(run());
  }

 private:
  io::Task<void> run() {
    while (true) {
      Batch batch;
      co_await gather(batch);
      Batch wanted = matching(batch);
      if (!wanted.empty()) co_await work_off(std::move(wanted));
      consumer_->commit(batch);
    }
  }

  io::Task<void> gather(Batch& batch) {
    size_t limit = mapping_.batch_size == 0 ? kBatchSize : mapping_.batch_size;
    auto window = mapping_.window_seconds == 0
                      ? std::chrono::milliseconds(kWindow)
                      : std::chrono::milliseconds(std::chrono::seconds(mapping_.window_seconds));
    io::SteadyTime closes = io::SteadyTime::max();
    size_t bytes = 0;
    while (true) {
      consumer_->drain();
      std::string problem;
      while (batch.size() < limit && bytes < kMaxPayload / 2) {
        auto record = consumer_->next(problem);
        if (!record) break;
        bytes += record->key.value_or("").size() + record->value.value_or("").size() + 200;
        batch.push_back(std::move(*record));
      }
      if (!problem.empty()) report("PROBLEM: " + problem);
      if (batch.size() >= limit || bytes >= kMaxPayload / 2) co_return;
      auto time = std::chrono::steady_clock::now();
      if (!batch.empty() && closes == io::SteadyTime::max()) closes = time + window;
      if (!batch.empty() && time >= closes) co_return;
      co_await readable_until(closes);
    }
  }

  /// Until the consumer has something, or the time has come.
  io::Task<void> readable_until(io::SteadyTime time) {
    if (time == io::SteadyTime::max()) {
      [[maybe_unused]] auto ready = co_await services_.loop.readable(consumer_->fd());
      co_return;
    }
    io::TaskGroup both;
    io::Event woken;
    auto on_fd = [](io::EventLoop& loop, int fd, io::Event& event) -> io::Task<void> {
      [[maybe_unused]] auto ready = co_await loop.readable(fd);
      event.set();
    };
    auto on_time = [](io::EventLoop& loop, io::SteadyTime at, io::Event& event) -> io::Task<void> {
      co_await loop.sleep_until(at);
      event.set();
    };
    both.spawn(on_fd(services_.loop, consumer_->fd(), woken));
    both.spawn(on_time(services_.loop, time, woken));
    co_await woken.wait();
  }

  Batch matching(const Batch& batch) const {
    Batch wanted;
    for (const Record& record : batch) {
      bool early = mapping_.starting_position == "AT_TIMESTAMP" && mapping_.starting_timestamp &&
                   static_cast<double>(record.timestamp_ms) < *mapping_.starting_timestamp * 1000;
      if (early) continue;
      if (!patterns_.empty()) {
        Json event = record_json(record);
        for (auto [name, text] : {std::pair{"key", &record.key}, {"value", &record.value}}) {
          if (!*text) continue;
          auto json = parse_json(**text);
          event[name] = json ? std::move(*json) : Json(**text);
        }
        bool any = std::any_of(patterns_.begin(), patterns_.end(),
                               [&](const EventPattern& pattern) { return pattern.matches(event); });
        if (!any) continue;
      }
      wanted.push_back(record);
    }
    return wanted;
  }

  std::string payload_of(const Batch& batch) const {
    Json records = Json::object();
    for (const Record& record : batch) records[record.place()].push_back(record_json(record));
    return to_json(Json{{"eventSource", "SelfManagedKafka"},
                        {"bootstrapServers", fmt::format("{}", fmt::join(mapping_.bootstrap_servers, ","))},
                        {"records", std::move(records)}});
  }

  /// Until all of it is done or given up. Halves of a batch are worked off in order.
  io::Task<void> work_off(Batch first) {
    std::deque<Batch> parts;
    parts.push_back(std::move(first));
    while (!parts.empty()) {
      Batch batch = std::move(parts.front());
      parts.pop_front();
      int32_t errors = 0;
      auto delay = std::chrono::milliseconds(kFirstRetry);
      while (!batch.empty()) {
        std::string problem;
        co_await attempt(batch, problem);
        if (batch.empty()) break;
        ++errors;
        if (mapping_.bisect_on_error && batch.size() > 1) {
          auto middle = batch.begin() + static_cast<ptrdiff_t>(batch.size() / 2);
          parts.emplace_front(middle, batch.end());
          batch.erase(middle, batch.end());
          parts.push_front(std::move(batch));
          break;
        }
        if (given_up(batch, errors)) {
          co_await hand_to_destination(std::move(batch), std::move(problem), errors);
          break;
        }
        co_await services_.loop.sleep_for(delay);
        delay = std::min(delay * 2, std::chrono::milliseconds(kLongestRetry));
      }
    }
  }

  /// Invokes; what is done leaves the batch.
  io::Task<void> attempt(Batch& batch, std::string& problem) {
    std::string payload = payload_of(batch);
    auto outcome = co_await invoke_patiently(services_, mapping_, std::move(payload),
                                             std::chrono::steady_clock::now() + kPatience);
    if (!outcome) {
      problem = outcome.error().message();
    } else if (!outcome->function_error.empty()) {
      problem = outcome->payload;
    } else {
      keep_failed(batch, outcome->payload);
      report("OK");
      co_return;
    }
    report("PROBLEM: Function call failed");
  }

  /// From the first record that failed of each partition on: order is kept.
  void keep_failed(Batch& batch, const std::string& payload) const {
    std::map<std::string, int64_t> first;
    auto json = mapping_.report_item_failures ? parse_json(payload) : Result<Json>(Json());
    const Json* failures = json ? json_member(*json, "batchItemFailures") : nullptr;
    if (failures == nullptr || !failures->is_array()) {
      batch.clear();
      return;
    }
    for (const Json& item : *failures) {
      const Json* id = json_member(item, "itemIdentifier");
      if (id == nullptr) return;  // all of it failed
      auto partition = json_string(*id, "partition");
      auto offset = json_int(*id, "offset", -1);
      if (!id->is_object() || !partition || !offset || *offset < 0) return;
      auto [it, fresh] = first.try_emplace(*partition, *offset);
      if (!fresh) it->second = std::min(it->second, *offset);
    }
    std::erase_if(batch, [&](const Record& record) {
      auto it = first.find(record.place());
      return it == first.end() || record.offset < it->second;
    });
  }

  bool given_up(const Batch& batch, int32_t errors) const {
    int32_t retries = mapping_.maximum_retries.value_or(-1);
    if (retries >= 0 && errors > retries) return true;
    int32_t age = mapping_.maximum_record_age_seconds.value_or(-1);
    int64_t now_ms = to_unix_nanoseconds(now()) / 1'000'000;
    return age >= 0 && now_ms - batch.front().timestamp_ms > int64_t{age} * 1000;
  }

  io::Task<void> hand_to_destination(Batch batch, std::string problem, int32_t errors) {
    report("PROBLEM: Records were given up after " + std::to_string(errors) + " attempts");
    if (mapping_.on_failure.empty()) co_return;
    auto name = queues::parse_queue_arn(mapping_.on_failure);
    if (!name) {
      log::warn("event source mapping {}: {}", mapping_.uuid, name.error().message());
      co_return;
    }
    const Record& first = batch.front();
    queues::NewMessage message;
    message.body =
        to_json(Json{{"requestContext",
                      {{"requestId", random_uuid()},
                       {"functionArn", function_arn(mapping_.realm, mapping_.function)},
                       {"condition", "RetryAttemptsExhausted"},
                       {"approximateInvokeCount", errors}}},
                     {"responseContext",
                      {{"statusCode", 200}, {"executedVersion", "$LATEST"}, {"functionError", "Unhandled"}}},
                     {"version", "1.0"},
                     {"timestamp", to_rfc3339(now())},
                     {"error", problem.substr(0, 4096)},
                     {"KafkaBatchInfo",
                      {{"batchSize", batch.size()},
                       {"bootstrapServers", fmt::format("{}", fmt::join(mapping_.bootstrap_servers, ","))},
                       {"topic", first.topic},
                       {"partition", first.partition},
                       {"startOffset", first.offset},
                       {"endOffset", batch.back().offset}}}});
    while (true) {
      auto sent = co_await services_.queues.send(*name, message);
      if (sent) co_return;
      log::warn("event source mapping {}: {}: {}", mapping_.uuid, mapping_.on_failure,
                sent.error().message());
      if (sent.error().kind() != Kind::Exhausted) co_return;
      co_await services_.loop.sleep_for(kLongestRetry);
    }
  }

  void report(std::string result) {
    if (result == last_result_) return;
    last_result_ = result;
    auto set = services_.catalog.set_mapping_state(mapping_.uuid, "Enabled", std::move(result));
    if (!set) log::debug("event source mapping {}: {}", mapping_.uuid, set.error().message());
  }

  PollerServices& services_;
  EventSourceMapping mapping_;
  std::unique_ptr<Consumer> consumer_;
  std::vector<EventPattern> patterns_;
  std::string last_result_;
  io::TaskGroup tasks_;
};

}  // namespace

Result<std::unique_ptr<Poller>> make_kafka_poller(PollerServices& services, EventSourceMapping mapping) {
  auto read = [&](const std::string& id) -> Result<std::optional<std::string>> {
    TRY(auto secret, find_secret(services.catalog, mapping.realm, id));
    if (!secret) return std::optional<std::string>();
    return std::optional(std::move(secret->value));
  };
  TRY(auto access, kafka_access(mapping, read));
  TRY(const KafkaLibrary* library, KafkaLibrary::load());
  TRY(auto consumer, Consumer::open(*library, mapping, std::move(access)));
  CHECK(consumer->subscribe(mapping.topics));
  return std::unique_ptr<Poller>(
      std::make_unique<KafkaPoller>(services, std::move(mapping), std::move(consumer)));
}

}  // namespace berth::functions::events
