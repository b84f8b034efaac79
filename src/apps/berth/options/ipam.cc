// Subnets with their gateways and ranges.
#include "apps/berth/options/ipam.h"

#include "apps/berth/options/ip_address.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::cli::options {
namespace {

struct Pool {
  Subnet subnet;
  Json json;
};

Result<Subnet> subnet_of(const std::string& text) {
  auto subnet = parse_subnet(text);
  if (!subnet) return failure(Kind::InvalidArgument, "invalid subnet: {}", subnet.error().message());
  return subnet;
}

/// The pool that holds an address or the first address of a range.
Result<Pool*> pool_of(std::vector<Pool>& pools, const std::string& text, std::string_view what) {
  IpAddress address;
  if (text.find('/') != std::string::npos) {
    TRY(Subnet subnet, parse_subnet(text));
    address = subnet.address;
  } else if (auto parsed = parse_ip(text)) {
    address = *parsed;
  } else {
    return failure(Kind::InvalidArgument, "invalid {} address: {}", what, text);
  }
  for (Pool& pool : pools) {
    if (pool.subnet.contains(address)) return &pool;
  }
  return failure(Kind::InvalidArgument, "no matching subnet for {} {}", what, text);
}

}  // namespace

Result<Json> ipam_config(const Ipam& ipam) {
  if (ipam.subnets.size() < ipam.ranges.size() || ipam.subnets.size() < ipam.gateways.size()) {
    return failure(Kind::InvalidArgument, "every ip-range or gateway must have a corresponding subnet");
  }
  std::vector<Pool> pools;
  for (const std::string& text : ipam.subnets) {
    TRY(Subnet subnet, subnet_of(text));
    for (const Pool& other : pools) {
      if (other.subnet.contains(subnet.address) || subnet.contains(other.subnet.address)) {
        return failure(Kind::InvalidArgument, "multiple overlapping subnet configuration is not supported");
      }
    }
    pools.push_back({subnet, Json{{"Subnet", text}}});
  }
  for (const std::string& text : ipam.ranges) {
    CHECK(parse_subnet(text));
    TRY(Pool * pool, pool_of(pools, text, "range"));
    if (pool->json.contains("IPRange")) {
      return failure(Kind::InvalidArgument,
                     "cannot configure multiple ranges ({}, {}) on the same subnet ({})", text,
                     pool->json["IPRange"].get<std::string>(), pool->json["Subnet"].get<std::string>());
    }
    pool->json["IPRange"] = text;
  }
  for (const std::string& text : ipam.gateways) {
    TRY(Pool * pool, pool_of(pools, text, "gateway"));
    if (pool->json.contains("Gateway")) {
      return failure(Kind::InvalidArgument,
                     "cannot configure multiple gateways ({}, {}) for the same subnet ({})", text,
                     pool->json["Gateway"].get<std::string>(), pool->json["Subnet"].get<std::string>());
    }
    pool->json["Gateway"] = text;
  }
  for (const auto& [name, text] : ipam.auxiliary) {
    TRY(Pool * pool, pool_of(pools, text, "aux-address"));
    pool->json["AuxiliaryAddresses"][name] = text;
  }
  Json config = Json::array();
  for (Pool& pool : pools) config.push_back(std::move(pool.json));
  return Json{{"Driver", ipam.driver}, {"Config", config}, {"Options", ipam.options}};
}

}  // namespace berth::cli::options
