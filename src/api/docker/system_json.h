// /version, /info, /system/df and resource statistics as the Docker API shows them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/docker/container_json.h"
#include "base/json_fwd.h"
#include "build/builder.h"
#include "engine/stats.h"
#include "engine/system.h"

namespace berth::api {

constexpr ApiVersion newest_version{1, 51};
/// What clients are told as the engine's version: that of the docker engine whose API is served, since tools
/// ask for a least version of docker; berth's own is what Semantic Versioning calls build metadata.
constexpr std::string_view engine_version = "28.5.2+berth";
constexpr ApiVersion oldest_version{1, 24};
std::string to_string(ApiVersion version);

Json version_json(const engine::SystemInfo& info);
Json info_json(const engine::SystemInfo& info, ApiVersion version);
Json disk_usage_json(const engine::DiskUsageReport& report,
                     const std::optional<std::vector<build::CacheRecordInfo>>& cache,
                     engine::System::DiskUsageParts parts, ApiVersion version);
Json cache_record_json(const build::CacheRecordInfo& record);
/// One sample with the one before it; without, precpu_stats is empty.
Json stats_json(const engine::ContainerRecord& record, const engine::StatsSample& sample,
                const std::optional<engine::StatsSample>& previous);

}  // namespace berth::api
