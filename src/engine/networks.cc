// Networks as clients manage them. Connecting and disconnecting containers is in connect.cc.
#include "engine/networks.h"

#include <algorithm>

#include "base/log.h"
#include "engine/container_network.h"
#include "engine/core.h"
#include "engine/label_filters.h"

namespace berth::engine {
namespace {

/// Partial names match, as docker's name filter does.
bool contains_any(const std::vector<std::string>& parts, std::string_view text) {
  return parts.empty() || std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
           return text.find(part) != std::string_view::npos;
         });
}
bool equals_any(const std::vector<std::string>& values, std::string_view text) {
  return values.empty() || std::find(values.begin(), values.end(), text) != values.end();
}

/// A network that some container names, running or not, is in use.
bool is_used(const Core& core, const network::NetworkRecord& network) {
  if (!core.network->endpoints(network.id).empty()) return true;
  for (const ContainerHandle& container : core.containers.all()) {
    if (container->record.endpoints.contains(network.name)) return true;
  }
  return false;
}

void publish(Core& core, const network::NetworkRecord& network, std::string action) {
  core.events.publish("network", std::move(action), network.id,
                      {{"name", network.name}, {"type", std::string(to_string(network.driver))}});
}

/// Forgets the network; its link goes with the answered removal.
Result<network::LinkRemoval> erase(Core& core, const std::string& id) {
  TRY(const network::NetworkRecord* found, core.network->find(id));
  network::NetworkRecord network = *found;
  TRY(network::LinkRemoval removal, core.network->remove(id));
  auto forgotten = core.records->remove_network(network.id);
  if (!forgotten) {
    core.in_background(run_removal(core, std::move(removal)));
    return std::move(forgotten).error();
  }
  if (!network.config_only) publish(core, network, "destroy");  // docker's habit
  return removal;
}

}  // namespace

Result<network::NetworkRecord> Networks::find(std::string_view reference) const {
  TRY(const network::NetworkRecord* network, core_.network->find(reference));
  return *network;
}

Result<std::vector<network::NetworkRecord>> Networks::list(const Filters& filters) const {
  CHECK(check_filters(filters, {"dangling", "driver", "id", "label", "name", "scope", "type"}));
  TRY(auto dangling, boolean_filter(filters, "dangling"));
  for (const std::string& type : filter_values(filters, "type")) {
    if (type != "custom" && type != "builtin")
      return Error(Kind::InvalidArgument, "invalid filter: 'type'='" + type.substr(0, 64) + "'");
  }
  std::vector<network::NetworkRecord> found;
  for (const network::NetworkRecord* network : core_.network->list()) {
    bool fits = contains_any(filter_values(filters, "name"), network->name) &&
                contains_any(filter_values(filters, "id"), network->id) &&
                equals_any(filter_values(filters, "driver"), to_string(network->driver)) &&
                equals_any(filter_values(filters, "scope"), "local") &&
                equals_any(filter_values(filters, "type"), network->predefined ? "builtin" : "custom") &&
                labels_match(filters, network->labels);
    if (fits && dangling) fits = !network->predefined && *dangling == !is_used(core_, *network);
    if (fits) found.push_back(*network);
  }
  return found;
}

std::vector<network::EndpointRecord> Networks::endpoints(std::string_view network_id) const {
  std::vector<network::EndpointRecord> found;
  for (const network::EndpointRecord* endpoint : core_.network->endpoints(network_id))
    found.push_back(*endpoint);
  return found;
}

io::Task<Result<network::NetworkRecord>> Networks::create(network::NetworkRequest request) {
  CO_TRY(const network::NetworkRecord* made, core_.network->create(request));
  network::NetworkRecord network = *made;
  if (auto saved = core_.records->save_network(network); !saved) {
    if (auto removal = core_.network->remove(network.id))
      core_.in_background(run_removal(core_, std::move(*removal)));
    co_return std::move(saved).error();
  }
  publish(core_, network, "create");
  co_return network;
}

io::Task<Result<void>> Networks::remove(std::string reference) {
  CO_TRY(const network::NetworkRecord* network, core_.network->find(reference));
  std::string id = network->id;
  CO_TRY(network::LinkRemoval removal, erase(core_, id));
  // The bridge is gone with the answer: the next network may ask for its name.
  io::Task<void> gone = run_removal(core_, std::move(removal));
  co_await std::move(gone);
  co_return Result<void>();
}

io::Task<Result<std::vector<std::string>>> Networks::prune(Filters filters) {
  CO_CHECK(check_filters(filters, {"until", "label", "label!"}));
  CO_TRY(auto until, until_filter(filters));
  std::vector<network::NetworkRecord> unused;
  for (const network::NetworkRecord* network : core_.network->list()) {
    bool wanted = !network->predefined && !network->config_only && (!until || network->created < *until) &&
                  labels_match(filters, network->labels);
    if (wanted && !is_used(core_, *network)) unused.push_back(*network);
  }
  std::vector<std::string> names;
  network::LinkRemoval removal;
  for (const network::NetworkRecord& network : unused) {
    auto erased = erase(core_, network.id);
    if (erased) {
      names.push_back(network.name);
      removal.merge(std::move(*erased));
    } else {
      log::warn("network {}: {}", network.name, erased.error().message());
    }
  }
  io::Task<void> gone = run_removal(core_, std::move(removal));
  co_await std::move(gone);
  core_.events.publish("network", "prune", "", {{"reclaimed", "0"}});
  co_return names;
}

}  // namespace berth::engine
