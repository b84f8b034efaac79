// HeldBlobs: blobs that something beside images and layers keeps (the registry's repositories), as rows of
// the database, so that they survive the process. Holding and removing exclude each other: whoever publishes
// or finds a blob and holds it inside one Transaction can rely on it.
#pragma once

#include <set>
#include <string>

#include "base/digest.h"
#include "base/result.h"
#include "storage/content_store.h"
#include "storage/database.h"

namespace berth::storage {

/// The mode of a held blob's file. Whoever holds one that is there sets it, and who finds that it is gone
/// brings its own bytes: so remove_unless_held() needs no lock.
inline constexpr unsigned held_mode = 0440;

/// For bytes that can be made again and that somebody else may have come to hold meanwhile.
Result<void> remove_unless_held(const ContentStore& content, const Digest& digest);

class HeldBlobs {
 public:
  /// `holder` names who holds ("registry").
  HeldBlobs(Database& database, std::string holder) : database_(database), holder_(std::move(holder)) {}

  static Result<void> create(Database& database);
  Result<void> hold(const Digest& digest);
  Result<void> release(const Digest& digest);
  /// Of all holders.
  static Result<std::set<Digest>> all(Database& database);

 private:
  Database& database_;
  std::string holder_;
};

}  // namespace berth::storage
