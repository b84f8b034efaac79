// Published and exposed ports: [ip:][host[-range]:]container[-range][/protocol]. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::cli::options {

struct PortBinding {
  std::string host_ip;
  std::string host_port;  ///< "", "8080" or "8080-8090": empty and a range let the engine choose
  bool operator==(const PortBinding&) const = default;
};

struct Ports {
  std::set<std::string> exposed;  ///< "80/tcp"
  std::map<std::string, std::vector<PortBinding>> bindings;
};

/// Reads --publish values, also those of the form "published=8080,target=80,protocol=udp". At most 65536
/// ports in all.
Result<Ports> parse_ports(const std::vector<std::string>& publish, const std::vector<std::string>& expose);

}  // namespace berth::cli::options
