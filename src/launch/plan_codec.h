// The plan as bytes: what the daemon writes into a memfd and the keeper maps. See codec.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "launch/codec.h"
#include "launch/keeper_setup.h"
#include "launch/steps.h"

namespace berth::launch {

constexpr uint32_t kPlanMagic = 0x4c505242;  ///< "BRPL"
/// Rises with every change of a step, of KeeperSetup or of a message: daemon and keeper must agree.
constexpr uint32_t kPlanVersion = 3;
constexpr uint32_t kMaxPlanBytes = 16u << 20;
constexpr uint32_t kMaxPlanSteps = 16384;

/// Reads a plan where it lies. open() checks all of it, so that next() cannot fail half-way.
class PlanReader {
 public:
  /// Nothing when the bytes are not a plan of this version.
  static std::optional<PlanReader> open(std::string_view bytes) {
    PlanReader reader(bytes);
    if (!reader.read_head()) return std::nullopt;
    PlanReader check = reader;
    Step step;
    while (check.remaining_ > 0)
      if (!check.next(step)) return std::nullopt;
    if (!check.decoder_.at_end()) return std::nullopt;
    return reader;
  }

  const KeeperSetup& setup() const { return setup_; }
  uint32_t steps() const { return steps_; }
  /// False at the end.
  bool next(Step& step) {
    if (remaining_ == 0 || !decode_variant(decoder_, step)) return false;
    --remaining_;
    return true;
  }

 private:
  explicit PlanReader(std::string_view bytes) : decoder_(bytes), size_(bytes.size()) {}

  bool read_head() {
    uint32_t magic = 0, version = 0;
    decoder_(magic, version, steps_);
    if (!decoder_.ok() || magic != kPlanMagic || version != kPlanVersion || size_ > kMaxPlanBytes ||
        steps_ > kMaxPlanSteps)
      return false;
    setup_.fields(decoder_);
    remaining_ = steps_;
    return decoder_.ok() && setup_.slots <= kMaxSlots;
  }

  Decoder decoder_;
  size_t size_;
  KeeperSetup setup_;
  uint32_t steps_ = 0;
  uint32_t remaining_ = 0;
};

}  // namespace berth::launch
