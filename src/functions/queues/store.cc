#include "functions/queues/store.h"

#include <array>
#include <charconv>

#include "base/bytes.h"
#include "base/format.h"
#include "base/id.h"
#include "base/json.h"
#include "base/sha256.h"
#include "functions/queues/attributes.h"
#include "functions/uuid.h"
#include "storage/database.h"

namespace berth::functions::queues {
namespace {

using storage::Database;
using storage::Statement;

constexpr int64_t kDeduplicationMs = 5 * 60 * 1000;

constexpr std::array<std::string_view, 1> kSteps{R"(
  CREATE TABLE queues(
    id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
    created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL, attributes TEXT NOT NULL, tags TEXT NOT NULL,
    UNIQUE(account, region, name));
  CREATE TABLE messages(
    id INTEGER PRIMARY KEY AUTOINCREMENT, queue INTEGER NOT NULL, message_id TEXT NOT NULL,
    body BLOB NOT NULL, attributes TEXT NOT NULL, trace TEXT NOT NULL, group_id TEXT NOT NULL,
    dedup_id TEXT NOT NULL, source TEXT NOT NULL, sent_ms INTEGER NOT NULL, visible_ms INTEGER NOT NULL,
    first_received_ms INTEGER NOT NULL DEFAULT 0, receives INTEGER NOT NULL DEFAULT 0,
    receipt INTEGER NOT NULL DEFAULT 0);
  CREATE INDEX messages_visible ON messages(queue, visible_ms, id);
  CREATE INDEX messages_group ON messages(queue, group_id, id) WHERE group_id <> '';
  CREATE TABLE deduplications(
    queue INTEGER NOT NULL, scope TEXT NOT NULL, dedup_id TEXT NOT NULL, at_ms INTEGER NOT NULL,
    message INTEGER NOT NULL, message_id TEXT NOT NULL, PRIMARY KEY(queue, scope, dedup_id)) WITHOUT ROWID;
)"};

std::string sequence_number(int64_t id) {
  return fmt::format("{:020}", id);
}

struct Receipt {
  int64_t message = 0;
  int64_t generation = 0;
};

std::string receipt_handle(int64_t queue, int64_t message, int64_t generation) {
  return to_base64(fmt::format("berth:{}:{}:{}", queue, message, generation));
}

Error bad_receipt(std::string_view receipt) {
  return failure(Kind::InvalidArgument, "The input receipt handle \"{}\" is not a valid receipt handle.",
                 receipt.substr(0, 200));
}

Result<Receipt> parse_receipt(std::string_view text, int64_t queue) {
  auto plain = from_base64(text);
  if (!plain || !plain->starts_with("berth:")) return bad_receipt(text);
  std::array<int64_t, 3> numbers{};
  const char* at = plain->data() + 6;
  const char* end = plain->data() + plain->size();
  for (size_t i = 0; i < numbers.size(); ++i) {
    auto [stop, error] = std::from_chars(at, end, numbers[i]);
    bool separated = i + 1 == numbers.size() ? stop == end : stop != end && *stop == ':';
    if (error != std::errc() || !separated) return bad_receipt(text);
    at = stop + (i + 1 == numbers.size() ? 0 : 1);
  }
  if (numbers[0] != queue) return bad_receipt(text);
  return Receipt{numbers[1], numbers[2]};
}

std::string map_text(const std::map<std::string, std::string>& map) {
  return to_json(Json(map));
}
std::map<std::string, std::string> text_map(const std::string& text) {
  std::map<std::string, std::string> map;
  auto json = parse_json(text);
  if (!json || !json->is_object()) return map;
  for (const auto& [key, value] : json->items()) {
    if (value.is_string()) map.emplace(key, value.get<std::string>());
  }
  return map;
}

std::string deduplication_id(const NewMessage& message) {
  if (!message.deduplication_id.empty()) return message.deduplication_id;
  return sha256(message.body).hex();
}

/// Columns in the order of kMessageColumns.
constexpr std::string_view kMessageColumns =
    "id, message_id, body, attributes, trace, group_id, dedup_id, source, sent_ms, first_received_ms, "
    "receives, "
    "receipt";

struct Row {
  Message message;
  int64_t generation = 0;
};

Row read_row(const Statement& read, Order order) {
  Row row;
  Message& message = row.message;
  message.id = read.integer(0);
  message.message_id = read.text(1);
  message.body = read.blob(2);
  message.attributes = decode_attributes(read.text(3));
  message.trace_header = read.text(4);
  message.group_id = read.text(5);
  message.deduplication_id = read.text(6);
  message.dead_letter_source = read.text(7);
  message.sent_ms = read.integer(8);
  message.first_received_ms = read.integer(9);
  message.receive_count = read.integer(10);
  row.generation = read.integer(11);
  if (order == Order::Fifo) message.sequence_number = sequence_number(message.id);
  return row;
}

/// Visible messages in the order in which they are to be handed out. A group of a FIFO queue with a message
/// in flight waits for it.
Result<std::vector<Row>> select_visible(Database& database, const QueueRecord& queue, uint32_t limit,
                                        int64_t now_ms) {
  bool fifo = queue.settings.order == Order::Fifo;
  std::string sql = fmt::format(
      "SELECT {} FROM messages m WHERE queue = ? AND visible_ms <= ? AND sent_ms > ?", kMessageColumns);
  sql += fifo ? " AND NOT EXISTS(SELECT 1 FROM messages e WHERE e.queue = m.queue AND e.group_id = m.group_id"
                " AND e.group_id <> '' AND e.id < m.id AND e.visible_ms > ? AND e.sent_ms > ?) ORDER BY id "
                "LIMIT ?"
              : " ORDER BY visible_ms, id LIMIT ?";
  int64_t oldest = now_ms - queue.settings.retention_seconds * 1000;
  TRY(Statement read, database.prepare(sql));
  read.bind(queue.id).bind(now_ms).bind(oldest);
  if (fifo) read.bind(now_ms).bind(oldest);
  read.bind(limit);
  std::vector<Row> rows;
  while (true) {
    TRY(bool more, read.step());
    if (!more) return rows;
    rows.push_back(read_row(read, queue.settings.order));
  }
}

Result<void> move_to_dead_letters(Database& database, const QueueRecord& from, const QueueRecord& to,
                                  int64_t message, int64_t now_ms) {
  TRY(Statement move,
      database.prepare("UPDATE messages SET queue = ?, visible_ms = ?, receives = 0, first_received_ms = 0, "
                       "receipt = receipt + 1, source = ? WHERE id = ?"));
  return move.bind(to.id).bind(now_ms).bind(queue_arn(from.realm, from.name)).bind(message).run();
}

Result<std::optional<int64_t>> next_visible(Database& database, const QueueRecord& queue, int64_t now_ms) {
  TRY(Statement read,
      database.prepare("SELECT MIN(visible_ms) FROM messages WHERE queue = ? AND visible_ms > ?"));
  TRY(bool row, read.bind(queue.id).bind(now_ms).step());
  if (!row || read.is_null(0)) return std::optional<int64_t>();
  return std::optional<int64_t>(read.integer(0));
}

/// The earlier message with this deduplication id, if it is not older than five minutes.
Result<std::optional<SentMessage>> find_duplicate(Database& database, int64_t queue, const std::string& scope,
                                                  const std::string& id, int64_t now_ms) {
  TRY(Statement read, database.prepare("SELECT message, message_id FROM deduplications "
                                       "WHERE queue = ? AND scope = ? AND dedup_id = ? AND at_ms > ?"));
  TRY(bool found, read.bind(queue).bind(scope).bind(id).bind(now_ms - kDeduplicationMs).step());
  if (!found) return std::optional<SentMessage>();
  return std::optional<SentMessage>(SentMessage{read.text(1), sequence_number(read.integer(0))});
}

}  // namespace

Result<void> migrate_queues(Database& database) {
  return database.migrate("queues", kSteps);
}

Result<std::vector<QueueRecord>> load_queues(Database& database) {
  TRY(Statement read,
      database.prepare("SELECT id, account, region, name, created_ms, modified_ms, attributes, "
                       "tags FROM queues ORDER BY id"));
  std::vector<QueueRecord> queues;
  while (true) {
    TRY(bool more, read.step());
    if (!more) return queues;
    QueueRecord queue;
    queue.id = read.integer(0);
    queue.realm = {.account = read.text(1), .region = read.text(2)};
    queue.name = read.text(3);
    queue.created_ms = read.integer(4);
    queue.modified_ms = read.integer(5);
    queue.attributes = text_map(read.text(6));
    queue.tags = text_map(read.text(7));
    TRY(queue.settings, read_settings(queue.name, queue.attributes));
    queues.push_back(std::move(queue));
  }
}

Result<QueueRecord> insert_queue(Database& database, QueueRecord queue) {
  TRY(Statement write, database.prepare("INSERT INTO queues(account, region, name, created_ms, modified_ms, "
                                        "attributes, tags) VALUES(?, ?, ?, ?, ?, ?, ?)"));
  write.bind(queue.realm.account).bind(queue.realm.region).bind(queue.name).bind(queue.created_ms);
  CHECK(write.bind(queue.modified_ms).bind(map_text(queue.attributes)).bind(map_text(queue.tags)).run());
  queue.id = database.last_insert_id();
  return queue;
}

Result<void> update_queue(Database& database, const QueueRecord& queue) {
  TRY(Statement write,
      database.prepare("UPDATE queues SET modified_ms = ?, attributes = ?, tags = ? WHERE id = ?"));
  write.bind(queue.modified_ms).bind(map_text(queue.attributes)).bind(map_text(queue.tags));
  return write.bind(queue.id).run();
}

Result<void> purge_queue(Database& database, int64_t queue) {
  TRY(Statement remove, database.prepare("DELETE FROM messages WHERE queue = ?"));
  return remove.bind(queue).run();
}

Result<void> delete_queue(Database& database, int64_t queue) {
  CHECK(purge_queue(database, queue));
  for (std::string_view sql :
       {"DELETE FROM deduplications WHERE queue = ?", "DELETE FROM queues WHERE id = ?"}) {
    TRY(Statement remove, database.prepare(sql));
    CHECK(remove.bind(queue).run());
  }
  return {};
}

Result<QueueCounts> count_messages(Database& database, const QueueRecord& queue, int64_t now_ms) {
  TRY(Statement read, database.prepare("SELECT SUM(visible_ms <= ?), SUM(visible_ms > ? AND receives > 0), "
                                       "SUM(visible_ms > ? AND receives = 0) FROM messages "
                                       "WHERE queue = ? AND sent_ms > ?"));
  read.bind(now_ms).bind(now_ms).bind(now_ms).bind(queue.id);
  TRY(bool row, read.bind(now_ms - queue.settings.retention_seconds * 1000).step());
  QueueCounts counts;
  if (!row) return counts;
  counts.visible = static_cast<uint64_t>(read.integer(0));
  counts.in_flight = static_cast<uint64_t>(read.integer(1));
  counts.delayed = static_cast<uint64_t>(read.integer(2));
  return counts;
}

Result<StoredTotals> stored_totals(Database& database) {
  TRY(Statement read, database.prepare("SELECT COUNT(*), COALESCE(SUM(LENGTH(body)), 0) FROM messages"));
  TRY([[maybe_unused]] bool row, read.step());
  return StoredTotals{static_cast<uint64_t>(read.integer(0)), static_cast<uint64_t>(read.integer(1))};
}

Result<void> drop_expired(Database& database, const QueueRecord& queue, int64_t now_ms) {
  TRY(Statement messages, database.prepare("DELETE FROM messages WHERE queue = ? AND sent_ms <= ?"));
  CHECK(messages.bind(queue.id).bind(now_ms - queue.settings.retention_seconds * 1000).run());
  TRY(Statement entries, database.prepare("DELETE FROM deduplications WHERE queue = ? AND at_ms <= ?"));
  return entries.bind(queue.id).bind(now_ms - kDeduplicationMs).run();
}

Result<SentMessage> insert_message(Database& database, const QueueRecord& queue, const NewMessage& message,
                                   int64_t now_ms) {
  bool fifo = queue.settings.order == Order::Fifo;
  std::string scope = fifo && queue.settings.deduplication_per_group ? message.group_id : std::string();
  std::string dedup = fifo ? deduplication_id(message) : std::string();
  if (fifo) {
    TRY(auto earlier, find_duplicate(database, queue.id, scope, dedup, now_ms));
    if (earlier) return *earlier;
  }
  SentMessage sent{.message_id = random_uuid(), .sequence_number = {}};
  int64_t delay = message.delay_seconds.value_or(queue.settings.delay_seconds);
  {
    TRY(Statement write, database.prepare("INSERT INTO messages(queue, message_id, body, attributes, trace, "
                                          "group_id, dedup_id, source, sent_ms, visible_ms) "
                                          "VALUES(?, ?, ?, ?, ?, ?, ?, '', ?, ?)"));
    write.bind(queue.id).bind(sent.message_id).bind_blob(message.body);
    write.bind(encode_attributes(message.attributes)).bind(message.trace_header).bind(message.group_id);
    CHECK(write.bind(dedup).bind(now_ms).bind(now_ms + delay * 1000).run());
  }
  int64_t id = database.last_insert_id();
  if (!fifo) return sent;
  sent.sequence_number = sequence_number(id);
  TRY(Statement note, database.prepare("INSERT INTO deduplications(queue, scope, dedup_id, at_ms, message, "
                                       "message_id) VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                                       "at_ms = excluded.at_ms, message = excluded.message, "
                                       "message_id = excluded.message_id"));
  note.bind(queue.id).bind(scope).bind(dedup).bind(now_ms).bind(id);
  CHECK(note.bind(sent.message_id).run());
  return sent;
}

Result<Received> receive_messages(Database& database, const QueueRecord& queue,
                                  const QueueRecord* dead_letters, uint32_t max_messages,
                                  int64_t visibility_ms, int64_t now_ms) {
  Received received;
  // Each round hands out or moves at least one message; a run of dead letters must not starve the rest.
  while (received.messages.size() < max_messages) {
    auto want = static_cast<uint32_t>(max_messages - received.messages.size());
    TRY(auto rows, select_visible(database, queue, want, now_ms));
    if (rows.empty()) break;
    bool moved = false;
    for (Row& row : rows) {
      Message& message = row.message;
      bool dead = dead_letters != nullptr && queue.settings.max_receive_count > 0 &&
                  message.receive_count >= queue.settings.max_receive_count;
      if (dead) {
        CHECK(move_to_dead_letters(database, queue, *dead_letters, message.id, now_ms));
        ++received.moved;
        moved = true;
        continue;
      }
      ++message.receive_count;
      if (message.first_received_ms == 0) message.first_received_ms = now_ms;
      message.receipt_handle = receipt_handle(queue.id, message.id, row.generation + 1);
      TRY(Statement hide,
          database.prepare("UPDATE messages SET visible_ms = ?, receives = ?, first_received_ms = ?, "
                           "receipt = ? WHERE id = ?"));
      hide.bind(now_ms + visibility_ms).bind(message.receive_count).bind(message.first_received_ms);
      CHECK(hide.bind(row.generation + 1).bind(message.id).run());
      received.messages.push_back(std::move(message));
    }
    // Without a visibility timeout the same messages would be found again; and a FIFO group that has just
    // been taken from must not be asked again in the same answer.
    if (!moved || visibility_ms == 0) break;
  }
  if (received.messages.empty()) {
    TRY(received.next_at_ms, next_visible(database, queue, now_ms));
  }
  return received;
}

Result<void> delete_message(Database& database, const QueueRecord& queue, std::string_view receipt,
                            int64_t now_ms) {
  TRY(Receipt handle, parse_receipt(receipt, queue.id));
  if (queue.settings.order == Order::Fifo) {
    TRY(Statement read,
        database.prepare("SELECT receipt, visible_ms FROM messages WHERE id = ? AND queue = ?"));
    TRY(bool found, read.bind(handle.message).bind(queue.id).step());
    if (found && (read.integer(0) != handle.generation || read.integer(1) <= now_ms)) {
      return failure(
          Kind::DeadlineExceeded,
          "Value {} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.",
          receipt.substr(0, 200));
    }
  }
  TRY(Statement remove, database.prepare("DELETE FROM messages WHERE id = ? AND queue = ? AND receipt >= ?"));
  return remove.bind(handle.message).bind(queue.id).bind(handle.generation).run();
}

Result<void> change_visibility(Database& database, const QueueRecord& queue, std::string_view receipt,
                               int64_t visibility_ms, int64_t now_ms) {
  TRY(Receipt handle, parse_receipt(receipt, queue.id));
  // As for deletions, earlier receipts of a standard queue's message are as good as the latest.
  bool fifo = queue.settings.order == Order::Fifo;
  TRY(Statement change, database.prepare(fmt::format("UPDATE messages SET visible_ms = ? WHERE id = ? AND "
                                                     "queue = ? AND receipt {} ? AND visible_ms > ?",
                                                     fifo ? "=" : ">=")));
  change.bind(now_ms + visibility_ms).bind(handle.message).bind(queue.id).bind(handle.generation);
  CHECK(change.bind(now_ms).run());
  if (database.changes() > 0) return {};
  return failure(Kind::WrongState,
                 "Value {} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not "
                 "available for visibility timeout change.",
                 receipt.substr(0, 200));
}

}  // namespace berth::functions::queues
