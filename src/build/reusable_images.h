// ReusableImages: where docker's classic builder looks for steps that need not be done again. A step counts
// as done as long as its image is here, whatever the build cache remembers. Internal to build/.
#pragma once

#include <optional>
#include <vector>

#include "base/clock.h"
#include "spec/image.h"
#include "storage/image_store.h"

namespace berth::build {

class ReusableImages {
 public:
  /// All images of the engine as they are when it is first asked.
  explicit ReusableImages(storage::ImageStore& store) : store_(&store) {}
  /// These alone (docker's cachefrom), and each step that one of them has on its way.
  explicit ReusableImages(std::vector<storage::Image> given);

  /// When the step was done that leads to this configuration; times in it do not count. None: to be done.
  std::optional<Timestamp> find(const spec::ImageConfig& config);
  /// One that this build has made.
  void add(const spec::ImageConfig& config);

 private:
  std::optional<Timestamp> find_given(const spec::ImageConfig& config) const;
  std::optional<Timestamp> find_here(const spec::ImageConfig& config);

  storage::ImageStore* store_ = nullptr;  ///< none: those that were given
  bool is_read_ = false;
  std::vector<std::shared_ptr<const spec::ImageConfig>> configs_;
};

}  // namespace berth::build
