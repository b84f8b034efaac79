// CatalogStore: the catalog's documents in the database, by kind, realm, name and key. Knows nothing of what
// they say; one row is replaced as a whole.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "functions/model.h"

namespace berth::storage {
class Database;
}

namespace berth::functions {

class CatalogStore {
 public:
  static Result<CatalogStore> open(storage::Database& database);

  struct Place {
    std::string_view kind;  ///< "version", "settings", "layer", "mapping" ...
    Realm realm = {};
    std::string_view name = {};
    std::string_view key = {};
  };
  Result<void> put(const Place& place, std::string_view document);
  Result<bool> remove(const Place& place);
  /// All of the name, whatever the key.
  Result<void> remove_named(std::string_view kind, const Realm& realm, std::string_view name);
  Result<std::optional<std::string>> get(const Place& place) const;
  struct Row {
    Realm realm;
    std::string name, key, document;
  };
  Result<void> each(std::string_view kind, const std::function<Result<void>(Row&)>& visit) const;
  /// Several changes or none.
  Result<void> together(const std::function<Result<void>()>& changes);

 private:
  explicit CatalogStore(storage::Database& database) : database_(&database) {}
  storage::Database* database_;
};

}  // namespace berth::functions
