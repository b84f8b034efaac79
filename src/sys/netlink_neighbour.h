// Neighbours that the host has learned (ARP, NDP).
#pragma once

#include <cstdint>

#include "sys/ip_address.h"

namespace berth::sys {

/// The host asks anew for the MAC address of `address` on the link (of the calling thread's namespace);
/// nothing happens where it has not learned it.
void forget_neighbour(uint32_t link, const IpAddress& address);

}  // namespace berth::sys
