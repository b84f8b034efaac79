// Rows of held_blobs.
#include "storage/held_blobs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/id.h"

namespace berth::storage {

Result<void> remove_unless_held(const ContentStore& content, const Digest& digest) {
  std::string path = content.blob_path(digest);
  // Moved aside first: what is marked as held from now on is another file.
  std::string aside = path + "." + random_hex(8);
  if (::rename(path.c_str(), aside.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return Error::from_errno("move blob", path, errno);
  }
  struct stat status {};
  bool held = ::stat(aside.c_str(), &status) == 0 && (status.st_mode & 0777) == held_mode;
  if (held) {
    if (::rename(aside.c_str(), path.c_str()) != 0) return Error::from_errno("move blob", path, errno);
    return {};
  }
  if (::unlink(aside.c_str()) != 0) return Error::from_errno("remove blob", aside, errno);
  return {};
}

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
