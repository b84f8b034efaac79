// PackageStore: zip archives of functions and layers below data-root/functions: the archive itself in
// packages/ (a content store), its unpacked, read-only content in code/<sha256>/, once however many functions
// use it. Blocking: call from worker threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "functions/model.h"
#include "functions/packages/zip_reader.h"
#include "storage/content_store.h"
#include "sys/fd.h"

namespace berth::functions {

/// What a zip archive has become. While it lives, collection leaves it alone.
struct Package {
  Digest digest;
  std::string sha256;     ///< base64, as AWS shows it
  uint64_t size = 0;      ///< of the archive
  std::string directory;  ///< absolute; unpacked
  std::shared_ptr<void> pin = {};
};

class PackageStore {
 public:
  /// `root` is data-root/functions. Removes what an unpacking cut short has left.
  static Result<std::unique_ptr<PackageStore>> open(const std::string& root, LimitProfile profile);

  /// Keeps and unpacks an archive. InvalidArgument "Could not unzip uploaded file. ...", Exhausted beyond the
  /// limits; errors say why.
  Result<Package> add(std::string_view zip);
  /// The archive of an earlier add(). NotFound.
  Result<sys::UniqueFd> open_zip(const Digest& digest) const;
  Result<uint64_t> zip_size(const Digest& digest) const;
  /// Content bytes of an unpacked directory (what layers and code may be together).
  Result<uint64_t> unpacked_bytes(const std::string& directory) const;
  /// Takes directories that are not in `in_use` and not pinned out of the way, with their archives: quick,
  /// and on the thread that also changes what is in use. Returns what remove() has to delete.
  Result<std::vector<std::string>> set_aside(const std::set<std::string>& in_use);
  static Result<void> remove(const std::vector<std::string>& set_aside);

  std::string directory_of(const Digest& digest) const { return code_ + "/" + digest.hex(); }
  LimitProfile profile() const { return profile_; }

 private:
  PackageStore(std::string root, storage::ContentStore zips, LimitProfile profile);
  Result<void> unpack(std::string_view zip, const Digest& digest);
  std::shared_ptr<void> pin(const std::string& hex);

  std::string code_;
  storage::ContentStore zips_;
  LimitProfile profile_;
  struct Pins {
    std::mutex mutex;
    std::map<std::string, size_t> counts;
  };
  std::shared_ptr<Pins> pins_ = std::make_shared<Pins>();
  std::mutex unpacking_;  ///< one archive is unpacked at a time, so that the same one is unpacked once
};

/// Unpacks every entry beneath `root`, an empty directory. Links come last, so that nothing is written
/// through one; their targets are kept as they are and mean what they mean inside the sandbox.
Result<void> unpack_zip(const ZipReader& zip, const std::string& root);

}  // namespace berth::functions
