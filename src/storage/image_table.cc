// SQL of images and names.
#include "storage/image_table.h"

#include <array>

namespace berth::storage {
namespace {

constexpr std::array<std::string_view, 1> schema = {
    "CREATE TABLE images(id TEXT PRIMARY KEY, parent TEXT, chain_id TEXT, manifest TEXT, size INTEGER NOT "
    "NULL, "
    "last_tagged INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX images_by_parent ON images(parent);"
    "CREATE TABLE image_names(name TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES images(id) ON DELETE "
    "CASCADE) "
    "WITHOUT ROWID;"
    "CREATE INDEX image_names_by_image ON image_names(image);"};

constexpr std::string_view select_images =
    "SELECT id, parent, chain_id, manifest, size, last_tagged FROM images";

Result<ImageRow> read_row(const Statement& select) {
  TRY(Digest id, select.digest(0));
  ImageRow row{.id = std::move(id)};
  TRY(row.parent, select.optional_digest(1));
  TRY(row.chain_id, select.optional_digest(2));
  TRY(row.manifest, select.optional_digest(3));
  row.size = static_cast<uint64_t>(select.integer(4));
  row.last_tagged = from_unix_nanoseconds(select.integer(5));
  return row;
}

Result<spec::Reference> read_name(const std::string& text) {
  auto reference = spec::Reference::parse(text);
  if (!reference) return Error(Kind::Corrupt, "stored image name: " + reference.error().message());
  return reference;
}

Result<std::vector<Digest>> read_ids(Statement& select) {
  std::vector<Digest> ids;
  while (true) {
    TRY(bool row, select.step());
    if (!row) return ids;
    TRY(Digest id, select.digest(0));
    ids.push_back(std::move(id));
  }
}

}  // namespace

Result<void> ImageTable::create() {
  return database_.migrate("images", schema);
}

Result<std::optional<ImageRow>> ImageTable::find(const Digest& id) const {
  TRY(Statement select, database_.prepare(std::string(select_images) + " WHERE id = ?"));
  TRY(bool found, select.bind(id).step());
  if (!found) return std::optional<ImageRow>();
  TRY(ImageRow row, read_row(select));
  return std::optional<ImageRow>(std::move(row));
}

Result<std::vector<ImageRow>> ImageTable::all() const {
  std::vector<ImageRow> rows;
  TRY(Statement select, database_.prepare(select_images));
  while (true) {
    TRY(bool found, select.step());
    if (!found) return rows;
    TRY(ImageRow row, read_row(select));
    rows.push_back(std::move(row));
  }
}

Result<std::vector<Digest>> ImageTable::find_prefix(std::string_view hex) const {
  // A range and not LIKE: it uses the primary key. 'g' follows every hex digit.
  std::string low = "sha256:" + std::string(hex);
  TRY(Statement select, database_.prepare("SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2"));
  select.bind(low).bind(low + "g");
  return read_ids(select);
}

Result<std::vector<Digest>> ImageTable::children(const Digest& id) const {
  TRY(Statement select, database_.prepare("SELECT id FROM images WHERE parent = ?"));
  select.bind(id);
  return read_ids(select);
}

Result<void> ImageTable::insert(const ImageRow& row) {
  TRY(Statement insert,
      database_.prepare(
          "INSERT INTO images(id, parent, chain_id, manifest, size, last_tagged) VALUES(?, ?, ?, ?, ?, ?) "
          "ON CONFLICT(id) DO UPDATE SET manifest = coalesce(manifest, excluded.manifest), "
          "parent = coalesce(parent, excluded.parent), last_tagged = excluded.last_tagged"));
  insert.bind(row.id).bind(row.parent).bind(row.chain_id).bind(row.manifest).bind(row.size);
  return insert.bind(to_unix_nanoseconds(row.last_tagged)).run();
}

Result<void> ImageTable::remove(const Digest& id) {
  TRY(Statement remove, database_.prepare("DELETE FROM images WHERE id = ?"));
  return remove.bind(id).run();
}

Result<std::optional<Digest>> ImageTable::lookup(const spec::Reference& reference) const {
  TRY(Statement select, database_.prepare("SELECT image FROM image_names WHERE name = ?"));
  TRY(bool found, select.bind(reference.str()).step());
  if (!found) return std::optional<Digest>();
  TRY(Digest id, select.digest(0));
  return std::optional<Digest>(std::move(id));
}

Result<std::vector<spec::Reference>> ImageTable::names_of(const Digest& id) const {
  std::vector<spec::Reference> names;
  TRY(Statement select, database_.prepare("SELECT name FROM image_names WHERE image = ? ORDER BY name"));
  select.bind(id);
  while (true) {
    TRY(bool found, select.step());
    if (!found) return names;
    TRY(spec::Reference reference, read_name(select.text(0)));
    names.push_back(std::move(reference));
  }
}

Result<std::vector<NameRow>> ImageTable::all_names() const {
  std::vector<NameRow> rows;
  TRY(Statement select, database_.prepare("SELECT name, image FROM image_names ORDER BY name"));
  while (true) {
    TRY(bool found, select.step());
    if (!found) return rows;
    TRY(spec::Reference reference, read_name(select.text(0)));
    TRY(Digest image, select.digest(1));
    rows.push_back({std::move(reference), std::move(image)});
  }
}

Result<void> ImageTable::set_name(const spec::Reference& reference, const Digest& id) {
  TRY(Statement write, database_.prepare("INSERT INTO image_names(name, image) VALUES(?, ?) "
                                         "ON CONFLICT(name) DO UPDATE SET image = excluded.image"));
  return write.bind(reference.str()).bind(id).run();
}

Result<void> ImageTable::remove_name(const spec::Reference& reference) {
  TRY(Statement remove, database_.prepare("DELETE FROM image_names WHERE name = ?"));
  return remove.bind(reference.str()).run();
}

Result<void> ImageTable::touch(const Digest& id, Timestamp tagged) {
  TRY(Statement update, database_.prepare("UPDATE images SET last_tagged = ? WHERE id = ?"));
  return update.bind(to_unix_nanoseconds(tagged)).bind(id).run();
}

}  // namespace berth::storage
