#include "functions/catalog/store.h"

#include "storage/database.h"

namespace berth::functions {
namespace {

constexpr std::string_view steps[] = {
    "CREATE TABLE function_documents("
    "  kind TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT "
    "NULL,"
    "  document TEXT NOT NULL,"
    "  PRIMARY KEY(kind, account, region, name, key)) WITHOUT ROWID;",
};

}  // namespace

Result<CatalogStore> CatalogStore::open(storage::Database& database) {
  CHECK(database.migrate("functions", steps));
  return CatalogStore(database);
}

Result<void> CatalogStore::put(const Place& place, std::string_view document) {
  TRY(auto statement, database_->prepare("INSERT INTO function_documents VALUES(?,?,?,?,?,?) "
                                         "ON CONFLICT DO UPDATE SET document = excluded.document"));
  statement.bind(place.kind).bind(place.realm.account).bind(place.realm.region);
  return statement.bind(place.name).bind(place.key).bind(document).run();
}

Result<bool> CatalogStore::remove(const Place& place) {
  {
    TRY(auto statement,
        database_->prepare("DELETE FROM function_documents "
                           "WHERE kind = ? AND account = ? AND region = ? AND name = ? AND key = ?"));
    statement.bind(place.kind).bind(place.realm.account).bind(place.realm.region);
    CHECK(statement.bind(place.name).bind(place.key).run());
  }
  return database_->changes() > 0;
}

Result<void> CatalogStore::remove_named(std::string_view kind, const Realm& realm, std::string_view name) {
  TRY(auto statement, database_->prepare("DELETE FROM function_documents "
                                         "WHERE kind = ? AND account = ? AND region = ? AND name = ?"));
  return statement.bind(kind).bind(realm.account).bind(realm.region).bind(name).run();
}

Result<std::optional<std::string>> CatalogStore::get(const Place& place) const {
  TRY(auto statement,
      database_->prepare("SELECT document FROM function_documents "
                         "WHERE kind = ? AND account = ? AND region = ? AND name = ? AND key = ?"));
  statement.bind(place.kind).bind(place.realm.account).bind(place.realm.region);
  TRY(bool found, statement.bind(place.name).bind(place.key).step());
  if (!found) return std::optional<std::string>();
  return std::optional(statement.text(0));
}

Result<void> CatalogStore::each(std::string_view kind, const std::function<Result<void>(Row&)>& visit) const {
  TRY(auto statement,
      database_->prepare("SELECT account, region, name, key, document FROM function_documents "
                         "WHERE kind = ? ORDER BY account, region, name, key"));
  statement.bind(kind);
  while (true) {
    TRY(bool more, statement.step());
    if (!more) return {};
    Row row{.realm = {.account = statement.text(0), .region = statement.text(1)},
            .name = statement.text(2),
            .key = statement.text(3),
            .document = statement.text(4)};
    CHECK(visit(row));
  }
}

Result<void> CatalogStore::together(const std::function<Result<void>()>& changes) {
  TRY(auto transaction, database_->begin());
  CHECK(changes());
  return transaction.commit();
}

}  // namespace berth::functions
