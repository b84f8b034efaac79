// --network NAME or name=NAME,alias=...,ip=...: the networks that a container is to join. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::cli::options {

struct Attachment {
  std::string network;
  std::vector<std::string> aliases;
  std::vector<std::string> links;
  std::vector<std::string> link_local_ips;
  std::map<std::string, std::string> driver_options;
  std::string ip;
  std::string ip6;
  std::string mac;
  int64_t gateway_priority = 0;
};

Result<Attachment> parse_attachment(std::string_view value);
Result<std::string> check_attachment(std::string_view value);
/// False for default, bridge, host, none and container:ID.
bool is_user_defined(std::string_view network);

}  // namespace berth::cli::options
