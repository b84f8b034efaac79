// Parts of a download that arrive before their turn: several ranges of one blob are fetched at a time, and
// what lies beyond the end of the blob's partial file waits in files beside it, named by where it begins
// (<ingest folder>/partial-<hex>.<offset>). A file's size says how much of it has come, so that a download
// goes on after kill -9 with exactly what it had. Whoever collects partial downloads collects these too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "storage/content_store.h"
#include "sys/fd.h"

namespace berth::storage {

/// A part of a blob: bytes [offset, end), of which the first `have` are there.
struct PartPlan {
  uint64_t offset = 0;
  uint64_t end = 0;
  uint64_t have = 0;

  bool operator==(const PartPlan&) const = default;
};

/// What earlier downloads have left: where it begins and how much it is.
struct LeftPart {
  uint64_t offset = 0;
  uint64_t size = 0;
};

/// How to fetch [from, total): in parts of `part_size`, going on with what is left. Parts come in order and
/// touch; the first may begin before `from`, when what is left of it reaches beyond. Pure.
std::vector<PartPlan> plan_parts(uint64_t from, uint64_t total, uint64_t part_size,
                                 std::vector<LeftPart> left);

/// A part's file, which nobody else writes. Destroyed it stays, to be gone on with; remove() ends it.
class PartFile {
 public:
  /// Opens or makes it, to go on after its first `have` bytes. In use by another download: Unavailable; fewer
  /// bytes there: Corrupt.
  static Result<PartFile> open(const ContentStore& content, const Digest& digest, uint64_t offset,
                               uint64_t have);

  Result<void> append(std::string_view bytes);
  int fd() const { return fd_.get(); }
  void remove();

 private:
  PartFile(std::string path, sys::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;
  sys::UniqueFd fd_;
};

/// The parts of a blob that are on the disk, by offset.
Result<std::vector<LeftPart>> left_parts(const ContentStore& content, const Digest& digest);
/// Removes them all; called by whoever holds the blob's partial file.
void remove_parts(const ContentStore& content, const Digest& digest);

}  // namespace berth::storage
