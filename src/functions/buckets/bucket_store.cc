#include "functions/buckets/bucket_store.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/bytes.h"
#include "base/format.h"
#include "base/id.h"
#include "base/json.h"
#include "storage/byte_stream.h"
#include "storage/database.h"
#include "sys/file.h"

namespace berth::functions {
namespace {

constexpr std::string_view steps[] = {
    "CREATE TABLE buckets(name TEXT PRIMARY KEY, region TEXT NOT NULL, created INTEGER NOT NULL);"
    "CREATE TABLE bucket_objects(bucket TEXT NOT NULL REFERENCES buckets(name), key TEXT NOT NULL,"
    "  file TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, content_type TEXT NOT NULL,"
    "  metadata TEXT NOT NULL, modified INTEGER NOT NULL, PRIMARY KEY(bucket, key)) WITHOUT ROWID;"
    "CREATE TABLE bucket_uploads(id TEXT PRIMARY KEY, bucket TEXT NOT NULL REFERENCES buckets(name) ON "
    "DELETE CASCADE,"
    "  key TEXT NOT NULL, content_type TEXT NOT NULL, metadata TEXT NOT NULL);"
    "CREATE TABLE bucket_parts(upload TEXT NOT NULL REFERENCES bucket_uploads(id) ON DELETE CASCADE,"
    "  number INTEGER NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,"
    "  PRIMARY KEY(upload, number)) WITHOUT ROWID;",
    "CREATE TABLE bucket_notifications(bucket TEXT PRIMARY KEY REFERENCES buckets(name) ON DELETE CASCADE,"
    "  document TEXT NOT NULL);",
};

constexpr size_t longest_key = 1024;

Error no_bucket() {
  return Error(Kind::NotFound, "The specified bucket does not exist");
}
Error no_key() {
  return Error(Kind::NotFound, "The specified key does not exist.");
}
Error no_upload() {
  return Error(Kind::NotFound,
               "The specified upload does not exist. The upload ID may be invalid, or the upload may have "
               "been aborted "
               "or completed.");
}

Result<void> check_bucket_name(std::string_view name) {
  bool fits = name.size() >= 3 && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
                return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
              });
  if (fits && name.front() != '-' && name.front() != '.' && name.back() != '-' && name.back() != '.' &&
      name.find("..") == std::string_view::npos) {
    return {};
  }
  return Error(Kind::InvalidArgument, "The specified bucket is not valid.");
}

std::string metadata_text(const ObjectInfo& info) {
  return to_json(Json(info.metadata));
}

/// Columns: key, size, etag, content_type, metadata, modified.
ObjectInfo read_object_row(const storage::Statement& row) {
  ObjectInfo info{.key = row.text(0),
                  .size = static_cast<uint64_t>(row.integer(1)),
                  .etag = row.text(2),
                  .content_type = row.text(3),
                  .modified = from_unix_nanoseconds(row.integer(5))};
  if (auto metadata = parse_json(row.text(4)); metadata && metadata->is_object()) {
    for (const auto& [name, value] : metadata->items()) {
      if (value.is_string()) info.metadata[name] = value.get<std::string>();
    }
  }
  return info;
}

}  // namespace

struct ObjectWriter::Md5 {
  Md5() : context(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context, EVP_md5(), nullptr); }
  ~Md5() { EVP_MD_CTX_free(context); }
  Md5(const Md5&) = delete;
  EVP_MD_CTX* context;
};

namespace {

std::string md5_hex(EVP_MD_CTX* context) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  EVP_DigestFinal_ex(context, out.data(), &size);
  return to_hex({out.data(), size});
}

}  // namespace

ObjectWriter::ObjectWriter(std::string path, sys::UniqueFd file)
    : path_(std::move(path)), file_(std::move(file)), md5_(std::make_unique<Md5>()) {}

ObjectWriter::~ObjectWriter() {
  if (!kept_) ::unlink(path_.c_str());
}

Result<void> ObjectWriter::write(std::string_view bytes) {
  EVP_DigestUpdate(md5_->context, bytes.data(), bytes.size());
  size_ += bytes.size();
  return sys::write_all(file_.get(), bytes);
}

std::string ObjectWriter::finish() {
  if (digest_.empty()) digest_ = md5_hex(md5_->context);
  return digest_;
}

Result<std::unique_ptr<BucketStore>> BucketStore::open(storage::Database& database, const std::string& root) {
  CHECK(sys::make_dirs(root, 0700));
  CHECK(database.migrate("buckets", steps));
  std::unique_ptr<BucketStore> store(new BucketStore(database, root));
  CHECK(store->remove_strays());
  return store;
}

