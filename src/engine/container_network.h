// A container's networks at start and end: endpoints made and released, records kept, what inspect shows
// filled in. Internal to engine/.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/core.h"
#include "io/task.h"
#include "sys/netns.h"

namespace berth::engine {

/// Where a container's network namespace comes from.
enum class NetworkPlace { Own, Host, Container };
NetworkPlace network_place(const spec::HostConfig& host);

/// What a container had on a network, and gets again unless its configuration says otherwise.
struct FormerAddresses {
  std::string ipv4;  ///< empty: none
  std::string ipv6;
};

/// Joins every network of the record (by `endpoints`), publishes its ports, and fills in addresses and ports.
/// Returns the endpoints' ids; on failure nothing is left. `former`, by name of the network: on any, also
/// where users may not ask for an address; it fails where another has one of them.
Result<std::vector<std::string>> attach_networks(Core& core, ContainerRecord& record,
                                                 sys::NetworkNamespace& netns,
                                                 const std::map<std::string, FormerAddresses>& former = {});

/// One network of a running container (network connect). The record's endpoint is filled in.
Result<std::string> attach_network(Core& core, ContainerRecord& record, const std::string& network,
                                   sys::NetworkNamespace& netns, const std::string& interface,
                                   bool default_gateway);

/// Gives addresses and ports back at once, removes the records, and forgets what was filled in. The links are
/// removed by the returned work.
network::LinkRemoval detach_networks(Core& core, ContainerRecord& record,
                                     const std::vector<std::string>& endpoints);

/// Deletes links on a worker thread; a failure is logged.
io::Task<void> run_removal(Core& core, network::LinkRemoval removal);

/// Writes the files of /etc for the record's present addresses.
Result<void> write_container_files(Core& core, ContainerRecord& record);

/// The network that carries the default route: highest priority, then the first name; internal ones last.
std::string gateway_network(const Core& core, const ContainerRecord& record);
/// The network of the network mode, which may also be an id or the beginning of one.
std::string main_network(const Core& core, const ContainerRecord& record);

/// Answers names at 127.0.0.11 in the container's namespace, where it is on a user-defined network; replaces
/// what answered before. Call it when networks are joined, and for what already runs when the engine starts.
Result<void> serve_names(Core& core, const ContainerRecord& record, const sys::NetworkNamespace& netns);

/// The names the embedded DNS answers for, besides the container's own.
std::vector<std::string> dns_aliases(const ContainerRecord& record, const spec::EndpointSettings& settings);

/// All of them, the container's own first: DNSNames of an endpoint on a user-defined network.
std::vector<std::string> dns_names(const ContainerRecord& record, const spec::EndpointSettings& settings);

void fill_endpoint(spec::EndpointSettings& settings, const network::EndpointRecord& endpoint);
/// Forgets what was filled in, but for a MAC address that somebody has asked for.
void clear_endpoint(spec::EndpointSettings& settings, const network::EndpointRecord& endpoint);

}  // namespace berth::engine
