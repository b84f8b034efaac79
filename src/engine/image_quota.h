// ImageQuota: the bound on what images take of the disk. When something arrives that passes it, images go
// that nothing uses, those first that were used the longest time ago. Knows when images were used, and which
// are pinned. On the loop thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "engine/events.h"
#include "io/task.h"
#include "storage/image_store.h"
#include "storage/image_upkeep.h"

namespace berth::engine {

class Core;

class ImageQuota {
 public:
  explicit ImageQuota(Core& core);
  Result<void> open();
  /// Follows the events, for as long as the engine lives.
  io::Task<void> watch();

  /// A pinned image is never taken by the quota. A name's pin goes with the name to whatever image has it; an
  /// id's is the image's.
  Result<void> pin(std::string_view reference);
  /// NotFound: it is not pinned.
  Result<void> unpin(std::string_view reference);
  /// Familiar names and ids.
  Result<std::vector<std::string>> pins() const;

  void used(const Digest& image);
  /// Something has arrived, or the bound has changed: looks in the background whether anything has to go.
  void check();
  /// Writes down what was used last.
  Result<void> flush();

 private:
  void note(const Event& event);
  io::Task<void> flush_soon();
  io::Task<void> check_later();
  io::Task<void> run();
  /// One look: true when an image has gone and another look is due.
  io::Task<Result<bool>> collect_one();
  Result<storage::CollectionChoice> choose();
  io::Task<Result<void>> remove(const Digest& image, uint64_t disk_bytes);

  Core& core_;
  storage::ImageUpkeep upkeep_;
  std::map<Digest, Timestamp> pending_;  ///< uses that are not in the database yet
  bool flushing_ = false;
  bool wanted_ = false;
  bool running_ = false;
  bool later_ = false;
  bool told_ = false;  ///< that nothing more can go
};

}  // namespace berth::engine
