// DnsServer: the resolver at 127.0.0.11 in containers of user-defined networks. Its sockets live in the
// containers' namespaces, on a random port to which a small nf_tables table there redirects port 53, so that
// a container may run a DNS server of its own. What is no container's name is asked upstream, from the host.
//
// One thread of its own, started with the first container. Answers pause while no daemon runs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "network/dns_names.h"
#include "sys/netns.h"

namespace berth::network {

/// The address containers ask at.
inline constexpr std::string_view kEmbeddedDns = "127.0.0.11";

class DnsServer {
 public:
  DnsServer();
  ~DnsServer();
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  /// Sets what is known of a network; an empty network is forgotten. A network never set (the default one)
  /// has no names, and leads out of the host.
  void set_network(const std::string& network_id, DnsNetwork network);
  /// Listens inside `netns` for a container on the given networks. `upstream` are addresses, a zone allowed
  /// ("fe80::1%eth0"); what is no address is left out. Replaces an earlier call for the same container.
  /// `links` are names for this container alone.
  Result<void> serve(const std::string& container_id, const sys::NetworkNamespace& netns,
                     std::vector<std::string> network_ids, const std::vector<std::string>& upstream,
                     DnsLinks links);
  /// The container joined or left networks.
  void set_container_networks(const std::string& container_id, std::vector<std::string> network_ids);
  /// Closes the container's sockets.
  void stop(const std::string& container_id);
  bool is_serving(const std::string& container_id) const;

 private:
  struct State;
  void run();
  std::unique_ptr<State> state_;
  std::thread thread_;
};

}  // namespace berth::network
