// What a request asks of a container's place on a network beyond the network itself: addresses, aliases, the
// interface's name, sysctls and link-local addresses. Checking is pure; applying works on an interface that
// has just been made. Internal to engine/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "network/networks.h"
#include "network/records.h"
#include "spec/container.h"
#include "sys/netns.h"

namespace berth::engine {

/// docker's options of an endpoint that berth heeds.
inline constexpr std::string_view kEndpointInterface = "com.docker.network.endpoint.ifname";
inline constexpr std::string_view kEndpointSysctls = "com.docker.network.endpoint.sysctls";

/// `network` is null while nobody has made it; `name` is what it is called. InvalidArgument, in docker's
/// words.
Result<void> check_endpoint(const network::NetworkRecord* network, std::string_view name,
                            const spec::EndpointSettings& settings);

/// Without a default network (--bridge none) what was to be on it has no network at all.
void settle_default_network(const network::Networks& networks, spec::EndpointMap& endpoints);

/// The interface's name that is asked for; empty: none.
std::string asked_interface(const spec::EndpointSettings& settings);

/// One of "net.ipv4.conf.IFNAME.log_martians=1".
struct EndpointSysctl {
  std::string path;  ///< below /proc/sys, with the interface's name in it
  std::string value;
};
/// InvalidArgument for what is not "net.{ipv4,ipv6,mpls}.X.IFNAME.Y=V".
Result<std::vector<EndpointSysctl>> endpoint_sysctls(const spec::EndpointSettings& settings,
                                                     std::string_view interface);

/// Link-local addresses and sysctls of an interface that is up.
Result<void> apply_endpoint(const spec::EndpointSettings& settings, const std::string& interface,
                            sys::NetworkNamespace& netns);

}  // namespace berth::engine