/// Files that no row names: writes that were cut short.
Result<void> BucketStore::remove_strays() {
  std::set<std::string> known;
  for (const char* table : {"bucket_objects", "bucket_parts"}) {
    TRY(auto rows, database_.prepare(fmt::format("SELECT file FROM {}", table)));
    while (true) {
      TRY(bool more, rows.step());
      if (!more) break;
      known.insert(rows.text(0));
    }
  }
  TRY(auto entries, sys::list_dir(root_));
  for (const auto& entry : entries) {
    if (known.count(entry.name) == 0) ::unlink(path_of(entry.name).c_str());
  }
  return {};
}

Result<void> BucketStore::create(const std::string& bucket, const std::string& region) {
  CHECK(check_bucket_name(bucket));
  if (exists(bucket)) {
    return Error(Kind::AlreadyExists,
                 "Your previous request to create the named bucket succeeded and you already own it.");
  }
  TRY(auto statement, database_.prepare("INSERT INTO buckets VALUES(?,?,?)"));
  return statement.bind(bucket).bind(region).bind(to_unix_nanoseconds(now())).run();
}

Result<std::optional<BucketInfo>> BucketStore::find(std::string_view bucket) const {
  TRY(auto statement, database_.prepare("SELECT name, region, created FROM buckets WHERE name = ?"));
  TRY(bool found, statement.bind(bucket).step());
  if (!found) return std::optional<BucketInfo>();
  return std::optional(
      BucketInfo{statement.text(0), statement.text(1), from_unix_nanoseconds(statement.integer(2))});
}

bool BucketStore::exists(std::string_view bucket) const {
  auto found = find(bucket);
  return found && found->has_value();
}

Result<std::vector<BucketInfo>> BucketStore::list() const {
  TRY(auto statement, database_.prepare("SELECT name, region, created FROM buckets ORDER BY name"));
  std::vector<BucketInfo> all;
  while (true) {
    TRY(bool more, statement.step());
    if (!more) return all;
    all.push_back({statement.text(0), statement.text(1), from_unix_nanoseconds(statement.integer(2))});
  }
}

Result<void> BucketStore::remove(const std::string& bucket) {
  if (!exists(bucket)) return no_bucket();
  TRY(auto page, list_objects(bucket, {.limit = 1}));
  if (!page.objects.empty()) {
    return Error(Kind::WrongState, "The bucket you tried to delete is not empty");
  }
  TRY(auto statement, database_.prepare("DELETE FROM buckets WHERE name = ?"));
  return statement.bind(bucket).run();
}

Result<void> BucketStore::set_notifications(const std::string& bucket, const std::string& document) {
  if (!exists(bucket)) return no_bucket();
  if (document.empty()) {
    TRY(auto statement, database_.prepare("DELETE FROM bucket_notifications WHERE bucket = ?"));
    return statement.bind(bucket).run();
  }
  TRY(auto statement, database_.prepare("INSERT OR REPLACE INTO bucket_notifications VALUES(?,?)"));
  return statement.bind(bucket).bind(document).run();
}

Result<std::string> BucketStore::notifications(const std::string& bucket) const {
  if (!exists(bucket)) return no_bucket();
  TRY(auto statement, database_.prepare("SELECT document FROM bucket_notifications WHERE bucket = ?"));
  TRY(bool found, statement.bind(bucket).step());
  return found ? statement.text(0) : std::string();
}

