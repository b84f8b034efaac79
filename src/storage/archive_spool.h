// ArchiveSpool: the files of an image archive (docker save, OCI layout), read once from a stream. Small files
// stay in memory, larger ones become ingests of the content store. Names are only keys: nothing on the host
// is opened by them.
#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/result.h"
#include "storage/archive.h"
#include "storage/content_store.h"

namespace berth::storage {

struct SpooledFile {
  uint64_t size = 0;
  std::string bytes;               ///< when small
  std::unique_ptr<Ingest> ingest;  ///< else
  /// SHA-256 of the content; read back from disk the first time.
  Result<Digest> digest();
  /// Reads it from the start; the file must outlive the source.
  std::unique_ptr<ByteSource> source() const;
};

class ArchiveSpool {
 public:
  /// Plain or compressed tar. `progress` gets the bytes read so far.
  static Result<ArchiveSpool> read(ByteSource& archive, const ContentStore& content,
                                   const ArchiveLimits& limits, const std::function<void(uint64_t)>& progress,
                                   std::stop_token stop);

  /// The file under a name as a manifest gives it; links within the archive are followed (docker's legacy
  /// archives link equal layers). Null if there is none.
  SpooledFile* find(std::string_view name);
  /// Whole content of a document.
  Result<std::string> document(std::string_view name, size_t max_bytes);
  bool empty() const { return files_.empty(); }

 private:
  std::map<std::string, SpooledFile, std::less<>> files_;
  std::map<std::string, std::string, std::less<>> links_;  ///< name to cleaned target
};

}  // namespace berth::storage
