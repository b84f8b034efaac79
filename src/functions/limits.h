// What requests may ask for: AWS's values (strict), or berth's own (open), which keep hostile clients from
// filling memory and are far beyond what functions need.
#pragma once

#include <cstdint>

#include "functions/model.h"

namespace berth::functions {

struct Limits {
  uint32_t min_memory_mebibytes, max_memory_mebibytes;
  uint32_t max_timeout_seconds;
  uint32_t min_ephemeral_mebibytes, max_ephemeral_mebibytes;
  uint64_t sync_payload_bytes, async_payload_bytes;
  uint64_t environment_bytes;
  uint64_t zip_bytes, unpacked_bytes;
  uint64_t request_bytes;  ///< of CreateFunction and its like
  uint32_t layers;
  uint32_t concurrent_executions;
};

inline constexpr Limits strict_limits{.min_memory_mebibytes = 128,
                                      .max_memory_mebibytes = 10'240,
                                      .max_timeout_seconds = 900,
                                      .min_ephemeral_mebibytes = 512,
                                      .max_ephemeral_mebibytes = 10'240,
                                      .sync_payload_bytes = 6'291'456,
                                      .async_payload_bytes = 1'048'576,
                                      .environment_bytes = 4096,
                                      .zip_bytes = 52'428'800,
                                      .unpacked_bytes = 262'144'000,
                                      .request_bytes = 70'167'211,
                                      .layers = 5,
                                      .concurrent_executions = 1000};

inline constexpr Limits open_limits{.min_memory_mebibytes = 16,
                                    .max_memory_mebibytes = 1'048'576,
                                    .max_timeout_seconds = 31'622'400,
                                    .min_ephemeral_mebibytes = 1,
                                    .max_ephemeral_mebibytes = 1'048'576,
                                    .sync_payload_bytes = uint64_t{64} << 20,
                                    .async_payload_bytes = uint64_t{16} << 20,
                                    .environment_bytes = 65'536,
                                    .zip_bytes = uint64_t{2} << 30,
                                    .unpacked_bytes = uint64_t{8} << 30,
                                    .request_bytes = uint64_t{512} << 20,
                                    .layers = 32,
                                    .concurrent_executions = 1000};

inline const Limits& limits_of(LimitProfile profile) {
  return profile == LimitProfile::Strict ? strict_limits : open_limits;
}

}  // namespace berth::functions
