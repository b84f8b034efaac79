// Neighbours that the host has learned (ARP, NDP), and those that it answers for.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "sys/ip_address.h"

namespace berth::sys {

/// The host asks anew for the MAC address of `address` on the link (of the calling thread's namespace);
/// nothing happens where it has not learned it.
void forget_neighbour(uint32_t link, const IpAddress& address);

/// On the link the host answers neighbour solicitations for the IPv6 address, which is another's (where
/// net.ipv6.conf.<link>.proxy_ndp is on), until the other call. No error where it did, or did not, already.
Result<void> begin_neighbour_proxy(uint32_t link, const IpAddress& address);
Result<void> end_neighbour_proxy(uint32_t link, const IpAddress& address);
/// The addresses that it answers for on the link.
Result<std::vector<IpAddress>> neighbour_proxies(uint32_t link);

}  // namespace berth::sys
