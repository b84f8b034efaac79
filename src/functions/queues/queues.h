// Queues: a local queue service with SQS's meaning: at-least-once, visibility timeouts, long polling, dead
// letter queues, FIFO groups and deduplication. What send() has answered is on disk. Loop thread; the rows
// are worked on by GroupCommit's worker.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "functions/queues/model.h"
#include "io/event_loop.h"
#include "io/sync.h"
#include "io/task.h"
#include "io/task_group.h"

namespace berth::storage {
class Database;
class GroupCommit;
}  // namespace berth::storage

namespace berth::functions::queues {

/// How much all queues together may hold; sending more is Exhausted.
struct QueueLimits {
  uint64_t max_messages = 10'000'000;
  uint64_t max_bytes = 8ull << 30;
  size_t max_queues = 10'000;
};

class Queues {
 public:
  /// Makes the tables and reads the queues. `commits` works on `database`.
  static Result<std::unique_ptr<Queues>> open(io::EventLoop& loop, storage::Database& database,
                                              storage::GroupCommit& commits, QueueLimits limits = {},
                                              const Clock& clock = Clock::system());
  ~Queues();
  Queues(const Queues&) = delete;

  using Attributes = std::map<std::string, std::string>;

  /// An existing queue with the same attributes is no error; with others AlreadyExists.
  io::Task<Result<std::string>> create(Realm realm, std::string name, Attributes attributes, Attributes tags);
  io::Task<Result<void>> remove(QueueName queue);
  io::Task<Result<void>> purge(QueueName queue);
  io::Task<Result<void>> set_attributes(QueueName queue, Attributes changes);
  io::Task<Result<void>> tag(QueueName queue, Attributes add, std::vector<std::string> remove);
  /// All attributes, those that are counted or derived too.
  io::Task<Result<Attributes>> attributes(QueueName queue);
  /// NotFound: "The specified queue does not exist.".
  Result<std::shared_ptr<const QueueRecord>> find(const QueueName& queue) const;
  /// By name, of one realm.
  std::vector<std::shared_ptr<const QueueRecord>> list(const Realm& realm, std::string_view prefix) const;
  /// Queues whose dead letters go to this one.
  std::vector<std::string> dead_letter_sources(const QueueName& queue) const;

  io::Task<Result<SentMessage>> send(QueueName queue, NewMessage message);
  /// Messages in one transaction, each with its own outcome.
  io::Task<Result<std::vector<Result<SentMessage>>>> send_batch(QueueName queue,
                                                                std::vector<NewMessage> messages);
  /// Waits for a message as long as the request or the queue says.
  io::Task<Result<std::vector<Message>>> receive(QueueName queue, ReceiveRequest request);
  io::Task<Result<std::vector<Result<void>>>> remove_messages(QueueName queue,
                                                              std::vector<std::string> receipts);
  struct VisibilityChange {
    std::string receipt;
    int64_t seconds = 0;
  };
  io::Task<Result<std::vector<Result<void>>>> change_visibility(QueueName queue,
                                                                std::vector<VisibilityChange> changes);

  /// For transactions that belong to others (the queue of asynchronous events hands over dead letters with
  /// the removal of the event): inserts within `database`'s transaction, on the worker. `queue` is find()'s.
  static Result<void> insert_within(storage::Database& database, const QueueRecord& queue,
                                    const NewMessage& message, int64_t now_ms);
  /// Wakes whoever waits for messages after such an insert.
  void notify(const QueueRecord& queue);

 private:
  struct Live;
  Queues(io::EventLoop& loop, storage::GroupCommit& commits, QueueLimits limits, const Clock& clock);
  using Key = std::pair<Realm, std::string>;
  Result<std::shared_ptr<Live>> live(const QueueName& queue) const;
  std::shared_ptr<Live> add(QueueRecord record);
  Result<void> check_room(size_t messages, size_t bytes) const;
  io::Task<void> sweep();
  int64_t now_ms() const;
  io::Task<void> wait_for_message(std::shared_ptr<Live> queue, std::optional<int64_t> next_at_ms,
                                  io::SteadyTime deadline);

  io::EventLoop& loop_;
  storage::GroupCommit& commits_;
  QueueLimits limits_;
  const Clock& clock_;
  std::map<Key, std::shared_ptr<Live>> queues_;
  std::map<int64_t, std::shared_ptr<Live>> by_id_;
  uint64_t stored_messages_ = 0, stored_bytes_ = 0;  ///< upper estimates, corrected by the sweep
  io::TaskGroup tasks_;
};

Error queue_not_found();

}  // namespace berth::functions::queues
