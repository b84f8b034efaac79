// The host's link that interfaces of a macvlan or ipvlan network hang on. It is somebody's, or berth's own: a
// VLAN that is named in the usual way ("eth0.10") and not there yet, or, where none is named, a link that
// leads nowhere, so that the network's containers reach each other alone.
#pragma once

#include <string>

#include "base/result.h"
#include "network/network_plan.h"
#include "sys/netlink.h"

namespace berth::network {

bool has_parent(const NetworkDriver& driver);
/// No link of the host's is named.
bool leads_nowhere(const NetworkRecord& network);
/// The named one, or that of the network's own: "dm-" or "di-" and twelve digits of the id.
std::string parent_name(const NetworkRecord& network);
/// Whether containers have no next hop but send everything out of their interface.
bool routes_by_device(const NetworkRecord& network);
/// IPVLAN_F_*, from the option; nothing for a word that is none.
std::optional<uint16_t> ipvlan_flags(std::string_view name);

/// InvalidArgument for options that do not fit; Forbidden for a parent that cannot be shared.
Result<void> check_parent(const NetworkRecord& network, const Surroundings& surroundings);
/// Makes the link if it is berth's to make; `owner` is its alias then. InvalidArgument, in docker's words,
/// for a name of a link that is not there and not a VLAN's.
Result<void> ensure_parent(sys::RouteSocket& routes, const NetworkRecord& network, const std::string& owner);

}  // namespace berth::network
