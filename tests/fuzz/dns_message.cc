// Fuzz target: queries to the embedded DNS server. An answer to a query is one.
#include <cstdint>
#include <string_view>

#include "network/dns_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  namespace network = berth::network;
  if (network::is_dns_query(text)) (void)network::make_dns_failure(text, network::DnsCode::FormatError);
  if (const auto question = network::parse_dns_query(text)) {
    if (question->end > size) __builtin_trap();
    const auto answer = network::make_dns_answer(text, *question, {});
    if (!network::is_dns_reply_to(answer, text)) __builtin_trap();
  }
  (void)network::parse_reverse_name(text);
  return 0;
}
