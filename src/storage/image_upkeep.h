// ImageUpkeep: when images were last used, and which are pinned, as rows of the database; and the choice of
// the image that a quota takes first, which is pure.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "storage/database.h"

namespace berth::storage {

class ImageUpkeep {
 public:
  explicit ImageUpkeep(Database& database) : database_(database) {}
  Result<void> create();

  /// A pin is a full name ("docker.io/library/x:1"), which follows the name, or an id ("sha256:...").
  Result<void> pin(std::string_view name);
  /// Whether there was such a pin.
  Result<bool> unpin(std::string_view name);
  Result<std::set<std::string>> pins() const;

  Result<void> note_uses(const std::map<Digest, Timestamp>& uses);
  /// Of images that have been used; rows of images that are gone are dropped on the way.
  Result<std::map<Digest, Timestamp>> last_uses();

 private:
  Database& database_;
};

/// An image as the quota sees it.
struct CollectionCandidate {
  Digest id;
  Timestamp last_use;    ///< or arrival, whichever is later
  bool is_kept = false;  ///< in use, pinned, leased, or others are built on it
};

struct CollectionChoice {
  std::optional<Digest> image;  ///< the one to remove next
  /// There was none but those used since `spare_since`: try again later.
  bool spared = false;
};

/// The candidate that was used the longest time ago; none that was used after `spare_since`.
CollectionChoice choose_least_recently_used(const std::vector<CollectionCandidate>& candidates,
                                            Timestamp spare_since);

}  // namespace berth::storage
