// Networks of configuration alone.
#include "network/config_network.h"

#include <algorithm>

#include "base/format.h"

namespace berth::network {
namespace {

NetworkRequest::Pool pool_request(const IpamPool& pool) {
  NetworkRequest::Pool request{.subnet = pool.subnet, .range = pool.range, .auxiliary = pool.auxiliary};
  if (!pool.gateway.is_unspecified()) request.gateway = pool.gateway;
  return request;
}

bool has_own_configuration(const NetworkRequest& request) {
  bool pools = std::any_of(request.pools.begin(), request.pools.end(),
                           [](const NetworkRequest::Pool& pool) { return !pool.is_empty(); });
  return pools || !request.enable_ipv4.value_or(true) || request.enable_ipv6.value_or(false) ||
         !request.ipam_options.empty() || !request.options.empty() || !request.labels.empty();
}

}  // namespace

Result<NetworkRecord> plan_config_network(const NetworkRequest& request, NetworkRecord record) {
  if (request.internal || request.attachable) {
    return Error(
        Kind::Forbidden,
        "configuration network can only contain network specific fields. Network operator fields like "
        "[ ingress | internal | attachable | scope ] are not supported.");
  }
  if (!request.config_from.empty()) {
    return Error(Kind::Forbidden, "a configuration network cannot depend on another configuration network");
  }
  record.config_only = true;
  record.driver = NetworkDriver::Null;
  CHECK(plan_families(request, record));
  for (const NetworkRequest::Pool& wanted : request.pools) {
    if (wanted.is_empty()) continue;
    TRY(IpamPool pool, plan_pool(wanted));
    if (!wanted.gateway) pool.gateway = IpAddress::any(pool.subnet.family());
    record.pools.push_back(std::move(pool));
  }
  return record;
}

Result<NetworkRequest> apply_configuration(const NetworkRequest& request, const Surroundings& surroundings) {
  if (has_own_configuration(request)) {
    return Error(Kind::Forbidden,
                 "user specified configurations are not supported if the network depends on a configuration "
                 "network");
  }
  const auto& networks = surroundings.networks;
  auto found = std::find_if(networks.begin(), networks.end(), [&](const NetworkRecord* network) {
    return network->config_only && network->name == request.config_from;
  });
  if (found == networks.end()) {
    return failure(Kind::NotFound, "configuration network \"{}\" does not exist",
                   request.config_from.substr(0, 128));
  }
  const NetworkRecord& configuration = **found;
  NetworkRequest applied = request;
  applied.enable_ipv4 = configuration.enable_ipv4;
  applied.enable_ipv6 = configuration.enable_ipv6;
  applied.ipam_options = configuration.ipam_options;
  applied.options = configuration.options;
  applied.labels = configuration.labels;
  applied.pools.clear();
  for (const IpamPool& pool : configuration.pools) applied.pools.push_back(pool_request(pool));
  return applied;
}

}  // namespace berth::network
