// The embedded DNS server's sockets inside a container's namespace, and the nf_tables table there that leads
// port 53 of 127.0.0.11 to them. Kept apart from the server, which knows nothing of namespaces.
#pragma once

#include "base/result.h"
#include "sys/fd.h"
#include "sys/netns.h"
#include "sys/nftables.h"

namespace berth::network {

struct DnsSockets {
  sys::UniqueFd udp;
  sys::UniqueFd tcp;  ///< listening
};

/// Makes the sockets on random ports of 127.0.0.11 in the namespace, and replaces the redirection there.
Result<DnsSockets> open_dns_sockets(const sys::NetworkNamespace& netns);

/// The table "berth-dns": what the namespace sends to 127.0.0.11:53 goes to the given ports.
sys::NftTransaction plan_dns_redirect(uint16_t udp_port, uint16_t tcp_port);

}  // namespace berth::network
