// HeldBlobs: blobs that something beside images and layers keeps (the registry's repositories), as rows of
// the database, so that they survive the process. Holding and removing exclude each other: whoever publishes
// or finds a blob and holds it inside one Transaction can rely on it.
#pragma once

#include <set>
#include <string>

#include "base/digest.h"
#include "base/result.h"
#include "storage/database.h"

namespace berth::storage {

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
