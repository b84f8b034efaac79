// Name resolution from /etc/hosts and DNS.
#include "apps/berth/client/resolver.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <strings.h>
#include <sys/socket.h>

#include <cstring>

#include "apps/berth/archive/file_text.h"
#include "base/format.h"

namespace berth::cli::client {
namespace {

bool literal(const std::string& text, Address& address) {
  if (::inet_pton(AF_INET, text.c_str(), address.bytes.data()) == 1) {
    address.family = AF_INET;
    return true;
  }
  if (::inet_pton(AF_INET6, text.c_str(), address.bytes.data()) == 1) {
    address.family = AF_INET6;
    return true;
  }
  return false;
}

void query(const std::string& host, int type, std::vector<Address>& addresses) {
  std::array<unsigned char, 4096> answer;
  int size = ::res_search(host.c_str(), ns_c_in, type, answer.data(), static_cast<int>(answer.size()));
  ns_msg message;
  if (size <= 0 || ::ns_initparse(answer.data(), size, &message) != 0) return;
  for (int i = 0; i < ns_msg_count(message, ns_s_an); ++i) {
    ns_rr record;
    if (::ns_parserr(&message, ns_s_an, i, &record) != 0) return;
    if (ns_rr_type(record) != type || ns_rr_rdlen(record) > 16) continue;
    Address address{type == ns_t_a ? AF_INET : AF_INET6, {}};
    std::memcpy(address.bytes.data(), ns_rr_rdata(record), ns_rr_rdlen(record));
    addresses.push_back(address);
  }
}

}  // namespace

std::vector<Address> find_in_hosts(std::string_view hosts_file, std::string_view host) {
  std::vector<Address> addresses;
  while (!hosts_file.empty()) {
    size_t end = hosts_file.find('\n');
    std::string_view line = hosts_file.substr(0, end);
    hosts_file.remove_prefix(end == std::string_view::npos ? hosts_file.size() : end + 1);
    line = line.substr(0, line.find('#'));
    Address address;
    bool first = true;
    while (!line.empty()) {
      size_t stop = line.find_first_of(" \t\r");
      std::string_view word = line.substr(0, stop);
      line.remove_prefix(stop == std::string_view::npos ? line.size() : stop + 1);
      if (word.empty()) continue;
      if (first && !literal(std::string(word), address)) break;
      if (!first && word.size() == host.size() && ::strncasecmp(word.data(), host.data(), host.size()) == 0) {
        addresses.push_back(address);
        break;
      }
      first = false;
    }
  }
  return addresses;
}

Result<std::vector<Address>> resolve(const std::string& host) {
  Address address;
  if (literal(host, address)) return std::vector{address};
  std::vector<Address> addresses;
  if (auto hosts = archive::read_text("/etc/hosts", 1u << 20)) addresses = find_in_hosts(*hosts, host);
  if (addresses.empty() && host == "localhost") {
    literal("127.0.0.1", address);
    addresses.push_back(address);
  }
  if (addresses.empty()) {
    query(host, ns_t_a, addresses);
    query(host, ns_t_aaaa, addresses);
  }
  if (addresses.empty()) return failure(Kind::NotFound, "no such host: {}", host);
  return addresses;
}

}  // namespace berth::cli::client
