// Rows of held_blobs.
#include "storage/held_blobs.h"

namespace berth::storage {

Result<void> HeldBlobs::create(Database& database) {
  constexpr std::string_view schema[] = {
      "CREATE TABLE held_blobs(holder TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY(holder, content)) "
      "WITHOUT ROWID"};
  return database.migrate("held_blobs", schema);
}

Result<void> HeldBlobs::hold(const Digest& digest) {
  TRY(Statement insert, database_.prepare("INSERT OR IGNORE INTO held_blobs(holder, content) VALUES(?, ?)"));
  return insert.bind(holder_).bind(digest).run();
}

Result<void> HeldBlobs::release(const Digest& digest) {
  TRY(Statement remove, database_.prepare("DELETE FROM held_blobs WHERE holder = ? AND content = ?"));
  return remove.bind(holder_).bind(digest).run();
}

Result<std::set<Digest>> HeldBlobs::all(Database& database) {
  std::set<Digest> held;
  TRY(Statement select, database.prepare("SELECT content FROM held_blobs"));
  while (true) {
    TRY(bool row, select.step());
    if (!row) return held;
    TRY(Digest digest, select.digest(0));
    held.insert(std::move(digest));
  }
}

}  // namespace berth::storage
