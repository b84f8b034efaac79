// DNS messages (RFC 1035) as far as the embedded server needs them: reading one question out of a hostile
// packet, and writing an answer. Pure and bounded; names are never followed through compression pointers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "network/records.h"

namespace berth::network {

enum class DnsType : uint16_t { A = 1, Ptr = 12, Aaaa = 28 };
enum class DnsCode : uint8_t { NoError = 0, FormatError = 1, ServerFailure = 2, NameError = 3 };

constexpr size_t kDnsHeaderSize = 12;

struct DnsQuestion {
  uint16_t id = 0;
  std::string name;  ///< lower case, labels joined by dots, no dot at the end; "" is the root
  uint16_t type = 0;
  uint16_t dns_class = 0;
  size_t end = 0;  ///< of the question section within the message
};

/// The question of a query. nullopt unless the message is a standard query with exactly one well-formed
/// question.
std::optional<DnsQuestion> parse_dns_query(std::string_view message);
/// Whether the message has at least a query's header (an answer with FormatError can be sent).
bool is_dns_query(std::string_view message);

struct DnsAnswer {
  std::vector<IpAddress> addresses;  ///< of the question's family
  std::string pointer;               ///< for PTR: the name, without dot at the end
};

/// An authoritative answer to `query`, whose question was parsed as `question`. With nothing in `answer` the
/// name exists and has no such record.
std::string make_dns_answer(std::string_view query, const DnsQuestion& question, const DnsAnswer& answer);
/// A reply without records.
std::string make_dns_failure(std::string_view query, DnsCode code);

/// Whether `reply` answers `query`: response bit, same id and, byte for byte but for letter case, same
/// question.
bool is_dns_reply_to(std::string_view reply, std::string_view query);

/// Whether a server says in `reply` that it cannot or will not answer, which another may (SERVFAIL, REFUSED).
bool is_dns_refusal(std::string_view reply);

/// The address behind "2.0.17.172.in-addr.arpa" or the ip6.arpa form.
std::optional<IpAddress> parse_reverse_name(std::string_view name);

}  // namespace berth::network
