// IndexStore: indexes that are kept whole, with the images of all their platforms, so that they leave under
// the digest under which they came. Their blobs are held (held_blobs.h) for as long as an image has a name
// with the index's digest; rows of the database, no rules of docker's.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "storage/content_store.h"
#include "storage/database.h"
#include "storage/index_closure.h"

namespace berth::storage {

struct KeptIndex {
  Digest digest;
  std::string media_type;
  std::vector<IndexImage> images;
};

class IndexStore {
 public:
  IndexStore(Database& database, ContentStore& content) : database_(database), content_(content) {}
  Result<void> create();

  /// Keeps an index whose documents and blobs are all in the content store (NotFound names what is not). Its
  /// digest must be in a name of an image by then, or the next sweep forgets it. Keeping again is no error.
  Result<void> keep(const IndexClosure& closure);
  Result<std::optional<KeptIndex>> find(const Digest& digest) const;
  /// The index last kept among those that an image's names ("repo@sha256:...") speak of.
  Result<std::optional<KeptIndex>> of_names(const std::vector<std::string>& repo_digests) const;
  /// All of a kept index, from the store.
  Result<IndexClosure> closure(const KeptIndex& index) const;
  /// What it holds: documents and blobs.
  Result<std::set<Digest>> blobs(const Digest& digest) const;
  /// What all of them hold.
  Result<std::set<Digest>> all_blobs() const;
  /// What repositories of the registry hold.
  Result<std::set<Digest>> held_by_others() const;
  /// Forgets those whose digest no image's name has any more; returns what they held.
  Result<std::set<Digest>> release_unnamed();

 private:
  Database& database_;
  ContentStore& content_;
};

}  // namespace berth::storage
