// Hashing by several threads at once, for processors without SHA instructions: whoever comes while another
// one hashes waits, and one thread then does the work of up to eight (sha256_lanes.h).
// docs/decisions/hashing.md
#pragma once

#include <cstddef>
#include <cstdint>

namespace berth {

/// Below this many bytes at once meeting others costs more than it saves.
constexpr size_t kWorthMeeting = size_t{16} << 10;

/// Whether this processor gains from it. Constant.
bool hashing_together_helps();

/// Takes whole blocks of a message into its chaining value, as SHA-256 does. Blocks until it is done. Safe
/// from any thread.
void hash_together(uint32_t (&state)[8], const uint8_t* message, size_t blocks);

}  // namespace berth
