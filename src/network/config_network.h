// Networks of configuration alone: what other networks are made of by naming them (docker's --config-only and
// --config-from). They have no link, no addresses and no containers. Pure.
#pragma once

#include "base/result.h"
#include "network/network_plan.h"

namespace berth::network {

/// Fills in a record of the request's configuration; its name has been checked. Subnets may be those of other
/// networks. Forbidden for what a configuration cannot say.
Result<NetworkRecord> plan_config_network(const NetworkRequest& request, NetworkRecord record);

/// The request with the configuration that it names. NotFound: there is no such configuration; Forbidden: it
/// says itself what the configuration is to say.
Result<NetworkRequest> apply_configuration(const NetworkRequest& request, const Surroundings& surroundings);

}  // namespace berth::network
