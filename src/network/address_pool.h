// AddressPool: which addresses of a subnet are taken. Pure and in memory: taken addresses are in the endpoint
// records and are claimed again at recovery.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "base/result.h"
#include "network/records.h"

namespace berth::network {

class AddressPool {
 public:
  /// Network, broadcast, gateway and auxiliary addresses are never given out.
  explicit AddressPool(const IpamPool& pool);

  /// The lowest free address, as docker gives them: the first container of a network has its first address
  /// also after others have come and gone. Exhausted: "no available IPv4 addresses on this network's address
  /// pools".
  Result<IpAddress> allocate();
  /// One given address. InvalidArgument outside the subnet, AlreadyExists when taken ("Address already in
  /// use").
  Result<void> claim(const IpAddress& address);
  void release(const IpAddress& address);
  bool is_taken(const IpAddress& address) const { return taken_.contains(address); }
  size_t taken() const { return taken_.size(); }
  const IpPrefix& subnet() const { return subnet_; }

 private:
  IpPrefix subnet_;
  IpAddress first_;
  IpAddress last_;
  IpAddress lowest_;  ///< below it nothing is free
  std::set<IpAddress> reserved_;
  std::set<IpAddress> taken_;
};

/// Docker's default pools (172.17.0.0/16 to 172.31.0.0/16, 192.168.0.0/20 to 192.168.240.0/20), and behind
/// them 32,768 networks of 10.128.0.0/9, so that they do not run out after thirty.
const std::vector<SubnetPool>& default_subnet_pools();
/// The first subnet of the pools that overlaps none of `used`. Exhausted: docker's "all predefined address
/// pools have been fully subnetted".
Result<IpPrefix> choose_subnet(const std::vector<SubnetPool>& pools, IpFamily family,
                               const std::vector<IpPrefix>& used);
/// A random /64 below fd00::/8 (RFC 4193).
IpPrefix random_ula_subnet();

}  // namespace berth::network
