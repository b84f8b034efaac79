// The engine's tables.
#include "engine/record_store.h"

#include <array>

#include "base/id.h"
#include "engine/record_codec.h"

namespace berth::engine {
namespace {

constexpr std::array<std::string_view, 1> kMigrations = {R"sql(
CREATE TABLE engine_settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE containers (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  definition TEXT NOT NULL,
  state TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE endpoints (
  id TEXT PRIMARY KEY,
  container_id TEXT NOT NULL,
  record TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX endpoints_of_container ON endpoints (container_id);
CREATE TABLE execs (
  id TEXT PRIMARY KEY,
  container_id TEXT NOT NULL,
  record TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX execs_of_container ON execs (container_id);
CREATE TABLE networks (id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE volumes (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
)sql"};

/// Every record of a one-column query, decoded.
template <class T, class Decode>
Result<std::vector<T>> load(storage::Database& database, std::string_view sql, Decode decode) {
  std::vector<T> records;
  TRY(auto statement, database.prepare(sql));
  while (true) {
    TRY(bool row, statement.step());
    if (!row) return records;
    TRY(auto record, decode(statement.text(0)));
    records.push_back(std::move(record));
  }
}

}  // namespace

Result<RecordStore> RecordStore::open(storage::Database& database) {
  CHECK(database.migrate("engine", kMigrations));
  return RecordStore(database);
}

Result<void> RecordStore::put(std::string_view sql, std::string_view key, std::string_view value) {
  TRY(auto statement, database_->prepare(sql));
  return statement.bind(key).bind(value).run();
}

Result<void> RecordStore::erase(std::string_view sql, std::string_view key) {
  TRY(auto statement, database_->prepare(sql));
  return statement.bind(key).run();
}

Result<std::string> RecordStore::engine_id() {
  {
    TRY(auto statement, database_->prepare("SELECT value FROM engine_settings WHERE key = 'id'"));
    TRY(bool row, statement.step());
    if (row) return statement.text(0);
  }
  // As docker shows them: a UUID.
  std::string hex = random_hex(16);
  std::string id = hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" +
                   hex.substr(16, 4) + "-" + hex.substr(20);
  CHECK(put("INSERT INTO engine_settings (key, value) VALUES (?, ?)", "id", id));
  return id;
}

Result<void> RecordStore::insert_container(const ContainerRecord& record) {
  TRY(auto statement,
      database_->prepare("INSERT INTO containers (id, name, definition, state) VALUES (?, ?, ?, ?)"));
  return statement.bind(record.id)
      .bind(record.name)
      .bind(encode_definition(record))
      .bind(encode_state(record))
      .run();
}

Result<void> RecordStore::save_definition(const ContainerRecord& record) {
  TRY(auto statement,
      database_->prepare("UPDATE containers SET name = ?, definition = ?, state = ? WHERE id = ?"));
  return statement.bind(record.name)
      .bind(encode_definition(record))
      .bind(encode_state(record))
      .bind(record.id)
      .run();
}

Result<void> RecordStore::save_state(const ContainerRecord& record) {
  TRY(auto statement, database_->prepare("UPDATE containers SET state = ? WHERE id = ?"));
  return statement.bind(encode_state(record)).bind(record.id).run();
}

Result<void> RecordStore::remove_container(std::string_view id) {
  TRY(auto transaction, database_->begin());
  CHECK(erase("DELETE FROM endpoints WHERE container_id = ?", id));
  CHECK(erase("DELETE FROM execs WHERE container_id = ?", id));
  CHECK(erase("DELETE FROM containers WHERE id = ?", id));
  return transaction.commit();
}

Result<RecordStore::Loaded> RecordStore::load_containers() {
  Loaded loaded;
  TRY(auto statement, database_->prepare("SELECT id, name, definition, state FROM containers"));
  while (true) {
    TRY(bool row, statement.step());
    if (!row) return loaded;
    auto record =
        decode_container(statement.text(0), statement.text(1), statement.text(2), statement.text(3));
    if (record) {
      loaded.containers.push_back(std::move(*record));
    } else {
      loaded.damaged.push_back(std::move(record).error());
    }
  }
}

Result<void> RecordStore::save_endpoint(const network::EndpointRecord& endpoint) {
  TRY(auto statement,
      database_->prepare("INSERT OR REPLACE INTO endpoints (id, container_id, record) VALUES (?, ?, ?)"));
  return statement.bind(endpoint.id).bind(endpoint.container_id).bind(network::encode(endpoint)).run();
}

Result<void> RecordStore::remove_endpoint(std::string_view id) {
  return erase("DELETE FROM endpoints WHERE id = ?", id);
}

Result<std::vector<network::EndpointRecord>> RecordStore::load_endpoints() {
  return load<network::EndpointRecord>(*database_, "SELECT record FROM endpoints", network::decode_endpoint);
}

Result<void> RecordStore::save_network(const network::NetworkRecord& network) {
  return put("INSERT OR REPLACE INTO networks (id, record) VALUES (?, ?)", network.id,
             network::encode(network));
}

Result<void> RecordStore::remove_network(std::string_view id) {
  return erase("DELETE FROM networks WHERE id = ?", id);
}

Result<std::vector<network::NetworkRecord>> RecordStore::load_networks() {
  return load<network::NetworkRecord>(*database_, "SELECT record FROM networks", network::decode_network);
}

Result<void> RecordStore::save_volume(const VolumeRecord& volume) {
  return put("INSERT OR REPLACE INTO volumes (name, record) VALUES (?, ?)", volume.name, encode(volume));
}

Result<void> RecordStore::remove_volume(std::string_view name) {
  return erase("DELETE FROM volumes WHERE name = ?", name);
}

Result<void> RecordStore::replace_volume(std::string_view name, const VolumeRecord& by) {
  TRY(auto transaction, database_->begin());
  CHECK(remove_volume(name));
  CHECK(save_volume(by));
  return transaction.commit();
}

Result<std::vector<VolumeRecord>> RecordStore::load_volumes() {
  return load<VolumeRecord>(*database_, "SELECT record FROM volumes", decode_volume);
}

Result<void> RecordStore::save_exec(const ExecRecord& exec) {
  TRY(auto statement,
      database_->prepare("INSERT OR REPLACE INTO execs (id, container_id, record) VALUES (?, ?, ?)"));
  return statement.bind(exec.id).bind(exec.container_id).bind(encode(exec)).run();
}

Result<void> RecordStore::remove_exec(std::string_view id) {
  return erase("DELETE FROM execs WHERE id = ?", id);
}

Result<std::vector<ExecRecord>> RecordStore::load_execs() {
  return load<ExecRecord>(*database_, "SELECT record FROM execs", decode_exec);
}

}  // namespace berth::engine
