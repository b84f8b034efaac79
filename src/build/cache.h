// Cache: what builds have made before, by content keys, in the daemon's database. A record names the layer
// chain that a step gave; the cache holds those chains by a lease of its own, so that they outlive their
// images.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "storage/database.h"

namespace berth::build {

/// What a step gave.
struct StepRecord {
  Digest key;
  std::optional<Digest> chain_id = {};  ///< the root filesystem afterwards; none: empty
  bool made_layer = false;
  Timestamp created = {};
  std::string description = {};  ///< the instruction
  uint64_t size = 0;             ///< content bytes of the layer
  Timestamp last_used = {};
  uint64_t use_count = 0;
};

/// A file that ADD has downloaded.
struct DownloadRecord {
  std::string url;
  Digest content;
  std::string etag = {};
  std::string last_modified = {};  ///< the header's text
  int64_t mtime = 0;               ///< the same, seconds since the epoch; 0: unknown
  uint64_t size = 0;
  Timestamp created = {};
  Timestamp last_used = {};
};

/// A directory of RUN --mount=type=cache.
struct MountRecord {
  std::string id;  ///< hex, the directory's name
  std::string description;
  Timestamp created = {};
  Timestamp last_used = {};
  uint64_t use_count = 0;
};

/// Who keeps chains from being collected.
class ChainHolder {
 public:
  virtual ~ChainHolder() = default;
  virtual bool exists(const Digest& chain_id) const = 0;
  /// From now on exactly these are held.
  virtual void hold(const std::set<Digest>& chains) = 0;
  /// One more.
  virtual void add(const Digest& chain_id) = 0;
};

class Cache {
 public:
  /// Drops records whose chain is gone.
  static Result<std::unique_ptr<Cache>> open(storage::Database& database, ChainHolder& chains);

  /// The record, if its chain still exists; counts as a use.
  Result<std::optional<StepRecord>> find(const Digest& key);
  /// Replaces an older record of the same key.
  Result<void> store(const StepRecord& record);
  /// Writes the uses counted since; call at the end of a build.
  Result<void> flush();

  /// Digest of a selection of files in an immutable root, once computed.
  Result<std::optional<Digest>> find_content(const Digest& chain_id, const Digest& selection);
  Result<void> store_content(const Digest& chain_id, const Digest& selection, const Digest& content);

  Result<std::optional<DownloadRecord>> find_download(const std::string& url);
  Result<std::optional<DownloadRecord>> find_download_by_content(const Digest& content);
  Result<void> store_download(const DownloadRecord& record);

  Result<void> use_mount(const std::string& id, const std::string& description);

  Result<std::vector<StepRecord>> records();
  Result<std::vector<DownloadRecord>> downloads();
  Result<std::vector<MountRecord>> mounts();
  Result<void> remove_records(const std::vector<Digest>& keys);
  Result<void> remove_download(const std::string& url);
  Result<void> remove_mount(const std::string& id);

 private:
  Cache(storage::Database& database, ChainHolder& chains) : database_(database), chains_(chains) {}
  Result<void> hold_chains();

  storage::Database& database_;
  ChainHolder& chains_;
  std::map<Digest, uint64_t> uses_;  ///< not written yet
};

}  // namespace berth::build
