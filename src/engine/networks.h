// Networks as clients manage them: network::Networks plus what the engine adds: records in the database,
// events, containers by name, connecting running containers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/containers.h"
#include "io/task.h"
#include "network/networks.h"

namespace berth::engine {

class Core;

class Networks {
 public:
  explicit Networks(Core& core) : core_(core) {}

  Result<network::NetworkRecord> find(std::string_view reference) const;
  /// Filters: dangling, driver, id, label, name, scope, type.
  Result<std::vector<network::NetworkRecord>> list(const Filters& filters) const;
  /// Live endpoints, with the container's id and name in each.
  std::vector<network::EndpointRecord> endpoints(std::string_view network_id) const;
  io::Task<Result<network::NetworkRecord>> create(network::NetworkRequest request);
  io::Task<Result<void>> remove(std::string reference);
  io::Task<Result<void>> connect(std::string network, std::string container, spec::EndpointSettings settings);
  io::Task<Result<void>> disconnect(std::string network, std::string container, Force force);
  /// Names of those removed. Filters: until, label, label!.
  io::Task<Result<std::vector<std::string>>> prune(Filters filters);

 private:
  Core& core_;
};

}  // namespace berth::engine
