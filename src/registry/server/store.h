// Store: repositories, tags, manifests and uploads of a registry, over a content store that others share.
// Bytes lie in the content store once, whoever else has them; what a repository may see of them are rows.
// Synchronous, from any thread (workers: it touches the disk). Crash-safe: a blob is published by rename
// after its bytes are verified and on the disk, and an interrupted upload goes on at the length of its file.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "registry/server/manifest_check.h"
#include "registry/server/names.h"
#include "storage/content_store.h"
#include "storage/database.h"
#include "storage/held_blobs.h"
#include "sys/fd.h"

namespace berth::registry::server {

struct StoredBlob {
  Digest content;  ///< where its bytes lie
  uint64_t size = 0;
};
struct StoredManifest {
  ContentDigest digest;
  Digest content;
  std::string media_type;
  uint64_t size = 0;
  std::string subject = {};
};
struct Referrer {
  std::string digest;
  std::string media_type;
  uint64_t size = 0;
  std::string artifact_type;
  std::string annotations;  ///< a JSON object, or empty
};
struct RepositoryInfo {
  std::string name;
  uint64_t tags = 0, manifests = 0, blobs = 0, bytes = 0;
};
struct CollectReport {
  uint64_t manifests = 0, blobs = 0, uploads = 0;
};

/// A page of names in byte order, and whether more follow.
struct Page {
  std::vector<std::string> names;
  bool more = false;
};

/// An upload that one request works on; the next may come when this is gone.
class Upload {
 public:
  ~Upload();
  Upload(const Upload&) = delete;
  const std::string& id() const { return id_; }
  const std::string& repository() const { return repository_; }
  uint64_t size() const { return size_; }
  /// Appends. When it fails, the size is what it was.
  Result<void> append(std::string_view bytes);
  /// Drops what lies behind `size`.
  Result<void> cut(uint64_t size);

 private:
  friend class Store;
  Upload(class Store& store, std::string id, std::string repository, sys::UniqueFd file, uint64_t size);
  Result<ContentDigest> digest(ContentDigest::Algorithm algorithm);
  Store& store_;
  std::string id_;
  std::string repository_;
  sys::UniqueFd file_;
  uint64_t size_;
};

class Store {
 public:
  /// `content_root` is the content store's folder; uploads lie beside its blobs.
  static Result<std::unique_ptr<Store>> open(storage::Database& database, storage::ContentStore& content,
                                             const std::string& content_root);
  ~Store();

  // Blobs.
  /// NotFound when the repository does not have it, whoever else does. Refreshes its lease against
  /// collection.
  Result<StoredBlob> blob(std::string_view repository, const ContentDigest& digest);
  Result<sys::UniqueFd> open_content(const Digest& content) const { return content_.open_blob(content); }
  /// Gives `repository` a blob of `from`, or of any repository when `from` is empty; false when there is
  /// none.
  Result<bool> mount(std::string_view repository, std::string_view from, const ContentDigest& digest);
  Result<void> remove_blob(std::string_view repository, const ContentDigest& digest);
  /// Bytes of blobs and manifests.
  Result<uint64_t> used_bytes(std::string_view repository);

  // Uploads.
  /// Exhausted when too many are open.
  Result<std::unique_ptr<Upload>> start_upload(std::string_view repository);
  /// NotFound; WrongState while another request works on it.
  Result<std::unique_ptr<Upload>> claim_upload(std::string_view repository, std::string_view id);
  /// Verifies (Corrupt), publishes, ends the upload.
  Result<StoredBlob> finish_upload(std::unique_ptr<Upload> upload, const ContentDigest& expected);
  Result<void> cancel_upload(std::unique_ptr<Upload> upload);

  // Manifests and tags.
  /// What of the links the repository lacks, or has with another size.
  struct MissingLink {
    ManifestLink link;
    bool wrong_size = false;
  };
  Result<std::optional<MissingLink>> find_missing(std::string_view repository,
                                                  const CheckedManifest& manifest);
  /// Stores the bytes under `digest`, and lets the tags name it.
  Result<void> put_manifest(std::string_view repository, const ContentDigest& digest, std::string_view body,
                            const CheckedManifest& manifest, const std::vector<std::string>& tags);
  Result<StoredManifest> manifest(std::string_view repository, const ContentDigest& digest);
  Result<StoredManifest> tagged(std::string_view repository, std::string_view tag);
  Result<std::string> read_manifest(const StoredManifest& manifest) const;
  /// With its tags.
  Result<void> remove_manifest(std::string_view repository, const ContentDigest& digest);
  Result<void> remove_tag(std::string_view repository, std::string_view tag);

  // Lists.
  Result<bool> has_repository(std::string_view repository);
  Result<Page> tags(std::string_view repository, std::string_view last, size_t count);
  Result<Page> repositories(std::string_view last, size_t count);
  Result<std::vector<Referrer>> referrers(std::string_view repository, const ContentDigest& subject,
                                          std::string_view artifact_type, std::string_view last,
                                          size_t count);
  Result<std::vector<RepositoryInfo>> describe();

  /// Forgets blobs that no manifest of their repository refers to, and uploads that stand still; with
  /// `untagged` manifests that neither a tag nor another manifest leads to. What was used within `grace`
  /// stays, so that a push under way is safe. The bytes go with the content store's next collection.
  enum class Untagged { Kept, Removed };
  Result<CollectReport> collect(std::chrono::nanoseconds grace, Untagged untagged);

 private:
  friend class Upload;
  /// Hash of an upload's first `size` bytes, kept between its requests.
  struct Progress {
    uint64_t hashed = 0;
    ContentHash hash{ContentDigest::Algorithm::Sha256};
    bool busy = false;
  };
  Store(storage::Database& database, storage::ContentStore& content, std::string uploads);
  Result<void> tidy_uploads(std::chrono::nanoseconds age, uint64_t& removed);
  Result<std::optional<int64_t>> find_repository(std::string_view name);
  Result<int64_t> make_repository(std::string_view name);
  Result<void> link_blob(int64_t repository, const ContentDigest& digest, const Digest& content,
                         uint64_t size);
  Result<void> release_if_unused(const Digest& content);
  Result<void> publish(const std::string& path, const Digest& content, uint64_t size);
  Result<void> forget_upload(std::string_view id);
  std::string upload_path(std::string_view id) const;

  storage::Database& database_;
  storage::ContentStore& content_;
  storage::HeldBlobs held_;
  std::string uploads_;
  std::mutex mutex_;  // of progress_
  std::map<std::string, Progress, std::less<>> progress_;
};

}  // namespace berth::registry::server
