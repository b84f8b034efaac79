// resolv.conf and hosts for a container, as pure functions of the host's files and the container's options.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "network/records.h"

namespace berth::network {

struct DnsOptions {
  std::vector<std::string> servers;  ///< --dns; replaces the host's
  std::vector<std::string> search;   ///< --dns-search; replaces the host's; "." alone: none
  std::vector<std::string> options;  ///< --dns-option; replaces the host's
};

/// How the container looks at the host's nameservers.
enum class ResolverView {
  OwnNamespace,   ///< loopback nameservers cannot be reached and are left out
  HostNamespace,  ///< --network host: the file is kept, options apply
  EmbeddedDns,    ///< user-defined networks: nameserver 127.0.0.11, the rest is forwarded to
};

struct ResolvConf {
  std::string text;                   ///< the container's file
  std::vector<std::string> upstream;  ///< for EmbeddedDns: where to forward to
};

/// Builds the file from the text of the host's resolv.conf. With no usable nameserver left the file has
/// docker's 8.8.8.8 and 8.8.4.4 and, when the container has IPv6, Google's v6 ones.
ResolvConf make_resolv_conf(std::string_view host_text, const DnsOptions& options, ResolverView view,
                            bool has_ipv6);

/// The host's resolv.conf; where that names only systemd-resolved's stub (127.0.0.53), its upstream file
/// /run/systemd/resolve/resolv.conf. A missing file is empty text.
std::string read_host_resolv_conf();

struct HostsOptions {
  std::string hostname;
  std::string domainname;
  std::vector<IpAddress> addresses;  ///< the container's own, each gets a line with the host name
  /// --add-host "name:ip" in order; "host-gateway" as ip stands for `host_gateways`.
  std::vector<std::string> extra;
  std::vector<IpAddress> host_gateways;
  /// Lines for --link: address and names.
  std::vector<std::pair<IpAddress, std::string>> links;
  bool ipv6 = true;
};

/// InvalidArgument for a malformed --add-host: docker's "bad format for add-host: \"x\"".
Result<std::string> make_hosts(const HostsOptions& options);

}  // namespace berth::network
