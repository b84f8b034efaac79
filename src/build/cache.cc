// The cache's tables and queries.
#include "build/cache.h"

#include <array>

namespace berth::build {
namespace {

using storage::Statement;

constexpr std::array<std::string_view, 1> schema = {
    "CREATE TABLE build_steps(key TEXT PRIMARY KEY, chain TEXT, made_layer INTEGER NOT NULL, created INTEGER "
    "NOT "
    "NULL, description TEXT NOT NULL, size INTEGER NOT NULL, last_used INTEGER NOT NULL, uses INTEGER NOT "
    "NULL) "
    "WITHOUT ROWID;"
    "CREATE TABLE build_contents(chain TEXT NOT NULL, selection TEXT NOT NULL, content TEXT NOT NULL, "
    "PRIMARY "
    "KEY(chain, selection)) WITHOUT ROWID;"
    "CREATE TABLE build_downloads(url TEXT PRIMARY KEY, content TEXT NOT NULL, etag TEXT NOT NULL, "
    "last_modified TEXT "
    "NOT NULL, mtime INTEGER NOT NULL, size INTEGER NOT NULL, created INTEGER NOT NULL, last_used INTEGER "
    "NOT NULL) "
    "WITHOUT ROWID;"
    "CREATE INDEX build_downloads_content ON build_downloads(content);"
    "CREATE TABLE build_mounts(id TEXT PRIMARY KEY, description TEXT NOT NULL, created INTEGER NOT NULL, "
    "last_used "
    "INTEGER NOT NULL, uses INTEGER NOT NULL) WITHOUT ROWID;"};

int64_t now_stamp() {
  return to_unix_nanoseconds(now());
}

constexpr std::string_view step_columns =
    "SELECT key, chain, made_layer, created, description, size, last_used, uses FROM build_steps";

Result<StepRecord> read_step(const Statement& row) {
  TRY(auto key, row.digest(0));
  StepRecord record{.key = std::move(key)};
  TRY(record.chain_id, row.optional_digest(1));
  record.made_layer = row.integer(2) != 0;
  record.created = from_unix_nanoseconds(row.integer(3));
  record.description = row.text(4);
  record.size = static_cast<uint64_t>(row.integer(5));
  record.last_used = from_unix_nanoseconds(row.integer(6));
  record.use_count = static_cast<uint64_t>(row.integer(7));
  return record;
}

constexpr std::string_view download_columns =
    "SELECT url, content, etag, last_modified, mtime, size, created, last_used FROM build_downloads";

Result<DownloadRecord> read_download(const Statement& row) {
  TRY(auto content, row.digest(1));
  return DownloadRecord{.url = row.text(0),
                        .content = std::move(content),
                        .etag = row.text(2),
                        .last_modified = row.text(3),
                        .mtime = row.integer(4),
                        .size = static_cast<uint64_t>(row.integer(5)),
                        .created = from_unix_nanoseconds(row.integer(6)),
                        .last_used = from_unix_nanoseconds(row.integer(7))};
}

}  // namespace

Result<std::unique_ptr<Cache>> Cache::open(storage::Database& database, ChainHolder& chains) {
  std::unique_ptr<Cache> cache(new Cache(database, chains));
  CHECK(database.migrate("build", schema));
  TRY(const auto all, cache->records());
  std::vector<Digest> gone;
  for (const auto& record : all) {
    if (record.chain_id && !chains.exists(*record.chain_id)) gone.push_back(record.key);
  }
  CHECK(cache->remove_records(gone));
  return cache;
}

Result<void> Cache::hold_chains() {
  TRY(const auto all, records());
  std::set<Digest> held;
  for (const auto& record : all) {
    if (record.chain_id) held.insert(*record.chain_id);
  }
  chains_.hold(held);
  return {};
}

Result<std::optional<StepRecord>> Cache::find(const Digest& key) {
  using Found = std::optional<StepRecord>;
  Found record;
  {
    TRY(auto select, database_.prepare(std::string(step_columns) + " WHERE key = ?"));
    TRY(const bool any, select.bind(key).step());
    if (!any) return Found();
    TRY(record, read_step(select));
  }
  // Not with the statement in hand, which holds the database: whoever makes a layer has the table of layers
  // locked while it writes there.
  if (record->chain_id && !chains_.exists(*record->chain_id)) return Found();
  ++uses_[key];
  return record;
}

Result<void> Cache::store(const StepRecord& record) {
  {
    TRY(auto insert, database_.prepare("INSERT OR REPLACE INTO build_steps(key, chain, made_layer, created, "
                                       "description, size, last_used, uses) VALUES(?, ?, ?, ?, ?, ?, ?, 1)"));
    insert.bind(record.key).bind(record.chain_id).bind(record.made_layer);
    insert.bind(to_unix_nanoseconds(record.created)).bind(record.description).bind(record.size);
    CHECK(insert.bind(now_stamp()).run());
  }
  if (record.chain_id) chains_.add(*record.chain_id);
  return {};
}

Result<void> Cache::flush() {
  if (uses_.empty()) return {};
  TRY(auto transaction, database_.begin());
  for (const auto& [key, uses] : uses_) {
    TRY(auto update,
        database_.prepare("UPDATE build_steps SET last_used = ?, uses = uses + ? WHERE key = ?"));
    CHECK(update.bind(now_stamp()).bind(uses).bind(key).run());
  }
  uses_.clear();
  return transaction.commit();
}

Result<std::optional<Digest>> Cache::find_content(const Digest& chain_id, const Digest& selection) {
  TRY(auto select, database_.prepare("SELECT content FROM build_contents WHERE chain = ? AND selection = ?"));
  TRY(const bool any, select.bind(chain_id).bind(selection).step());
  if (!any) return std::optional<Digest>();
  return select.optional_digest(0);
}

Result<void> Cache::store_content(const Digest& chain_id, const Digest& selection, const Digest& content) {
  TRY(auto insert,
      database_.prepare("INSERT OR REPLACE INTO build_contents(chain, selection, content) VALUES(?, ?, ?)"));
  return insert.bind(chain_id).bind(selection).bind(content).run();
}

Result<std::optional<DownloadRecord>> Cache::find_download(const std::string& url) {
  using Found = std::optional<DownloadRecord>;
  TRY(auto select, database_.prepare(std::string(download_columns) + " WHERE url = ?"));
  TRY(const bool any, select.bind(url).step());
  if (!any) return Found();
  TRY(auto record, read_download(select));
  return Found(std::move(record));
}

Result<std::optional<DownloadRecord>> Cache::find_download_by_content(const Digest& content) {
  using Found = std::optional<DownloadRecord>;
  TRY(auto select, database_.prepare(std::string(download_columns) + " WHERE content = ?"));
  TRY(const bool any, select.bind(content).step());
  if (!any) return Found();
  TRY(auto record, read_download(select));
  return Found(std::move(record));
}

Result<void> Cache::store_download(const DownloadRecord& record) {
  TRY(auto insert,
      database_.prepare("INSERT OR REPLACE INTO build_downloads(url, content, etag, last_modified, mtime, "
                        "size, created, last_used) VALUES(?, ?, ?, ?, ?, ?, ?, ?)"));
  insert.bind(record.url)
      .bind(record.content)
      .bind(record.etag)
      .bind(record.last_modified)
      .bind(record.mtime);
  return insert.bind(record.size).bind(to_unix_nanoseconds(record.created)).bind(now_stamp()).run();
}

Result<void> Cache::use_mount(const std::string& id, const std::string& description) {
  TRY(auto insert,
      database_.prepare(
          "INSERT INTO build_mounts(id, description, created, last_used, uses) VALUES(?, ?, ?, ?, 1) ON "
          "CONFLICT(id) DO UPDATE SET last_used = excluded.last_used, uses = uses + 1"));
  return insert.bind(id).bind(description).bind(now_stamp()).bind(now_stamp()).run();
}

Result<std::vector<StepRecord>> Cache::records() {
  TRY(auto select, database_.prepare(std::string(step_columns) + " ORDER BY last_used DESC, key"));
  std::vector<StepRecord> all;
  while (true) {
    TRY(const bool more, select.step());
    if (!more) return all;
    TRY(auto record, read_step(select));
    all.push_back(std::move(record));
  }
}

Result<std::vector<DownloadRecord>> Cache::downloads() {
  TRY(auto select, database_.prepare(std::string(download_columns) + " ORDER BY last_used DESC, url"));
  std::vector<DownloadRecord> all;
  while (true) {
    TRY(const bool more, select.step());
    if (!more) return all;
    TRY(auto record, read_download(select));
    all.push_back(std::move(record));
  }
}

Result<std::vector<MountRecord>> Cache::mounts() {
  TRY(auto select,
      database_.prepare(
          "SELECT id, description, created, last_used, uses FROM build_mounts ORDER BY last_used DESC"));
  std::vector<MountRecord> all;
  while (true) {
    TRY(const bool more, select.step());
    if (!more) return all;
    all.push_back({.id = select.text(0),
                   .description = select.text(1),
                   .created = from_unix_nanoseconds(select.integer(2)),
                   .last_used = from_unix_nanoseconds(select.integer(3)),
                   .use_count = static_cast<uint64_t>(select.integer(4))});
  }
}

Result<void> Cache::remove_records(const std::vector<Digest>& keys) {
  if (!keys.empty()) {
    TRY(auto transaction, database_.begin());
    for (const auto& key : keys) {
      TRY(auto remove, database_.prepare("DELETE FROM build_steps WHERE key = ?"));
      CHECK(remove.bind(key).run());
      uses_.erase(key);
    }
    CHECK(database_.execute(
        "DELETE FROM build_contents WHERE chain NOT IN (SELECT chain FROM build_steps WHERE chain IS "
        "NOT NULL)"));
    CHECK(transaction.commit());
  }
  return hold_chains();
}

Result<void> Cache::remove_download(const std::string& url) {
  TRY(auto remove, database_.prepare("DELETE FROM build_downloads WHERE url = ?"));
  return remove.bind(url).run();
}

Result<void> Cache::remove_mount(const std::string& id) {
  TRY(auto remove, database_.prepare("DELETE FROM build_mounts WHERE id = ?"));
  return remove.bind(id).run();
}

}  // namespace berth::build
