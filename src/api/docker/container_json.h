// Containers and execs as the Docker API shows them: list, inspect, changes, top, wait, exec inspect.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "engine/containers.h"
#include "engine/records.h"

namespace berth::launch {
struct HostFacts;
}

namespace berth::api {

/// API version of a request, "1.51" as {1, 51}.
struct ApiVersion {
  int major = 1;
  int minor = 51;
  auto operator<=>(const ApiVersion&) const = default;
};

/// GET /containers/{id}/json. `layers` are overlay directories for GraphDriver, top first; may be empty.
Json container_inspect_json(const engine::ContainerRecord& record, std::optional<engine::ContainerSize> size,
                            ApiVersion version);
/// Puts in which paths of /proc and /sys are hidden and read-only where the container leaves it to the
/// engine, as docker shows them.
void add_system_paths(const engine::ContainerRecord& record, const launch::HostFacts& host, Json& inspected);
/// One element of GET /containers/json. `now` gives the words of Status.
Json container_summary_json(const engine::ContainerRecord& record, std::optional<engine::ContainerSize> size,
                            Timestamp now);
/// What depends on who asks, and beside whom a container stands.
struct SummaryView {
  std::vector<std::string> link_names = {};  ///< "/db-user/alias": what those that link to it call it
  ApiVersion version = {1, 51};
  /// The name that the container was made with means another image by now: its own is shown by its id.
  bool image_renamed = false;
};
/// The same as text, for lists of many.
void append_container_summary(std::string& out, const engine::ContainerRecord& record,
                              std::optional<engine::ContainerSize> size, Timestamp now,
                              const SummaryView& view = {});
/// Container id -> SummaryView::link_names, of the containers that others link to (--link).
std::map<std::string, std::vector<std::string>> link_names_of(
    const std::vector<engine::ContainerPtr>& containers);
/// "Up 3 minutes (healthy)", "Exited (0) 2 hours ago", as docker words it.
std::string status_words(const engine::ContainerRecord& record, Timestamp now);

Json top_json(const engine::ProcessTable& table);
Json changes_json(const std::vector<storage::Change>& changes);
Json wait_json(const engine::WaitOutcome& outcome);
/// GET /exec/{id}/json
Json exec_inspect_json(const engine::ExecRecord& exec, const engine::ContainerRecord& container);
/// The content of X-Docker-Container-Path-Stat before base64.
Json path_stat_json(const storage::PathStat& stat);

/// "Less than a second", "About an hour", "3 weeks": Go's units.HumanDuration.
std::string human_duration(std::chrono::nanoseconds duration);

}  // namespace berth::api
