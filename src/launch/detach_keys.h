// DetachKeys: finds the key sequence that ends an attachment (docker's ctrl-p ctrl-q) in what a terminal's
// user types. Bytes that may begin the sequence are held back until it is clear whether they do. Pure; no
// heap.
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

#include "launch/keeper_protocol.h"

namespace berth::launch {

class DetachKeys {
 public:
  DetachKeys() = default;
  /// At most kMaxDetachKeys bytes; none: nothing ever matches.
  explicit DetachKeys(std::string_view keys)
      : size_(keys.size() < kMaxDetachKeys ? keys.size() : kMaxDetachKeys) {
    std::memcpy(keys_, keys.data(), size_);
  }

  /// Copies `input` without what belongs to the sequence to `output`, which has room for `input` and
  /// kMaxDetachKeys bytes more, and stores how many bytes that were. True when the sequence is complete; what
  /// follows it is dropped.
  bool filter(std::string_view input, char* output, size_t& written) {
    written = 0;
    for (char byte : input) {
      if (size_ > 0 && byte != keys_[held_] && held_ > 0) {
        std::memcpy(output + written, keys_, held_);
        written += held_;
        held_ = 0;
      }
      if (size_ > 0 && byte == keys_[held_]) {
        if (++held_ == size_) {
          held_ = 0;
          return true;
        }
      } else {
        output[written++] = byte;
      }
    }
    return false;
  }

 private:
  char keys_[kMaxDetachKeys] = {};
  size_t size_ = 0;
  size_t held_ = 0;
};

}  // namespace berth::launch
