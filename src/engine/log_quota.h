// The bound on all containers' logs together (--log-total-size): beyond it the oldest rotated files go,
// whoever wrote them. Each log's own bound is the keeper's. Internal to engine/.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "engine/core.h"

namespace berth::engine {

/// Removes rotated files of these logs, oldest first, until all together take at most `limit` bytes. What is
/// left when there are none any more is returned: the files being written. Reads the disk: for a worker.
Result<uint64_t> enforce_log_quota(const std::vector<std::string>& logs, uint64_t limit);

/// Looks now, in the background, if there is a bound.
void check_log_quota(Core& core);
/// Looks now and then as long as the engine lives.
io::Task<void> watch_log_quota(Core& core);

}  // namespace berth::engine
