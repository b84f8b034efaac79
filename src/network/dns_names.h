// Which names the embedded DNS knows, and how a question is answered from them. Pure values.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "network/dns_message.h"
#include "network/records.h"

namespace berth::network {

struct DnsEndpoint {
  std::vector<std::string> names;  ///< lower case; the first one answers reverse questions
  std::optional<IpAddress> ipv4;
  std::optional<IpAddress> ipv6;
};

/// One network's names.
struct DnsNetwork {
  std::string name;
  bool internal = false;
  std::vector<DnsEndpoint> endpoints;
};

/// Names that one container alone knows (--link), on the network of the link alone. By the network's name:
/// alias -> a name of the container meant, both lower case.
using DnsLinks = std::map<std::string, std::map<std::string, std::string, std::less<>>, std::less<>>;

/// A name as it is compared: lower case.
std::string dns_name_of(std::string_view text);
/// The names of an endpoint: container name, aliases, short id.
DnsEndpoint dns_endpoint_of(const EndpointRecord& endpoint);

/// What is to be done with a question.
struct DnsDecision {
  enum class Act {
    Answer,   ///< `answer` is the reply, possibly empty: the name exists without such a record
    Forward,  ///< not one of ours: ask upstream
    Refuse,   ///< not ours, and the asker's networks are all internal (CVE-2024-29018): nothing leaves the
              ///< host
  };
  Act act = Act::Forward;
  DnsAnswer answer;
};

/// `networks` are those that the asking container is on. Names match alone ("web") and with their network's
/// name behind ("web.mynet"). Without a way out nothing is forwarded.
DnsDecision decide_dns(const DnsQuestion& question, const std::vector<const DnsNetwork*>& networks,
                       bool has_way_out, const DnsLinks& links = {});

}  // namespace berth::network
