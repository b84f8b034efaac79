// What one durable execution may keep: AWS's values (strict), or berth's own.
#pragma once

#include <cstdint>

#include "functions/model.h"

namespace berth::functions::durable {

struct DurableLimits {
  uint64_t operations;       ///< of one execution
  uint64_t execution_bytes;  ///< of all that one execution keeps, its history included
  uint64_t operation_bytes;  ///< of one payload of a step, context, callback or chained invoke
  uint64_t result_bytes;     ///< of an execution that a client waits for
  uint64_t async_bytes;      ///< input and result of one that nobody waits for
  uint64_t error_bytes;      ///< of an ErrorObject
  uint64_t request_bytes;    ///< of one checkpoint
  uint32_t sync_seconds;     ///< longest ExecutionTimeout with a client that waits
};

inline constexpr DurableLimits strict_durable_limits{.operations = 3'000,
                                                     .execution_bytes = 100ull << 20,
                                                     .operation_bytes = 1ull << 20,
                                                     .result_bytes = 6'291'456,
                                                     .async_bytes = 1ull << 20,
                                                     .error_bytes = 1ull << 20,
                                                     .request_bytes = 16ull << 20,
                                                     .sync_seconds = 900};

inline constexpr DurableLimits open_durable_limits{.operations = 1'000'000,
                                                   .execution_bytes = 1ull << 30,
                                                   .operation_bytes = 16ull << 20,
                                                   .result_bytes = 64ull << 20,
                                                   .async_bytes = 16ull << 20,
                                                   .error_bytes = 1ull << 20,
                                                   .request_bytes = 64ull << 20,
                                                   .sync_seconds = 31'622'400};

inline const DurableLimits& durable_limits_of(LimitProfile profile) {
  return profile == LimitProfile::Strict ? strict_durable_limits : open_durable_limits;
}

}  // namespace berth::functions::durable
