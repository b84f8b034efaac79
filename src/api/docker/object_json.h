// Images, volumes, networks and events as the Docker API shows them.
#pragma once

#include <string_view>
#include <vector>

#include "api/docker/container_json.h"
#include "base/json_fwd.h"
#include "engine/events.h"
#include "engine/images.h"
#include "engine/networks.h"
#include "engine/volumes.h"
#include "storage/index_store.h"

namespace berth::api {

/// GET /images/{name}/json
Json image_inspect_json(const storage::Image& image, ApiVersion version);
/// One element of GET /images/json
Json image_summary_json(const engine::ImageSummary& summary, ApiVersion version);
/// docker's Manifests of an image: those of the index that it came in, when that is kept whole, else its own.
Json image_manifests_json(const std::optional<storage::KeptIndex>& index, const storage::Image& image);
Json history_json(const std::vector<storage::HistoryItem>& items);
Json removed_names_json(const std::vector<storage::RemovedName>& names);

Json volume_json(const engine::VolumeRecord& volume);

/// GET /networks/{id}; without endpoints, as in the list, Containers is empty.
Json network_json(const network::NetworkRecord& network,
                  const std::vector<network::EndpointRecord>& endpoints);
/// Body of POST /networks/create.
Result<network::NetworkRequest> parse_network_request(std::string_view body);

/// One line of GET /events, with the legacy fields that go with `version`.
Json event_json(const engine::Event& event, ApiVersion version);

}  // namespace berth::api
