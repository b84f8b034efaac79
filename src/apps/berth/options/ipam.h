// Address management of `network create`: which gateway and range belong to which subnet. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::cli::options {

struct Ipam {
  std::string driver;
  std::vector<std::string> subnets;
  std::vector<std::string> ranges;
  std::vector<std::string> gateways;
  std::map<std::string, std::string> auxiliary;
  std::map<std::string, std::string> options;
};

/// The API's IPAM object. Every range, gateway and auxiliary address must lie in one of the subnets.
Result<Json> ipam_config(const Ipam& ipam);

}  // namespace berth::cli::options
