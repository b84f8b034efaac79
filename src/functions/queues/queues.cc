#include "functions/queues/queues.h"

#include <algorithm>

#include "base/format.h"
#include "base/log.h"
#include "functions/queues/attributes.h"
#include "functions/queues/store.h"
#include "storage/database.h"
#include "storage/group_commit.h"

namespace berth::functions::queues {
namespace {

using namespace std::chrono_literals;
using storage::Database;

constexpr auto kSweepEvery = 10min;

Error queue_exists(std::string_view attribute) {
  return failure(Kind::AlreadyExists,
                 "A queue already exists with the same name and a different value for attribute {}",
                 attribute);
}

/// The first attribute of those asked for that has not the value that the queue has.
std::optional<std::string> different_attribute(const std::map<std::string, std::string>& asked,
                                               const QueueRecord& queue) {
  auto settings = read_settings(queue.name, asked);
  bool fifo = settings && settings->order == Order::Fifo;
  if (!settings || fifo != (queue.settings.order == Order::Fifo)) return "FifoQueue";
  for (const auto& [key, value] : asked) {
    auto has = queue.attributes.find(key);
    // What was not set has its default: compare through the settings.
    if (has == queue.attributes.end()) {
      auto with = queue.attributes;
      with[key] = value;
      auto changed = read_settings(queue.name, with);
      if (!changed) return key;
      const QueueSettings &a = *changed, &b = queue.settings;
      bool equal = a.delay_seconds == b.delay_seconds && a.maximum_message_size == b.maximum_message_size &&
                   a.retention_seconds == b.retention_seconds &&
                   a.receive_wait_seconds == b.receive_wait_seconds &&
                   a.visibility_seconds == b.visibility_seconds && a.dead_letter_arn == b.dead_letter_arn &&
                   a.content_based_deduplication == b.content_based_deduplication;
      if (!equal) return key;
    } else if (has->second != value) {
      return key;
    }
  }
  return std::nullopt;
}

}  // namespace

/// A queue and who waits for its messages. The record is replaced as a whole when it changes.
struct Queues::Live {
  std::shared_ptr<const QueueRecord> record;
  io::Condition arrived;
  bool removed = false;
};

Error queue_not_found() {
  return Error(Kind::NotFound, "The specified queue does not exist.");
}

Queues::Queues(io::EventLoop& loop, storage::GroupCommit& commits, QueueLimits limits, const Clock& clock)
    : loop_(loop), commits_(commits), limits_(limits), clock_(clock) {}
Queues::~Queues() = default;

Result<std::unique_ptr<Queues>> Queues::open(io::EventLoop& loop, Database& database,
                                             storage::GroupCommit& commits, QueueLimits limits,
                                             const Clock& clock) {
  CHECK(migrate_queues(database));
  std::unique_ptr<Queues> queues(new Queues(loop, commits, limits, clock));
  TRY(auto records, load_queues(database));
  for (QueueRecord& record : records) queues->add(std::move(record));
  TRY(StoredTotals totals, stored_totals(database));
  queues->stored_messages_ = totals.messages;
  queues->stored_bytes_ = totals.bytes;
  queues->tasks_.spawn(queues->sweep());
  return queues;
}

int64_t Queues::now_ms() const {
  return to_unix_nanoseconds(clock_.now()) / 1'000'000;
}

std::shared_ptr<Queues::Live> Queues::add(QueueRecord record) {
  auto live = std::make_shared<Live>();
  live->record = std::make_shared<const QueueRecord>(std::move(record));
  queues_[{live->record->realm, live->record->name}] = live;
  by_id_[live->record->id] = live;
  return live;
}

Result<std::shared_ptr<Queues::Live>> Queues::live(const QueueName& queue) const {
  auto it = queues_.find({queue.realm, queue.name});
  if (it == queues_.end()) return queue_not_found();
  return it->second;
}

Result<std::shared_ptr<const QueueRecord>> Queues::find(const QueueName& queue) const {
  TRY(auto found, live(queue));
  return found->record;
}

std::vector<std::shared_ptr<const QueueRecord>> Queues::list(const Realm& realm,
                                                             std::string_view prefix) const {
  std::vector<std::shared_ptr<const QueueRecord>> result;
  for (const auto& [key, queue] : queues_) {
    if (key.first == realm && key.second.starts_with(prefix)) result.push_back(queue->record);
  }
  return result;
}

std::vector<std::string> Queues::dead_letter_sources(const QueueName& queue) const {
  std::string arn = queue_arn(queue.realm, queue.name);
  std::vector<std::string> names;
  for (const auto& [key, source] : queues_) {
    if (key.first == queue.realm && source->record->settings.dead_letter_arn == arn)
      names.push_back(key.second);
  }
  return names;
}

Result<void> Queues::check_room(size_t messages, size_t bytes) const {
  if (stored_messages_ + messages <= limits_.max_messages && stored_bytes_ + bytes <= limits_.max_bytes)
    return {};
  return failure(Kind::Exhausted,
                 "the queues hold {} messages with {} bytes, which is all they may ({} messages, {} bytes): "
                 "receive and delete messages, or purge a queue",
                 stored_messages_, stored_bytes_, limits_.max_messages, limits_.max_bytes);
}

io::Task<Result<std::string>> Queues::create(Realm realm, std::string name, Attributes attributes,
                                             Attributes tags) {
  CO_TRY(QueueSettings settings, read_settings(name, attributes));
  if (auto existing = queues_.find({realm, name}); existing != queues_.end()) {
    auto different = different_attribute(attributes, *existing->second->record);
    if (different) co_return queue_exists(*different);
    co_return name;
  }
  if (queues_.size() >= limits_.max_queues) {
    co_return failure(Kind::Exhausted, "there are {} queues, which is as many as there may be",
                      queues_.size());
  }
  QueueRecord record{.realm = realm,
                     .name = name,
                     .created_ms = now_ms(),
                     .modified_ms = now_ms(),
                     .attributes = std::move(attributes),
                     .tags = std::move(tags),
                     .settings = settings};
  auto insert = [record](Database& database) { return insert_queue(database, record); };
  auto inserted = co_await commits_.run(std::move(insert));
  if (!inserted && inserted.error().kind() == Kind::AlreadyExists) co_return name;  // made at the same time
  if (!inserted) co_return inserted.error();
  add(std::move(*inserted));
  co_return name;
}

io::Task<Result<void>> Queues::remove(QueueName queue) {
  CO_TRY(auto found, live(queue));
  int64_t id = found->record->id;
  auto work = [id](Database& database) { return delete_queue(database, id); };
  CO_CHECK(co_await commits_.run(work));
  found->removed = true;
  found->arrived.notify_all();
  queues_.erase({queue.realm, queue.name});
  by_id_.erase(id);
  co_return Result<void>();
}

io::Task<Result<void>> Queues::purge(QueueName queue) {
  CO_TRY(auto found, live(queue));
  int64_t id = found->record->id;
  auto work = [id](Database& database) { return purge_queue(database, id); };
  co_return co_await commits_.run(work);
}

io::Task<Result<void>> Queues::set_attributes(QueueName queue, Attributes changes) {
  CO_TRY(auto found, live(queue));
  QueueRecord record = *found->record;
  if (changes.contains("FifoQueue")) {
    bool fifo = record.settings.order == Order::Fifo;
    if (!fifo) co_return Error(Kind::Unsupported, "Unknown Attribute FifoQueue.");
    if (changes["FifoQueue"] != "true")
      co_return Error(
          Kind::Unsupported,
          "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.");
  }
  for (auto& [key, value] : changes) {
    bool clears = value.empty() && (key == "RedrivePolicy" || key == "Policy" || key == "RedriveAllowPolicy");
    if (clears) {
      record.attributes.erase(key);
    } else {
      record.attributes[key] = value;
    }
  }
  CO_TRY(record.settings, read_settings(record.name, record.attributes));
  record.modified_ms = now_ms();
  auto work = [record](Database& database) { return update_queue(database, record); };
  CO_CHECK(co_await commits_.run(std::move(work)));
  found->record = std::make_shared<const QueueRecord>(std::move(record));
  found->arrived.notify_all();
  co_return Result<void>();
}

io::Task<Result<void>> Queues::tag(QueueName queue, Attributes add, std::vector<std::string> remove) {
  CO_TRY(auto found, live(queue));
  QueueRecord record = *found->record;
  for (auto& [key, value] : add) record.tags[key] = value;
  for (const std::string& key : remove) record.tags.erase(key);
  if (record.tags.size() > 50)
    co_return Error(Kind::InvalidArgument, "Too many tags added for queue; at most 50.");
  auto work = [record](Database& database) { return update_queue(database, record); };
  CO_CHECK(co_await commits_.run(std::move(work)));
  found->record = std::make_shared<const QueueRecord>(std::move(record));
  co_return Result<void>();
}

io::Task<Result<Queues::Attributes>> Queues::attributes(QueueName queue) {
  CO_TRY(auto found, live(queue));
  auto record = found->record;
  int64_t time = now_ms();
  auto work = [record, time](Database& database) { return count_messages(database, *record, time); };
  CO_TRY(QueueCounts counts, co_await commits_.run(std::move(work)));
  const QueueSettings& settings = record->settings;
  Attributes result = record->attributes;
  auto number = [&](const char* name, auto value) { result[name] = std::to_string(value); };
  number("DelaySeconds", settings.delay_seconds);
  number("MaximumMessageSize", settings.maximum_message_size);
  number("MessageRetentionPeriod", settings.retention_seconds);
  number("ReceiveMessageWaitTimeSeconds", settings.receive_wait_seconds);
  number("VisibilityTimeout", settings.visibility_seconds);
  number("CreatedTimestamp", record->created_ms / 1000);
  number("LastModifiedTimestamp", record->modified_ms / 1000);
  number("ApproximateNumberOfMessages", counts.visible);
  number("ApproximateNumberOfMessagesNotVisible", counts.in_flight);
  number("ApproximateNumberOfMessagesDelayed", counts.delayed);
  result["QueueArn"] = queue_arn(record->realm, record->name);
  result.try_emplace("SqsManagedSseEnabled", "true");
  if (settings.order == Order::Fifo) {
    result.try_emplace("ContentBasedDeduplication", "false");
    result.try_emplace("DeduplicationScope", "queue");
    result.try_emplace("FifoThroughputLimit", "perQueue");
  }
  co_return result;
}

io::Task<Result<SentMessage>> Queues::send(QueueName queue, NewMessage message) {
  std::vector<NewMessage> one;
  one.push_back(std::move(message));
  CO_TRY(auto outcomes, co_await send_batch(std::move(queue), std::move(one)));
  co_return std::move(outcomes.front());
}

io::Task<Result<std::vector<Result<SentMessage>>>> Queues::send_batch(QueueName queue,
                                                                      std::vector<NewMessage> messages) {
  CO_TRY(auto found, live(queue));
  auto record = found->record;
  size_t bytes = 0;
  std::vector<std::optional<Error>> refused;
  for (const NewMessage& message : messages) {
    auto good = check_message(*record, message);
    refused.push_back(good ? std::nullopt : std::optional<Error>(good.error()));
    bytes += message_size(message);
  }
  CO_CHECK(check_room(messages.size(), bytes));
  using Outcomes = std::vector<Result<SentMessage>>;
  size_t count = messages.size();
  auto work = [record, messages = std::move(messages), refused = std::move(refused),
               time = now_ms()](Database& database) -> Result<Outcomes> {
    Outcomes outcomes;
    for (size_t i = 0; i < messages.size(); ++i) {
      if (refused[i]) {
        outcomes.emplace_back(*refused[i]);
        continue;
      }
      TRY(SentMessage sent, insert_message(database, *record, messages[i], time));
      outcomes.emplace_back(std::move(sent));
    }
    return outcomes;
  };
  CO_TRY(Outcomes outcomes, co_await commits_.run(std::move(work)));
  stored_messages_ += count;
  stored_bytes_ += bytes;
  found->arrived.notify_all();
  co_return outcomes;
}

io::Task<Result<std::vector<Message>>> Queues::receive(QueueName queue, ReceiveRequest request) {
  CO_TRY(auto found, live(queue));
  int64_t wait = request.wait_seconds.value_or(found->record->settings.receive_wait_seconds);
  io::SteadyTime deadline = std::chrono::steady_clock::now() + std::chrono::seconds(wait);
  while (true) {
    auto record = found->record;
    std::shared_ptr<const QueueRecord> dead_letters;
    if (!record->settings.dead_letter_arn.empty()) {
      auto name = parse_queue_arn(record->settings.dead_letter_arn);
      auto target = name ? find(*name) : Result<std::shared_ptr<const QueueRecord>>(queue_not_found());
      if (target) dead_letters = *target;
    }
    int64_t hidden_ms = request.visibility_seconds.value_or(record->settings.visibility_seconds) * 1000;
    auto work = [record, dead_letters, hidden_ms, most = request.max_messages,
                 time = now_ms()](Database& database) {
      return receive_messages(database, *record, dead_letters.get(), most, hidden_ms, time);
    };
    CO_TRY(Received received, co_await commits_.run(std::move(work)));
    if (received.moved > 0) notify(*dead_letters);
    bool over = std::chrono::steady_clock::now() >= deadline;
    if (!received.messages.empty() || over) co_return std::move(received.messages);
    co_await wait_for_message(found, received.next_at_ms, deadline);
    if (found->removed) co_return queue_not_found();
  }
}

io::Task<void> Queues::wait_for_message(std::shared_ptr<Live> queue, std::optional<int64_t> next_at_ms,
                                        io::SteadyTime deadline) {
  io::SteadyTime wake = deadline;
  if (next_at_ms) {
    auto until = std::chrono::milliseconds(std::max<int64_t>(*next_at_ms - now_ms(), 1));
    wake = std::min(wake, std::chrono::steady_clock::now() + until);
  }
  // The timer wakes the condition as an arrival does; whoever wakes looks again.
  io::TaskGroup timer;
  auto ring = [](io::EventLoop& loop, io::SteadyTime at, std::shared_ptr<Live> live) -> io::Task<void> {
    co_await loop.sleep_until(at);
    live->arrived.notify_all();
  };
  timer.spawn(ring(loop_, wake, queue));
  co_await queue->arrived.wait();
}

io::Task<Result<std::vector<Result<void>>>> Queues::remove_messages(QueueName queue,
                                                                    std::vector<std::string> receipts) {
  CO_TRY(auto found, live(queue));
  using Outcomes = std::vector<Result<void>>;
  auto work = [record = found->record, receipts = std::move(receipts),
               time = now_ms()](Database& database) -> Result<Outcomes> {
    Outcomes outcomes;
    for (const std::string& receipt : receipts)
      outcomes.push_back(delete_message(database, *record, receipt, time));
    return outcomes;
  };
  CO_TRY(Outcomes outcomes, co_await commits_.run(std::move(work)));
  auto removed = static_cast<uint64_t>(std::count_if(
      outcomes.begin(), outcomes.end(), [](const Result<void>& done) { return done.has_value(); }));
  stored_messages_ -= std::min(stored_messages_, removed);
  // The next of a FIFO group may be taken now.
  if (found->record->settings.order == Order::Fifo) found->arrived.notify_all();
  co_return outcomes;
}

io::Task<Result<std::vector<Result<void>>>> Queues::change_visibility(QueueName queue,
                                                                      std::vector<VisibilityChange> changes) {
  CO_TRY(auto found, live(queue));
  using Outcomes = std::vector<Result<void>>;
  auto work = [record = found->record, changes = std::move(changes),
               time = now_ms()](Database& database) -> Result<Outcomes> {
    Outcomes outcomes;
    for (const VisibilityChange& change : changes) {
      outcomes.push_back(berth::functions::queues::change_visibility(database, *record, change.receipt,
                                                                     change.seconds * 1000, time));
    }
    return outcomes;
  };
  CO_TRY(Outcomes outcomes, co_await commits_.run(std::move(work)));
  found->arrived.notify_all();
  co_return outcomes;
}

Result<void> Queues::insert_within(Database& database, const QueueRecord& queue, const NewMessage& message,
                                   int64_t now_ms) {
  TRY([[maybe_unused]] auto sent, insert_message(database, queue, message, now_ms));
  return {};
}

void Queues::notify(const QueueRecord& queue) {
  auto it = by_id_.find(queue.id);
  if (it != by_id_.end()) it->second->arrived.notify_all();
}

io::Task<void> Queues::sweep() {
  while (true) {
    co_await loop_.sleep_for(kSweepEvery);
    std::vector<std::shared_ptr<const QueueRecord>> records;
    for (const auto& [id, queue] : by_id_) records.push_back(queue->record);
    if (records.empty()) continue;
    auto work = [records = std::move(records), time = now_ms()](Database& database) -> Result<StoredTotals> {
      for (const auto& record : records) CHECK(drop_expired(database, *record, time));
      return stored_totals(database);
    };
    auto totals = co_await commits_.run(std::move(work));
    if (!totals) {
      log::warn("queues: {}", totals.error().message());
      continue;
    }
    stored_messages_ = totals->messages;
    stored_bytes_ = totals->bytes;
  }
}

}  // namespace berth::functions::queues
