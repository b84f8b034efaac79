// The files that berth gives a container from outside: /etc/hostname, /etc/hosts and /etc/resolv.conf, kept
// in the container's directory and bind mounted.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "engine/records.h"
#include "network/networks.h"
#include "network/resolv_conf.h"

namespace berth::engine {

struct ContainerFiles {
  std::string hostname;
  std::string hosts;
  std::string resolv_conf;
};

struct FileInputs {
  const ContainerRecord* record = nullptr;
  std::vector<const network::EndpointRecord*> endpoints;
  bool user_defined_network = false;  ///< the embedded DNS answers
  bool host_network = false;
  std::vector<std::pair<sys::IpAddress, std::string>> links;
  std::string host_hosts;        ///< text of the host's /etc/hosts, for --network host
  std::string host_resolv_conf;  ///< text
  std::vector<sys::IpAddress> host_gateways;
};

/// What the container's options say about name resolution.
network::DnsOptions dns_options(const ContainerRecord& record);

/// Pure. InvalidArgument for a malformed --add-host.
Result<ContainerFiles> plan_files(const FileInputs& inputs);

/// Writes them into the directory; existing ones keep their inode, since running containers have them
/// mounted.
Result<void> write_files(const std::string& directory, const ContainerFiles& files);

}  // namespace berth::engine
