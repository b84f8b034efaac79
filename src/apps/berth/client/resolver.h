// Host names for tcp:// without libnss: a static program cannot load it. Literals, /etc/hosts, then DNS.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::cli::client {

struct Address {
  int family = 0;  ///< AF_INET or AF_INET6
  std::array<uint8_t, 16> bytes{};
  bool operator==(const Address&) const = default;
};

Result<std::vector<Address>> resolve(const std::string& host);
/// Addresses of `host` in the text of a hosts file. Pure.
std::vector<Address> find_in_hosts(std::string_view hosts_file, std::string_view host);

}  // namespace berth::cli::client
