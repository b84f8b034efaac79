// How an ordinary user's berthd becomes root of a user namespace: it finds or starts its namespace host
// (host_process.h), enters the namespaces which that holds, and keeps the connection for published ports.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "network/host_ports.h"
#include "sys/fd.h"

namespace berth::berthd::rootless {

/// The namespace host as the daemon sees it. Blocking calls of microseconds.
class NamespaceHost final : public network::PortBinder {
 public:
  explicit NamespaceHost(sys::UniqueFd socket) : socket_(std::move(socket)) {}
  network::BoundPort bind(network::Protocol protocol, const sys::IpAddress& host_ip, uint16_t port) override;
  void release(const network::PublishedPort& port) override;
  void settle() override;
  /// Nothing runs any more: the namespaces may go when this process does.
  void end();

 private:
  sys::UniqueFd socket_;
};

struct Entered {
  std::unique_ptr<NamespaceHost> host;
  std::vector<std::string> warnings;  ///< what this host does not have for us, a line each
};

/// For a process of one thread that is not root. Afterwards it is root of its user namespace, sees the
/// namespaces' mounts and network, and has all capabilities there. `uplink` as uplink_programs() takes it.
/// Unsupported when the kernel does not let ordinary users make user namespaces.
Result<Entered> enter_namespaces(const std::string& exec_root, const std::string& uplink);

}  // namespace berth::berthd::rootless
