// BucketStore: buckets of objects as S3 has them, for code and data of functions: names and sizes in the
// database (component "buckets"), contents as files below data-root/functions/buckets. An object is visible
// when its row is there; a file without a row is removed when the store is opened. Blocking, from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "sys/fd.h"

namespace berth::storage {
class Database;
}

namespace berth::functions {

struct BucketInfo {
  std::string name, region;
  Timestamp created;
};

struct ObjectInfo {
  std::string key;
  uint64_t size = 0;
  std::string etag;  ///< without quotes: MD5 in hex, with "-<parts>" for multipart uploads
  std::string content_type;
  std::map<std::string, std::string> metadata;  ///< header name in lower case to value, as PutObject had it
  Timestamp modified;
};

struct OpenObject {
  ObjectInfo info;
  sys::UniqueFd file;
};

/// An object that is being written. Destroyed without put() it leaves nothing.
class ObjectWriter {
 public:
  ~ObjectWriter();
  ObjectWriter(const ObjectWriter&) = delete;
  Result<void> write(std::string_view bytes);
  uint64_t size() const { return size_; }
  /// MD5 of all bytes in hex; nothing can be written afterwards.
  std::string finish();

 private:
  friend class BucketStore;
  ObjectWriter(std::string path, sys::UniqueFd file);
  struct Md5;
  std::string path_;
  sys::UniqueFd file_;
  std::unique_ptr<Md5> md5_;
  std::string digest_;
  uint64_t size_ = 0;
  bool kept_ = false;
};

struct ListObjects {
  std::string prefix, delimiter;
  std::string after;  ///< keys behind this one (StartAfter, the last of the page before)
  uint32_t limit = 1000;
};
struct ObjectPage {
  std::vector<ObjectInfo> objects;
  std::vector<std::string> common_prefixes;
  bool truncated = false;
  std::string last;  ///< to go on after
};

class BucketStore {
 public:
  /// `root` is data-root/functions/buckets.
  static Result<std::unique_ptr<BucketStore>> open(storage::Database& database, const std::string& root);

  /// AlreadyExists; InvalidArgument for names that S3 refuses.
  Result<void> create(const std::string& bucket, const std::string& region);
  bool exists(std::string_view bucket) const;
  Result<std::optional<BucketInfo>> find(std::string_view bucket) const;
  Result<std::vector<BucketInfo>> list() const;
  /// WrongState: it is not empty. NotFound.
  Result<void> remove(const std::string& bucket);

  /// The document that says who hears of the bucket's objects; empty: nobody. NotFound.
  Result<void> set_notifications(const std::string& bucket, const std::string& document);
  Result<std::string> notifications(const std::string& bucket) const;

  Result<std::unique_ptr<ObjectWriter>> begin(const std::string& bucket);
  /// Makes what was written the object of that key, replacing another.
  Result<ObjectInfo> put(const std::string& bucket, std::unique_ptr<ObjectWriter> writer, ObjectInfo info);
  /// NotFound: no such bucket or key.
  Result<OpenObject> open_object(const std::string& bucket, const std::string& key) const;
  Result<std::optional<ObjectInfo>> head(const std::string& bucket, const std::string& key) const;
  Result<void> remove_object(const std::string& bucket, const std::string& key);
  Result<ObjectPage> list_objects(const std::string& bucket, const ListObjects& query) const;

  // Multipart uploads.
  Result<std::string> begin_upload(const std::string& bucket, const ObjectInfo& info);
  Result<std::string> put_part(const std::string& upload, uint32_t number,
                               std::unique_ptr<ObjectWriter> writer);
  struct Part {
    uint32_t number = 0;
    std::string etag;
    uint64_t size = 0;
  };
  Result<std::vector<Part>> parts(const std::string& upload) const;
  /// InvalidArgument "InvalidPart", "InvalidPartOrder"; NotFound: no such upload.
  Result<ObjectInfo> complete_upload(const std::string& bucket, const std::string& upload,
                                     const std::vector<Part>& parts);
  Result<void> abort_upload(const std::string& upload);

 private:
  BucketStore(storage::Database& database, std::string root) : database_(database), root_(std::move(root)) {}
  std::string path_of(const std::string& file) const { return root_ + "/" + file; }
  Result<void> remove_strays();

  storage::Database& database_;
  std::string root_;
};

}  // namespace berth::functions
