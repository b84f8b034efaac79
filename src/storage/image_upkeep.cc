// Rows of image_pins and image_uses.
#include "storage/image_upkeep.h"

namespace berth::storage {

Result<void> ImageUpkeep::create() {
  constexpr std::string_view schema[] = {
      "CREATE TABLE image_pins(name TEXT PRIMARY KEY) WITHOUT ROWID;"
      "CREATE TABLE image_uses(image TEXT PRIMARY KEY, used INTEGER NOT NULL) WITHOUT ROWID"};
  return database_.migrate("image_upkeep", schema);
}

Result<void> ImageUpkeep::pin(std::string_view name) {
  TRY(Statement insert, database_.prepare("INSERT OR IGNORE INTO image_pins(name) VALUES(?)"));
  return insert.bind(name).run();
}

Result<bool> ImageUpkeep::unpin(std::string_view name) {
  TRY(Statement remove, database_.prepare("DELETE FROM image_pins WHERE name = ?"));
  CHECK(remove.bind(name).run());
  return database_.changes() > 0;
}

Result<std::set<std::string>> ImageUpkeep::pins() const {
  std::set<std::string> pins;
  TRY(Statement select, database_.prepare("SELECT name FROM image_pins"));
  while (true) {
    TRY(bool row, select.step());
    if (!row) return pins;
    pins.insert(select.text(0));
  }
}

Result<void> ImageUpkeep::note_uses(const std::map<Digest, Timestamp>& uses) {
  TRY(Transaction transaction, database_.begin());
  for (const auto& [image, time] : uses) {
    TRY(Statement write,
        database_.prepare("INSERT INTO image_uses(image, used) VALUES(?, ?) ON CONFLICT(image) DO "
                          "UPDATE SET used = max(used, excluded.used)"));
    CHECK(write.bind(image).bind(to_unix_nanoseconds(time)).run());
  }
  return transaction.commit();
}

Result<std::map<Digest, Timestamp>> ImageUpkeep::last_uses() {
  CHECK(database_.execute("DELETE FROM image_uses WHERE image NOT IN (SELECT id FROM images)"));
  std::map<Digest, Timestamp> uses;
  TRY(Statement select, database_.prepare("SELECT image, used FROM image_uses"));
  while (true) {
    TRY(bool row, select.step());
    if (!row) return uses;
    TRY(Digest image, select.digest(0));
    uses.emplace(std::move(image), from_unix_nanoseconds(select.integer(1)));
  }
}

CollectionChoice choose_least_recently_used(const std::vector<CollectionCandidate>& candidates,
                                            Timestamp spare_since) {
  CollectionChoice choice;
  Timestamp oldest{};
  for (const CollectionCandidate& candidate : candidates) {
    if (candidate.is_kept) continue;
    if (candidate.last_use > spare_since) {
      choice.spared = true;
      continue;
    }
    if (choice.image && candidate.last_use >= oldest) continue;
    choice.image = candidate.id;
    oldest = candidate.last_use;
  }
  if (choice.image) choice.spared = false;
  return choice;
}

}  // namespace berth::storage
