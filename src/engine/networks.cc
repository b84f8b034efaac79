// Networks as clients manage them. Connecting and disconnecting containers is in connect.cc.
#include "engine/networks.h"

#include <algorithm>

#include "base/log.h"
#include "engine/core.h"
#include "engine/label_filters.h"
#include "network/network_plan.h"

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

io::Task<void> run_removal(Core& core, network::LinkRemoval removal) {
  auto work = [removal] { return removal.run(); };
  auto removed = co_await core.loop.on_worker(work);
  if (!removed) log::warn("{}", removed.error().message());
}

io::Task<Result<void>> erase(Core& core, std::string id) {
  CO_TRY(const network::NetworkRecord* found, core.network->find(id));
  network::NetworkRecord network = *found;
  CO_TRY(network::LinkRemoval removal, core.network->remove(id));
  auto forgotten = core.records->remove_network(network.id);
  io::Task<void> gone = run_removal(core, std::move(removal));
  // A bridge whose name was asked for is gone with the answer: the next network may ask for the same.
  if (network.options.contains(std::string(network::kOptionBridgeName))) {
    co_await std::move(gone);
  } else {
    core.in_background(std::move(gone));
  }
  CO_CHECK(std::move(forgotten));
  publish(core, network, "destroy");
  co_return Result<void>();
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
  io::Task<Result<void>> erased = erase(core_, network->id);
  co_return co_await std::move(erased);
}

io::Task<Result<std::vector<std::string>>> Networks::prune(Filters filters) {
  CO_CHECK(check_filters(filters, {"until", "label", "label!"}));
  CO_TRY(auto until, until_filter(filters));
  std::vector<network::NetworkRecord> unused;
  for (const network::NetworkRecord* network : core_.network->list()) {
    bool wanted = !network->predefined && (!until || network->created < *until) &&
                  labels_match(filters, network->labels);
    if (wanted && !is_used(core_, *network)) unused.push_back(*network);
  }
  std::vector<std::string> names;
  for (const network::NetworkRecord& network : unused) {
    io::Task<Result<void>> erasure = erase(core_, network.id);
    auto erased = co_await std::move(erasure);
    if (erased) {
      names.push_back(network.name);
    } else {
      log::warn("network {}: {}", network.name, erased.error().message());
    }
  }
  core_.events.publish("network", "prune", "", {{"reclaimed", "0"}});
  co_return names;
}

}  // namespace berth::engine
