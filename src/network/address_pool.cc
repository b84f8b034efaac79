// Address management.
#include "network/address_pool.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdlib>

#include "base/format.h"

namespace berth::network {
namespace {

/// A /64 has more addresses than anybody counts: berth gives out of its first 2^32.
constexpr uint64_t kMostAddresses = uint64_t{1} << 32;

/// The pool's subnet of that number: its digits stand between the base's and the subnet's length.
IpPrefix nth_subnet(const SubnetPool& pool, uint64_t index) {
  std::array<uint8_t, 16> bytes{};
  auto base = pool.base.address.bytes();
  std::copy(base.begin(), base.end(), bytes.begin());
  for (unsigned bit = pool.size; bit > pool.base.length && index > 0; --bit, index >>= 1) {
    if ((index & 1) != 0) bytes[(bit - 1) / 8] |= static_cast<uint8_t>(0x80 >> ((bit - 1) % 8));
  }
  if (pool.base.address.is_v6()) return {IpAddress::v6(bytes), pool.size};
  return {IpAddress::v4(bytes[0], bytes[1], bytes[2], bytes[3]), pool.size};
}

}  // namespace

AddressPool::AddressPool(const IpamPool& pool) : subnet_(pool.subnet.network()) {
  IpPrefix range = pool.range ? pool.range->network() : subnet_;
  first_ = range.address;
  lowest_ = first_;
  last_ = range.size() > kMostAddresses ? range.address.plus(kMostAddresses - 1) : range.last();
  // Point-to-point prefixes (RFC 3021, RFC 6164) have neither network nor broadcast address.
  if (subnet_.length < subnet_.address.width() - 1) {
    reserved_.insert(subnet_.address);
    if (subnet_.family() == IpFamily::V4) reserved_.insert(subnet_.last());
  }
  reserved_.insert(pool.gateway);
  for (const auto& [name, address] : pool.auxiliary) reserved_.insert(address);
}

Result<IpAddress> AddressPool::allocate() {
  for (IpAddress candidate = lowest_;; candidate = candidate.plus(1)) {
    lowest_ = candidate;
    if (!reserved_.contains(candidate) && taken_.insert(candidate).second) return candidate;
    if (candidate == last_) break;
  }
  return failure(Kind::Exhausted, "no available {} addresses on this network's address pools: {}",
                 subnet_.family() == IpFamily::V4 ? "IPv4" : "IPv6", subnet_.to_string());
}

Result<void> AddressPool::claim(const IpAddress& address) {
  if (!subnet_.contains(address)) {
    return failure(Kind::InvalidArgument, "no configured subnet contains IP address {}", address.to_string());
  }
  if (reserved_.contains(address) || taken_.contains(address)) {
    return failure(Kind::AlreadyExists, "Address already in use");
  }
  taken_.insert(address);
  return {};
}

void AddressPool::release(const IpAddress& address) {
  if (taken_.erase(address) != 0 && address >= first_ && address < lowest_) lowest_ = address;
}

const std::vector<SubnetPool>& default_subnet_pools() {
  static const std::vector<SubnetPool> pools = [] {
    std::vector<SubnetPool> list;
    for (uint8_t second = 17; second <= 31; ++second) {
      list.push_back({{IpAddress::v4(172, second, 0, 0), 16}, 16});
    }
    list.push_back({{IpAddress::v4(192, 168, 0, 0), 16}, 20});
    list.push_back({{IpAddress::v4(10, 128, 0, 0), 9}, 24});
    return list;
  }();
  return pools;
}

Result<IpPrefix> choose_subnet(const std::vector<SubnetPool>& pools, IpFamily family,
                               const std::vector<IpPrefix>& used) {
  auto is_free = [&](const IpPrefix& candidate) {
    return std::none_of(used.begin(), used.end(), [&](const IpPrefix& other) {
      // The default route overlaps everything and takes nothing.
      return other.length > 0 && other.overlaps(candidate);
    });
  };
  for (const SubnetPool& pool : pools) {
    if (pool.base.family() != family) continue;
    uint64_t count = uint64_t{1} << std::min(pool.size - pool.base.length, 20);
    for (uint64_t index = 0; index < count; ++index) {
      IpPrefix candidate = nth_subnet(pool, index);
      if (is_free(candidate)) return candidate;
    }
  }
  return failure(Kind::Exhausted, "all predefined address pools have been fully subnetted");
}

IpPrefix random_ula_subnet() {
  std::array<uint8_t, 16> bytes{};
  // 40 bits of global id and 16 of subnet id, as RFC 4193 section 3.2 wants them: random.
  if (::getrandom(bytes.data() + 1, 7, 0) != 7) std::abort();
  bytes[0] = 0xfd;
  return {IpAddress::v6(bytes), 64};
}

}  // namespace berth::network
