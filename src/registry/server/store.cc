// Tables, blobs and collection. Uploads are in store_uploads.cc, manifests and lists in store_manifests.cc.
#include "registry/server/store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/clock.h"
#include "base/format.h"

namespace berth::registry::server {

using storage::Statement;
using storage::Transaction;

namespace {

constexpr std::string_view schema[] = {
    "CREATE TABLE registry_repositories(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE registry_blobs(repository INTEGER NOT NULL REFERENCES registry_repositories(id), "
    "  digest TEXT NOT NULL, content TEXT NOT NULL, size INTEGER NOT NULL, used INTEGER NOT NULL, "
    "  PRIMARY KEY(repository, digest)) WITHOUT ROWID;"
    "CREATE INDEX registry_blobs_by_content ON registry_blobs(content);"
    "CREATE INDEX registry_blobs_by_digest ON registry_blobs(digest);"
    "CREATE TABLE registry_manifests(repository INTEGER NOT NULL REFERENCES registry_repositories(id), "
    "  digest TEXT NOT NULL, content TEXT NOT NULL, size INTEGER NOT NULL, media_type TEXT NOT NULL, "
    "  subject TEXT NOT NULL, artifact_type TEXT NOT NULL, annotations TEXT NOT NULL, created INTEGER NOT "
    "NULL, "
    "  PRIMARY KEY(repository, digest)) WITHOUT ROWID;"
    "CREATE INDEX registry_manifests_by_content ON registry_manifests(content);"
    "CREATE INDEX registry_manifests_by_subject ON registry_manifests(repository, subject);"
    "CREATE TABLE registry_links(repository INTEGER NOT NULL, manifest TEXT NOT NULL, target TEXT NOT NULL, "
    "  PRIMARY KEY(repository, manifest, target), "
    "  FOREIGN KEY(repository, manifest) REFERENCES registry_manifests(repository, digest) ON DELETE "
    "CASCADE) "
    "  WITHOUT ROWID;"
    "CREATE INDEX registry_links_by_target ON registry_links(repository, target);"
    "CREATE TABLE registry_tags(repository INTEGER NOT NULL, name TEXT NOT NULL, manifest TEXT NOT NULL, "
    "  PRIMARY KEY(repository, name), "
    "  FOREIGN KEY(repository, manifest) REFERENCES registry_manifests(repository, digest) ON DELETE "
    "CASCADE) "
    "  WITHOUT ROWID;"
    "CREATE INDEX registry_tags_by_manifest ON registry_tags(repository, manifest);"
    "CREATE TABLE registry_uploads(id TEXT PRIMARY KEY, repository TEXT NOT NULL, created INTEGER NOT NULL) "
    "  WITHOUT ROWID;"};

/// A blob's lease is written anew when it is older than this.
constexpr auto lease_refresh = std::chrono::minutes(1);
constexpr auto upload_life = std::chrono::hours(7 * 24);

int64_t now_number() {
  return to_unix_nanoseconds(now());
}

}  // namespace

Store::Store(storage::Database& database, storage::ContentStore& content, std::string uploads)
    : database_(database), content_(content), held_(database, "registry"), uploads_(std::move(uploads)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(storage::Database& database, storage::ContentStore& content,
                                           const std::string& content_root) {
  CHECK(database.migrate("registry", schema));
  CHECK(sys::make_dirs(content_root + "/uploads", 0700));
  std::unique_ptr<Store> store(new Store(database, content, content_root + "/uploads"));
  uint64_t removed = 0;
  CHECK(store->tidy_uploads(upload_life, removed));
  return store;
}

Result<std::optional<int64_t>> Store::find_repository(std::string_view name) {
  TRY(Statement select, database_.prepare("SELECT id FROM registry_repositories WHERE name = ?"));
  TRY(bool found, select.bind(name).step());
  if (!found) return std::optional<int64_t>();
  return std::optional<int64_t>(select.integer(0));
}

/// Inside a transaction.
Result<int64_t> Store::make_repository(std::string_view name) {
  TRY(auto known, find_repository(name));
  if (known) return *known;
  {
    TRY(Statement insert, database_.prepare("INSERT INTO registry_repositories(name) VALUES(?)"));
    CHECK(insert.bind(name).run());
  }
  return database_.last_insert_id();
}

Result<bool> Store::has_repository(std::string_view repository) {
  TRY(auto id, find_repository(repository));
  return id.has_value();
}

Result<StoredBlob> Store::blob(std::string_view repository, const ContentDigest& digest) {
  std::optional<StoredBlob> found;
  int64_t id = 0, used = 0;
  {
    TRY(Statement select,
        database_.prepare(
            "SELECT b.repository, b.content, b.size, b.used FROM registry_blobs b "
            "JOIN registry_repositories r ON r.id = b.repository WHERE r.name = ? AND b.digest = ?"));
    TRY(bool row, select.bind(repository).bind(digest.str()).step());
    if (!row) return failure(Kind::NotFound, "blob unknown to registry: {}", digest.str());
    id = select.integer(0);
    used = select.integer(3);
    TRY(Digest content, select.digest(1));
    found = StoredBlob{std::move(content), static_cast<uint64_t>(select.integer(2))};
  }
  int64_t time = now_number();
  if (time - used > std::chrono::nanoseconds(lease_refresh).count()) {
    TRY(Statement update,
        database_.prepare("UPDATE registry_blobs SET used = ? WHERE repository = ? AND digest = ?"));
    CHECK(update.bind(time).bind(id).bind(digest.str()).run());
  }
  return *found;
}

/// Inside a transaction, in which the bytes were published or found.
Result<void> Store::link_blob(int64_t repository, const ContentDigest& digest, const Digest& content,
                              uint64_t size) {
  TRY(Statement insert,
      database_.prepare(
          "INSERT INTO registry_blobs(repository, digest, content, size, used) VALUES(?, ?, ?, ?, ?) "
          "ON CONFLICT(repository, digest) DO UPDATE SET used = excluded.used"));
  insert.bind(repository).bind(digest.str()).bind(content).bind(size).bind(now_number());
  CHECK(insert.run());
  return held_.hold(content);
}

Result<void> Store::release_if_unused(const Digest& content) {
  {
    TRY(Statement select, database_.prepare("SELECT 1 FROM registry_blobs WHERE content = ? UNION ALL "
                                            "SELECT 1 FROM registry_manifests WHERE content = ? LIMIT 1"));
    TRY(bool used, select.bind(content).bind(content).step());
    if (used) return {};
  }
  return held_.release(content);
}

/// Inside a transaction. What is there already, and as long, wins.
Result<void> Store::publish(const std::string& path, const Digest& content, uint64_t size) {
  std::string target = content_.blob_path(content);
  struct stat status {};
  bool there = ::stat(target.c_str(), &status) == 0 && static_cast<uint64_t>(status.st_size) == size;
  if (there && ::chmod(target.c_str(), storage::held_mode) == 0) {
    ::unlink(path.c_str());
    return {};
  }
  if (::chmod(path.c_str(), storage::held_mode) != 0) return Error::from_errno("chmod", path, errno);
  if (::rename(path.c_str(), target.c_str()) != 0) return Error::from_errno("publish blob", target, errno);
  return sys::fsync_dir(target.substr(0, target.rfind('/')));
}

Result<bool> Store::mount(std::string_view repository, std::string_view from, const ContentDigest& digest) {
  TRY(Transaction transaction, database_.begin());
  std::optional<StoredBlob> found;
  {
    TRY(Statement select,
        database_.prepare("SELECT b.content, b.size FROM registry_blobs b JOIN registry_repositories r "
                          "ON r.id = b.repository WHERE b.digest = ? AND (? = '' OR r.name = ?) LIMIT 1"));
    TRY(bool row, select.bind(digest.str()).bind(from).bind(from).step());
    if (!row) return false;
    TRY(Digest content, select.digest(0));
    found = StoredBlob{std::move(content), static_cast<uint64_t>(select.integer(1))};
  }
  TRY(int64_t id, make_repository(repository));
  CHECK(link_blob(id, digest, found->content, found->size));
  CHECK(transaction.commit());
  return true;
}

Result<void> Store::remove_blob(std::string_view repository, const ContentDigest& digest) {
  TRY(StoredBlob found, blob(repository, digest));
  TRY(Transaction transaction, database_.begin());
  TRY(auto id, find_repository(repository));
  if (!id) return {};
  {
    TRY(Statement remove,
        database_.prepare("DELETE FROM registry_blobs WHERE repository = ? AND digest = ?"));
    CHECK(remove.bind(*id).bind(digest.str()).run());
  }
  CHECK(release_if_unused(found.content));
  return transaction.commit();
}

Result<uint64_t> Store::used_bytes(std::string_view repository) {
  TRY(auto id, find_repository(repository));
  if (!id) return uint64_t{0};
  TRY(Statement select,
      database_.prepare("SELECT (SELECT coalesce(sum(size), 0) FROM registry_blobs WHERE repository = ?) + "
                        "(SELECT coalesce(sum(size), 0) FROM registry_manifests WHERE repository = ?)"));
  CHECK(select.bind(*id).bind(*id).step());
  return static_cast<uint64_t>(select.integer(0));
}

namespace {

constexpr std::string_view unreachable_manifests =
    "SELECT m.repository, m.digest, m.content FROM registry_manifests m WHERE m.created < ? "
    "AND NOT EXISTS(SELECT 1 FROM registry_tags t WHERE t.repository = m.repository AND t.manifest = "
    "m.digest) "
    "AND NOT EXISTS(SELECT 1 FROM registry_links l WHERE l.repository = m.repository AND l.target = "
    "m.digest) "
    "AND NOT EXISTS(SELECT 1 FROM registry_manifests s WHERE s.repository = m.repository AND s.digest = "
    "m.subject) "
    "LIMIT 1000";
constexpr std::string_view unreferenced_blobs =
    "SELECT b.repository, b.digest, b.content FROM registry_blobs b WHERE b.used < ? "
    "AND NOT EXISTS(SELECT 1 FROM registry_links l WHERE l.repository = b.repository AND l.target = "
    "b.digest) "
    "LIMIT 1000";

struct Doomed {
  int64_t repository;
  std::string digest;
  Digest content;
};

Result<std::vector<Doomed>> select_doomed(storage::Database& database, std::string_view sql, int64_t before) {
  std::vector<Doomed> rows;
  TRY(Statement select, database.prepare(sql));
  select.bind(before);
  while (true) {
    TRY(bool row, select.step());
    if (!row) return rows;
    TRY(Digest content, select.digest(2));
    rows.push_back({select.integer(0), select.text(1), std::move(content)});
  }
}

}  // namespace

Result<CollectReport> Store::collect(std::chrono::nanoseconds grace, Untagged untagged) {
  CollectReport report;
  int64_t before = now_number() - grace.count();
  auto sweep = [&](std::string_view sql, std::string_view removal, uint64_t& count) -> Result<void> {
    // In batches: pushes go on between them. Removing an index makes its children unreachable, so it is asked
    // again.
    while (true) {
      TRY(Transaction transaction, database_.begin());
      TRY(std::vector<Doomed> doomed, select_doomed(database_, sql, before));
      for (const Doomed& row : doomed) {
        {
          TRY(Statement remove, database_.prepare(removal));
          CHECK(remove.bind(row.repository).bind(row.digest).run());
        }
        CHECK(release_if_unused(row.content));
      }
      CHECK(transaction.commit());
      count += doomed.size();
      if (doomed.empty()) return {};
    }
  };
  if (untagged == Untagged::Removed) {
    CHECK(sweep(unreachable_manifests, "DELETE FROM registry_manifests WHERE repository = ? AND digest = ?",
                report.manifests));
  }
  CHECK(sweep(unreferenced_blobs, "DELETE FROM registry_blobs WHERE repository = ? AND digest = ?",
              report.blobs));
  CHECK(database_.execute(
      "DELETE FROM registry_repositories WHERE NOT EXISTS(SELECT 1 FROM registry_blobs b WHERE "
      "b.repository = id) AND NOT EXISTS(SELECT 1 FROM registry_manifests m WHERE "
      "m.repository = id)"));
  CHECK(tidy_uploads(std::max<std::chrono::nanoseconds>(grace, std::chrono::hours(1)), report.uploads));
  return report;
}

}  // namespace berth::registry::server
