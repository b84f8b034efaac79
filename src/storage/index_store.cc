// Rows of kept_indexes and kept_index_images.
#include "storage/index_store.h"

#include <sys/stat.h>

#include <cerrno>

#include "base/clock.h"
#include "base/format.h"
#include "spec/reference.h"
#include "storage/held_blobs.h"

namespace berth::storage {
namespace {

constexpr size_t max_document = size_t{8} << 20;

std::string holder_of(const Digest& digest) {
  return "index:" + digest.str();
}

Result<std::set<Digest>> read_digests(Statement& select) {
  std::set<Digest> digests;
  while (true) {
    TRY(bool row, select.step());
    if (!row) return digests;
    TRY(Digest digest, select.digest(0));
    digests.insert(std::move(digest));
  }
}

}  // namespace

Result<void> IndexStore::create() {
  constexpr std::string_view schema[] = {
      "CREATE TABLE kept_indexes(digest TEXT PRIMARY KEY, media_type TEXT NOT NULL, kept INTEGER NOT NULL) "
      "WITHOUT ROWID;"
      "CREATE TABLE kept_index_images(parent TEXT NOT NULL REFERENCES kept_indexes(digest) ON DELETE "
      "CASCADE, "
      "manifest TEXT NOT NULL, image TEXT NOT NULL, os TEXT NOT NULL, architecture TEXT NOT NULL, "
      "variant TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY(parent, manifest)) WITHOUT ROWID"};
  return database_.migrate("kept_indexes", schema);
}

Result<void> IndexStore::keep(const IndexClosure& closure) {
  if (closure.documents.empty()) return Error(Kind::Internal, "an index without documents");
  const spec::Descriptor& index = closure.documents.back().descriptor;
  HeldBlobs held(database_, holder_of(index.digest));
  // Looking and holding in one transaction: no sweep comes in between.
  TRY(Transaction transaction, database_.begin());
  auto hold = [&](const Digest& digest) -> Result<void> {
    if (::chmod(content_.blob_path(digest).c_str(), held_mode) == 0) return held.hold(digest);
    if (errno == ENOENT)
      return failure(Kind::NotFound, "index {}: its blob {} is not here", index.digest.str(), digest.str());
    return Error::from_errno("chmod", content_.blob_path(digest), errno);
  };
  for (const IndexDocument& document : closure.documents) CHECK(hold(document.descriptor.digest));
  for (const spec::Descriptor& blob : closure.blobs) CHECK(hold(blob.digest));
  {
    TRY(Statement insert,
        database_.prepare("INSERT INTO kept_indexes(digest, media_type, kept) VALUES(?, ?, ?) "
                          "ON CONFLICT(digest) DO UPDATE SET kept = excluded.kept"));
    insert.bind(index.digest).bind(index.media_type).bind(to_unix_nanoseconds(now()));
    CHECK(insert.run());
  }
  for (const IndexImage& image : closure.images) {
    TRY(Statement insert,
        database_.prepare(
            "INSERT OR IGNORE INTO kept_index_images(parent, manifest, image, os, architecture, "
            "variant, size) VALUES(?, ?, ?, ?, ?, ?, ?)"));
    insert.bind(index.digest).bind(image.manifest).bind(image.image);
    insert.bind(image.platform.os).bind(image.platform.architecture).bind(image.platform.variant);
    CHECK(insert.bind(image.size).run());
  }
  return transaction.commit();
}

Result<std::optional<KeptIndex>> IndexStore::find(const Digest& digest) const {
  KeptIndex index{.digest = digest, .media_type = {}, .images = {}};
  {
    TRY(Statement select, database_.prepare("SELECT media_type FROM kept_indexes WHERE digest = ?"));
    TRY(bool found, select.bind(digest).step());
    if (!found) return std::optional<KeptIndex>();
    index.media_type = select.text(0);
  }
  TRY(Statement select, database_.prepare("SELECT manifest, image, os, architecture, variant, size FROM "
                                          "kept_index_images WHERE parent = ?"));
  select.bind(digest);
  while (true) {
    TRY(bool row, select.step());
    if (!row) break;
    TRY(Digest manifest, select.digest(0));
    TRY(Digest image, select.digest(1));
    spec::Platform platform;
    platform.os = select.text(2);
    platform.architecture = select.text(3);
    platform.variant = select.text(4);
    index.images.push_back({.manifest = std::move(manifest),
                            .image = std::move(image),
                            .platform = std::move(platform),
                            .size = static_cast<uint64_t>(select.integer(5))});
  }
  return std::optional<KeptIndex>(std::move(index));
}

Result<std::optional<KeptIndex>> IndexStore::of_names(const std::vector<std::string>& repo_digests) const {
  std::optional<Digest> newest;
  int64_t newest_time = -1;
  for (const std::string& name : repo_digests) {
    auto reference = spec::Reference::parse(name);
    if (!reference || !reference->digest()) continue;
    TRY(Statement select, database_.prepare("SELECT kept FROM kept_indexes WHERE digest = ?"));
    TRY(bool found, select.bind(*reference->digest()).step());
    if (!found || select.integer(0) <= newest_time) continue;
    newest_time = select.integer(0);
    newest = *reference->digest();
  }
  if (!newest) return std::optional<KeptIndex>();
  return find(*newest);
}

Result<IndexClosure> IndexStore::closure(const KeptIndex& index) const {
  TRY(std::string bytes, content_.read(index.digest, max_document));
  spec::Descriptor descriptor{
      .media_type = index.media_type, .digest = index.digest, .size = static_cast<int64_t>(bytes.size())};
  return walk_index({std::move(descriptor), std::move(bytes)}, [&](const spec::Descriptor& wanted) {
    return content_.read(wanted.digest, max_document);
  });
}

Result<std::set<Digest>> IndexStore::blobs(const Digest& digest) const {
  TRY(Statement select, database_.prepare("SELECT content FROM held_blobs WHERE holder = ?"));
  select.bind(holder_of(digest));
  return read_digests(select);
}

Result<std::set<Digest>> IndexStore::all_blobs() const {
  TRY(Statement select, database_.prepare("SELECT content FROM held_blobs WHERE holder GLOB 'index:*'"));
  return read_digests(select);
}

Result<std::set<Digest>> IndexStore::held_by_others() const {
  TRY(Statement select, database_.prepare("SELECT content FROM held_blobs WHERE holder NOT GLOB 'index:*'"));
  return read_digests(select);
}

Result<std::set<Digest>> IndexStore::release_unnamed() {
  // "repository@sha256:..." is how names with digests are written.
  constexpr std::string_view unnamed =
      "SELECT digest FROM kept_indexes WHERE NOT EXISTS(SELECT 1 FROM image_names WHERE name LIKE '%@' || "
      "kept_indexes.digest)";
  TRY(Transaction transaction, database_.begin());
  std::set<Digest> gone;
  {
    TRY(Statement select, database_.prepare(unnamed));
    TRY(gone, read_digests(select));
  }
  std::set<Digest> released;
  for (const Digest& digest : gone) {
    TRY(std::set<Digest> held, blobs(digest));
    released.merge(held);
    TRY(Statement release, database_.prepare("DELETE FROM held_blobs WHERE holder = ?"));
    CHECK(release.bind(holder_of(digest)).run());
    TRY(Statement remove, database_.prepare("DELETE FROM kept_indexes WHERE digest = ?"));
    CHECK(remove.bind(digest).run());
  }
  CHECK(transaction.commit());
  return released;
}

}  // namespace berth::storage
