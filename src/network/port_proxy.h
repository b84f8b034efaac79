// PortProxy: serves what reaches the sockets of published ports themselves. Nearly all traffic is redirected
// by the kernel and never does; what remains are clients of ::1, which the kernel cannot redirect off the
// loopback, IPv6 clients of a container without IPv6, and everybody when another program flushes nf_tables.
//
// One thread of its own, started with the first port; it ends with the object. When the daemon is killed
// these paths pause until the next daemon, all others go on.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "base/result.h"
#include "network/host_ports.h"
#include "network/records.h"
#include "sys/fd.h"

namespace berth::network {

class PortProxy {
 public:
  PortProxy();
  ~PortProxy();
  PortProxy(const PortProxy&) = delete;
  PortProxy& operator=(const PortProxy&) = delete;

  /// Owns the held port's socket from now on and forwards to `target`. SCTP sockets are only kept.
  Result<void> serve(HeldPort held, const IpAddress& target);
  /// Closes the port's socket and its connections; the port is free when this returns.
  void stop(const PublishedPort& port);
  /// Connections and UDP sessions under way.
  size_t connections() const;

 private:
  struct Listener;
  struct Connection;
  struct Session;
  struct State;
  void run();
  std::unique_ptr<State> state_;
  std::thread thread_;
};

}  // namespace berth::network
