// Patience: how often a broken line is taken up again, and how long to wait before. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "registry/client/session.h"

namespace berth::registry {

class Patience {
 public:
  explicit Patience(unsigned most_fruitless) : most_fruitless_(most_fruitless) {}
  /// One more attempt has been made, which has brought so many bytes.
  void attempted(uint64_t gained) {
    // Little enough counts as nothing: a server that sends a byte at a time is not to hold a download for
    // ever.
    fruitless_ = gained >= fruit ? 0 : fruitless_ + 1;
    ++attempts_;
  }
  /// Several attempts in a row have brought nothing, or there were too many in all.
  bool exhausted() const { return fruitless_ >= most_fruitless_ || attempts_ >= most_attempts; }
  /// Before the next attempt; longer when the answer asks for it.
  std::chrono::milliseconds pause(const HttpAnswer& answer) const {
    auto pause = std::chrono::milliseconds(fruitless_ == 0 ? 0 : 250u << std::min(fruitless_, 8u));
    if (auto asked = retry_after(answer)) pause = std::max<std::chrono::milliseconds>(pause, *asked);
    return pause;
  }
  unsigned attempts() const { return attempts_; }

 private:
  static constexpr unsigned most_attempts = 200;
  static constexpr uint64_t fruit = 64u << 10;
  unsigned most_fruitless_;
  unsigned fruitless_ = 0;
  unsigned attempts_ = 0;
};

}  // namespace berth::registry