Result<std::unique_ptr<ObjectWriter>> BucketStore::begin(const std::string& bucket) {
  if (!exists(bucket)) return no_bucket();
  std::string path = path_of(random_hex(16));
  TRY(auto file, sys::open_file(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
  return std::unique_ptr<ObjectWriter>(new ObjectWriter(std::move(path), std::move(file)));
}

Result<ObjectInfo> BucketStore::put(const std::string& bucket, std::unique_ptr<ObjectWriter> writer,
                                    ObjectInfo info) {
  if (info.key.empty() || info.key.size() > longest_key) {
    return Error(Kind::InvalidArgument, "Your key is too long");
  }
  if (info.etag.empty()) info.etag = writer->finish();
  info.size = writer->size();
  info.modified = now();
  CHECK(sys::fsync_fd(writer->file_.get()));
  std::string file = writer->path_.substr(root_.size() + 1), replaced;
  {
    TRY(auto transaction, database_.begin());
    {
      TRY(auto old, database_.prepare("SELECT file FROM bucket_objects WHERE bucket = ? AND key = ?"));
      TRY(bool found, old.bind(bucket).bind(info.key).step());
      if (found) replaced = old.text(0);
    }
    {
      TRY(auto statement, database_.prepare("INSERT OR REPLACE INTO bucket_objects VALUES(?,?,?,?,?,?,?,?)"));
      statement.bind(bucket).bind(info.key).bind(file).bind(info.size).bind(info.etag).bind(
          info.content_type);
      auto kept = statement.bind(metadata_text(info)).bind(to_unix_nanoseconds(info.modified)).run();
      if (!kept && kept.error().kind() == Kind::WrongState) return no_bucket();
      CHECK(std::move(kept));
    }
    CHECK(transaction.commit());
  }
  writer->kept_ = true;
  // A reader that has the old file open keeps it.
  if (!replaced.empty()) ::unlink(path_of(replaced).c_str());
  return info;
}

Result<OpenObject> BucketStore::open_object(const std::string& bucket, const std::string& key) const {
  if (!exists(bucket)) return no_bucket();
  TRY(auto statement,
      database_.prepare("SELECT key, size, etag, content_type, metadata, modified, file FROM bucket_objects "
                        "WHERE bucket = ? AND key = ?"));
  TRY(bool found, statement.bind(bucket).bind(key).step());
  if (!found) return no_key();
  ObjectInfo info = read_object_row(statement);
  TRY(auto file, sys::open_file(path_of(statement.text(6)).c_str(), O_RDONLY));
  return OpenObject{std::move(info), std::move(file)};
}

Result<std::optional<ObjectInfo>> BucketStore::head(const std::string& bucket, const std::string& key) const {
  if (!exists(bucket)) return no_bucket();
  TRY(auto statement,
      database_.prepare("SELECT key, size, etag, content_type, metadata, modified FROM bucket_objects "
                        "WHERE bucket = ? AND key = ?"));
  TRY(bool found, statement.bind(bucket).bind(key).step());
  if (!found) return std::optional<ObjectInfo>();
  return std::optional(read_object_row(statement));
}

Result<void> BucketStore::remove_object(const std::string& bucket, const std::string& key) {
  if (!exists(bucket)) return no_bucket();
  std::string file;
  {
    TRY(auto statement,
        database_.prepare("DELETE FROM bucket_objects WHERE bucket = ? AND key = ? RETURNING file"));
    TRY(bool found, statement.bind(bucket).bind(key).step());
    if (!found) return {};
    file = statement.text(0);
    CHECK(statement.step());
  }
  ::unlink(path_of(file).c_str());
  return {};
}

Result<ObjectPage> BucketStore::list_objects(const std::string& bucket, const ListObjects& query) const {
  if (!exists(bucket)) return no_bucket();
  ObjectPage page;
  // Keys are compared as bytes; a common prefix is skipped as a whole by going on after its last possible
  // key.
  std::string after = std::max(query.after, std::string());
  bool from_prefix = query.prefix > after;
  std::string at = from_prefix ? query.prefix : after;
  while (page.objects.size() + page.common_prefixes.size() < query.limit) {
    TRY(auto statement,
        database_.prepare(
            from_prefix ? "SELECT key, size, etag, content_type, metadata, modified FROM bucket_objects "
                          "WHERE bucket = ? AND key >= ? ORDER BY key LIMIT 1"
                        : "SELECT key, size, etag, content_type, metadata, modified FROM bucket_objects "
                          "WHERE bucket = ? AND key > ? ORDER BY key LIMIT 1"));
    TRY(bool more, statement.bind(bucket).bind(at).step());
    if (!more || !statement.text(0).starts_with(query.prefix)) return page;
    ObjectInfo info = read_object_row(statement);
    size_t end =
        query.delimiter.empty() ? std::string::npos : info.key.find(query.delimiter, query.prefix.size());
    if (end == std::string::npos) {
      at = info.key;
      from_prefix = false;
      page.objects.push_back(std::move(info));
    } else {
      std::string common = info.key.substr(0, end + query.delimiter.size());
      at = common + "\xf4\x8f\xbf\xbf";  // the last code point: behind every key below the prefix
      from_prefix = false;
      if (common > query.after) page.common_prefixes.push_back(std::move(common));
    }
    page.last = at;
  }
  TRY(auto rest,
      database_.prepare("SELECT 1 FROM bucket_objects WHERE bucket = ? AND key > ? AND key >= ? LIMIT 1"));
  TRY(bool more, rest.bind(bucket).bind(at).bind(query.prefix).step());
  page.truncated = more;
  return page;
}

// --- multipart uploads

Result<std::string> BucketStore::begin_upload(const std::string& bucket, const ObjectInfo& info) {
  if (!exists(bucket)) return no_bucket();
  std::string id = random_hex(24);
  TRY(auto statement, database_.prepare("INSERT INTO bucket_uploads VALUES(?,?,?,?,?)"));
  CHECK(
      statement.bind(id).bind(bucket).bind(info.key).bind(info.content_type).bind(metadata_text(info)).run());
  return id;
}

Result<std::string> BucketStore::put_part(const std::string& upload, uint32_t number,
                                          std::unique_ptr<ObjectWriter> writer) {
  if (number < 1 || number > 10'000) {
    return Error(Kind::InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive");
  }
  std::string etag = writer->finish();
  std::string file = writer->path_.substr(root_.size() + 1), replaced;
  {
    TRY(auto old, database_.prepare("SELECT file FROM bucket_parts WHERE upload = ? AND number = ?"));
    TRY(bool found, old.bind(upload).bind(number).step());
    if (found) replaced = old.text(0);
  }
  TRY(auto statement, database_.prepare("INSERT OR REPLACE INTO bucket_parts VALUES(?,?,?,?,?)"));
  auto kept = statement.bind(upload).bind(number).bind(file).bind(writer->size()).bind(etag).run();
  if (!kept && kept.error().kind() == Kind::WrongState) return no_upload();
  CHECK(std::move(kept));
  writer->kept_ = true;
  if (!replaced.empty()) ::unlink(path_of(replaced).c_str());
  return etag;
}

Result<std::vector<BucketStore::Part>> BucketStore::parts(const std::string& upload) const {
  {
    TRY(auto known, database_.prepare("SELECT 1 FROM bucket_uploads WHERE id = ?"));
    TRY(bool found, known.bind(upload).step());
    if (!found) return no_upload();
  }
  TRY(auto statement,
      database_.prepare("SELECT number, etag, size FROM bucket_parts WHERE upload = ? ORDER BY number"));
  statement.bind(upload);
  std::vector<Part> all;
  while (true) {
    TRY(bool more, statement.step());
    if (!more) return all;
    all.push_back({static_cast<uint32_t>(statement.integer(0)), statement.text(1),
                   static_cast<uint64_t>(statement.integer(2))});
  }
}

Result<ObjectInfo> BucketStore::complete_upload(const std::string& bucket, const std::string& upload,
                                                const std::vector<Part>& wanted) {
  TRY(auto held, parts(upload));
  if (wanted.empty()) return Error(Kind::InvalidArgument, "InvalidPart");
  ObjectInfo info;
  {
    TRY(auto row, database_.prepare(
                      "SELECT key, content_type, metadata FROM bucket_uploads WHERE id = ? AND bucket = ?"));
    TRY(bool found, row.bind(upload).bind(bucket).step());
    if (!found) return no_upload();
    info.key = row.text(0);
    info.content_type = row.text(1);
    if (auto metadata = parse_json(row.text(2)); metadata && metadata->is_object()) {
      for (const auto& [name, value] : metadata->items()) info.metadata[name] = value.get<std::string>();
    }
  }
  TRY(auto writer, begin(bucket));
  ObjectWriter::Md5 total;
  uint32_t last = 0;
  for (const Part& part : wanted) {
    if (part.number <= last) return Error(Kind::InvalidArgument, "InvalidPartOrder");
    last = part.number;
    auto match =
        std::find_if(held.begin(), held.end(), [&](const Part& each) { return each.number == part.number; });
    if (match == held.end() || match->etag != part.etag) return Error(Kind::InvalidArgument, "InvalidPart");
    std::string file;
    {
      TRY(auto row, database_.prepare("SELECT file FROM bucket_parts WHERE upload = ? AND number = ?"));
      TRY(bool found, row.bind(upload).bind(part.number).step());
      if (!found) return Error(Kind::InvalidArgument, "InvalidPart");
      file = row.text(0);
    }
    TRY(auto opened, sys::open_file(path_of(file).c_str(), O_RDONLY));
    storage::FdSource source(opened.get());
    std::string buffer(256 << 10, '\0');
    while (true) {
      TRY(size_t count, source.read(buffer));
      if (count == 0) break;
      CHECK(writer->write(std::string_view(buffer).substr(0, count)));
    }
    TRY(auto raw, from_hex(match->etag));
    EVP_DigestUpdate(total.context, raw.data(), raw.size());
  }
  info.etag = fmt::format("{}-{}", md5_hex(total.context), wanted.size());
  TRY(ObjectInfo kept, put(bucket, std::move(writer), std::move(info)));
  CHECK(abort_upload(upload));
  return kept;
}

Result<void> BucketStore::abort_upload(const std::string& upload) {
  std::vector<std::string> files;
  {
    TRY(auto rows, database_.prepare("SELECT file FROM bucket_parts WHERE upload = ?"));
    rows.bind(upload);
    while (true) {
      TRY(bool more, rows.step());
      if (!more) break;
      files.push_back(rows.text(0));
    }
  }
  {
    TRY(auto statement, database_.prepare("DELETE FROM bucket_uploads WHERE id = ?"));
    CHECK(statement.bind(upload).run());
  }
  if (database_.changes() == 0) return no_upload();
  for (const auto& file : files) ::unlink(path_of(file).c_str());
  return {};
}

}  // namespace berth::functions
