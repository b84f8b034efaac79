// QueueStore: queues and messages as rows, and what sending, receiving and deleting do to them. Called inside
// a transaction on a worker thread (storage/group_commit.h); times are handed in, so that tests need no
// clock.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "functions/queues/model.h"

namespace berth::storage {
class Database;
}

namespace berth::functions::queues {

/// Makes the tables ("queues" component).
Result<void> migrate_queues(storage::Database& database);

// Queues.
Result<std::vector<QueueRecord>> load_queues(storage::Database& database);
/// Gives the record its id.
Result<QueueRecord> insert_queue(storage::Database& database, QueueRecord queue);
Result<void> update_queue(storage::Database& database, const QueueRecord& queue);
Result<void> delete_queue(storage::Database& database, int64_t queue);
Result<void> purge_queue(storage::Database& database, int64_t queue);
Result<QueueCounts> count_messages(storage::Database& database, const QueueRecord& queue, int64_t now_ms);
/// All stored messages: how many, and bytes of their bodies.
struct StoredTotals {
  uint64_t messages = 0, bytes = 0;
};
Result<StoredTotals> stored_totals(storage::Database& database);
/// Drops what is older than the queue's retention, and deduplication entries that have lapsed.
Result<void> drop_expired(storage::Database& database, const QueueRecord& queue, int64_t now_ms);

// Messages.
/// A FIFO message whose deduplication id was seen within five minutes is not stored again: the answer is that
/// of the first.
Result<SentMessage> insert_message(storage::Database& database, const QueueRecord& queue,
                                   const NewMessage& message, int64_t now_ms);

struct Received {
  std::vector<Message> messages;
  uint32_t moved = 0;                 ///< to the dead letter queue
  std::optional<int64_t> next_at_ms;  ///< when the next message becomes visible, if none was there
};
/// Takes what is visible, in order, and hides it for `visibility_ms`. Messages that have been received
/// max_receive_count times go to `dead_letters` instead, if there is such a queue.
Result<Received> receive_messages(storage::Database& database, const QueueRecord& queue,
                                  const QueueRecord* dead_letters, uint32_t max_messages,
                                  int64_t visibility_ms, int64_t now_ms);

/// InvalidArgument for what is no handle of this queue; DeadlineExceeded for a FIFO queue's handle that has
/// lapsed.
Result<void> delete_message(storage::Database& database, const QueueRecord& queue, std::string_view receipt,
                            int64_t now_ms);
/// WrongState: the message is not in flight.
Result<void> change_visibility(storage::Database& database, const QueueRecord& queue,
                               std::string_view receipt, int64_t visibility_ms, int64_t now_ms);

}  // namespace berth::functions::queues
