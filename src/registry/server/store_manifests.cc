// Manifests, tags, referrers and the lists of them.
#include <sys/stat.h>

#include "base/clock.h"
#include "base/format.h"
#include "registry/server/store.h"

namespace berth::registry::server {

using storage::Statement;
using storage::Transaction;

namespace {

constexpr std::string_view select_manifest =
    "SELECT m.digest, m.content, m.media_type, m.size, m.subject FROM registry_manifests m "
    "JOIN registry_repositories r ON r.id = m.repository ";

Result<StoredManifest> read_manifest_row(Statement& select) {
  auto digest = ContentDigest::parse(select.text(0));
  if (!digest) return failure(Kind::Corrupt, "malformed digest in the database");
  TRY(Digest content, select.digest(1));
  return StoredManifest{std::move(*digest), std::move(content), select.text(2),
                        static_cast<uint64_t>(select.integer(3)), select.text(4)};
}

Error unknown_manifest(std::string_view reference) {
  return failure(Kind::NotFound, "manifest unknown: {}", reference);
}

/// One more row than wanted tells that there is more.
Result<Page> read_page(Statement& select, size_t count) {
  Page page;
  while (true) {
    TRY(bool row, select.step());
    if (!row) return page;
    if (page.names.size() == count) {
      page.more = true;
      return page;
    }
    page.names.push_back(select.text(0));
  }
}

}  // namespace

Result<std::optional<Store::MissingLink>> Store::find_missing(std::string_view repository,
                                                              const CheckedManifest& manifest) {
  TRY(auto id, find_repository(repository));
  for (const ManifestLink& link : manifest.links) {
    if (link.elsewhere) continue;
    if (!id) return std::optional<MissingLink>({link, false});
    bool is_blob = link.target == ManifestLink::Target::Blob;
    TRY(Statement select,
        database_.prepare(is_blob
                              ? "SELECT size FROM registry_blobs WHERE repository = ? AND digest = ?"
                              : "SELECT size FROM registry_manifests WHERE repository = ? AND digest = ?"));
    TRY(bool found, select.bind(*id).bind(link.digest.str()).step());
    if (!found) return std::optional<MissingLink>({link, false});
    if (static_cast<uint64_t>(select.integer(0)) != link.size)
      return std::optional<MissingLink>({link, true});
  }
  return std::optional<MissingLink>();
}

Result<void> Store::put_manifest(std::string_view repository, const ContentDigest& digest,
                                 std::string_view body, const CheckedManifest& manifest,
                                 const std::vector<std::string>& tags) {
  Digest content = sha256(body);
  std::string path = upload_path(content.hex() + ".manifest");
  TRY(Transaction transaction, database_.begin());
  if (::chmod(content_.blob_path(content).c_str(), storage::held_mode) != 0) {
    CHECK(sys::write_file_atomic(path, body, 0400, sys::Durability::Fsync));
    CHECK(publish(path, content, body.size()));
  }
  TRY(int64_t id, make_repository(repository));
  {
    TRY(Statement insert,
        database_.prepare(
            "INSERT INTO registry_manifests(repository, digest, content, size, media_type, subject, "
            "artifact_type, annotations, created) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT(repository, digest) DO UPDATE SET media_type = excluded.media_type, "
            "created = excluded.created"));
    insert.bind(id).bind(digest.str()).bind(content).bind(body.size()).bind(manifest.media_type);
    insert.bind(manifest.subject ? manifest.subject->str() : std::string());
    insert.bind(manifest.artifact_type).bind(manifest.annotations).bind(to_unix_nanoseconds(now()));
    CHECK(insert.run());
  }
  for (const ManifestLink& link : manifest.links) {
    TRY(Statement insert,
        database_.prepare(
            "INSERT OR IGNORE INTO registry_links(repository, manifest, target) VALUES(?, ?, ?)"));
    CHECK(insert.bind(id).bind(digest.str()).bind(link.digest.str()).run());
  }
  for (const std::string& tag : tags) {
    TRY(Statement insert,
        database_.prepare("INSERT INTO registry_tags(repository, name, manifest) VALUES(?, ?, ?) "
                          "ON CONFLICT(repository, name) DO UPDATE SET manifest = excluded.manifest"));
    CHECK(insert.bind(id).bind(tag).bind(digest.str()).run());
  }
  CHECK(held_.hold(content));
  return transaction.commit();
}

Result<StoredManifest> Store::manifest(std::string_view repository, const ContentDigest& digest) {
  TRY(Statement select,
      database_.prepare(std::string(select_manifest) + "WHERE r.name = ? AND m.digest = ?"));
  TRY(bool found, select.bind(repository).bind(digest.str()).step());
  if (!found) return unknown_manifest(digest.str());
  return read_manifest_row(select);
}

Result<StoredManifest> Store::tagged(std::string_view repository, std::string_view tag) {
  TRY(Statement select, database_.prepare(std::string(select_manifest) +
                                          "JOIN registry_tags t ON t.repository = m.repository AND "
                                          "t.manifest = m.digest WHERE r.name = ? AND t.name = ?"));
  TRY(bool found, select.bind(repository).bind(tag).step());
  if (!found) return unknown_manifest(tag);
  return read_manifest_row(select);
}

Result<std::string> Store::read_manifest(const StoredManifest& manifest) const {
  return content_.read(manifest.content, max_manifest_bytes);
}

Result<void> Store::remove_manifest(std::string_view repository, const ContentDigest& digest) {
  TRY(Transaction transaction, database_.begin());
  TRY(StoredManifest found, manifest(repository, digest));
  TRY(auto id, find_repository(repository));
  if (!id) return unknown_manifest(digest.str());
  {
    TRY(Statement remove,
        database_.prepare("DELETE FROM registry_manifests WHERE repository = ? AND digest = ?"));
    CHECK(remove.bind(*id).bind(digest.str()).run());
  }
  CHECK(release_if_unused(found.content));
  return transaction.commit();
}

Result<void> Store::remove_tag(std::string_view repository, std::string_view tag) {
  TRY(auto id, find_repository(repository));
  if (!id) return unknown_manifest(tag);
  TRY(Statement remove, database_.prepare("DELETE FROM registry_tags WHERE repository = ? AND name = ?"));
  CHECK(remove.bind(*id).bind(tag).run());
  if (database_.changes() == 0) return unknown_manifest(tag);
  return {};
}

Result<Page> Store::tags(std::string_view repository, std::string_view last, size_t count) {
  TRY(auto id, find_repository(repository));
  if (!id) return failure(Kind::NotFound, "repository name not known to registry: {}", repository);
  TRY(Statement select,
      database_.prepare(
          "SELECT name FROM registry_tags WHERE repository = ? AND name > ? ORDER BY name LIMIT ?"));
  select.bind(*id).bind(last).bind(count + 1);
  return read_page(select, count);
}

Result<Page> Store::repositories(std::string_view last, size_t count) {
  TRY(Statement select,
      database_.prepare("SELECT name FROM registry_repositories WHERE name > ? ORDER BY name LIMIT ?"));
  select.bind(last).bind(count + 1);
  return read_page(select, count);
}

Result<std::vector<Referrer>> Store::referrers(std::string_view repository, const ContentDigest& subject,
                                               std::string_view artifact_type, std::string_view last,
                                               size_t count) {
  std::vector<Referrer> referrers;
  TRY(auto id, find_repository(repository));
  if (!id) return referrers;
  TRY(Statement select,
      database_.prepare(
          "SELECT digest, media_type, size, artifact_type, annotations FROM registry_manifests "
          "WHERE repository = ? AND subject = ? AND (? = '' OR artifact_type = ?) AND digest > ? "
          "ORDER BY digest LIMIT ?"));
  select.bind(*id).bind(subject.str()).bind(artifact_type).bind(artifact_type).bind(last).bind(count);
  while (true) {
    TRY(bool row, select.step());
    if (!row) return referrers;
    referrers.push_back({select.text(0), select.text(1), static_cast<uint64_t>(select.integer(2)),
                         select.text(3), select.text(4)});
  }
}

Result<std::vector<RepositoryInfo>> Store::describe() {
  std::vector<RepositoryInfo> repositories;
  TRY(Statement select,
      database_.prepare("SELECT name, (SELECT count(*) FROM registry_tags WHERE repository = id), "
                        "(SELECT count(*) FROM registry_manifests WHERE repository = id), "
                        "(SELECT count(*) FROM registry_blobs WHERE repository = id), "
                        "(SELECT coalesce(sum(size), 0) FROM registry_blobs WHERE repository = id) + "
                        "(SELECT coalesce(sum(size), 0) FROM registry_manifests WHERE repository = id) "
                        "FROM registry_repositories ORDER BY name LIMIT 100000"));
  while (true) {
    TRY(bool row, select.step());
    if (!row) return repositories;
    auto count = [&](int column) { return static_cast<uint64_t>(select.integer(column)); };
    repositories.push_back({select.text(0), count(1), count(2), count(3), count(4)});
  }
}

}  // namespace berth::registry::server
