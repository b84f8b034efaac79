// Sockets and redirection of the embedded DNS server.
#include "network/dns_redirect.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "network/dns_server.h"
#include "network/socket_address.h"

namespace berth::network {
namespace {

constexpr char kTable[] = "berth-dns";
constexpr uint16_t kDnsPort = 53;
constexpr uint8_t kUdp = 17;
constexpr uint8_t kTcp = 6;

IpAddress dns_address() {
  return *IpAddress::parse(kEmbeddedDns);
}

Result<sys::UniqueFd> bind_inside(int type) {
  sys::UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  SocketAddress address(dns_address(), 0);
  if (!fd || ::bind(fd.get(), address.get(), address.size()) != 0) {
    return Error::from_errno("open socket of the embedded DNS", {}, errno);
  }
  if (type == SOCK_STREAM && ::listen(fd.get(), 16) != 0) {
    return Error::from_errno("listen for the embedded DNS", {}, errno);
  }
  return fd;
}

Result<uint16_t> port_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return Error::from_errno("read socket address", {}, errno);
  }
  return ntohs(address.sin_port);
}

}  // namespace

sys::NftTransaction plan_dns_redirect(uint16_t udp_port, uint16_t tcp_port) {
  using sys::NftCompare;
  using sys::NftFamily;
  sys::NftTransaction transaction;
  transaction.add_table(NftFamily::Ip, kTable)
      .delete_table(NftFamily::Ip, kTable)
      .add_table(NftFamily::Ip, kTable);
  // {address, protocol, port} -> {address, port}: one rule for both protocols.
  sys::NftSet ports{"ports",
                    1,
                    {sys::NftType::Ipv4Address, sys::NftType::Protocol, sys::NftType::Port},
                    {sys::NftType::Ipv4Address, sys::NftType::Port}};
  transaction.add_set(NftFamily::Ip, kTable, ports);
  auto element = [](uint8_t protocol, uint16_t port) {
    return sys::NftElement{sys::NftKey().bytes(dns_address().bytes()).byte(protocol).port(kDnsPort),
                           sys::NftKey().bytes(dns_address().bytes()).port(port)};
  };
  const sys::NftElement elements[] = {element(kUdp, udp_port), element(kTcp, tcp_port)};
  transaction.add_elements(NftFamily::Ip, kTable, ports.name, elements);
  transaction.add_chain(NftFamily::Ip, kTable,
                        {"output", sys::NftChainType::Nat, sys::NftHook::Output, -100});
  sys::NftRule redirect;
  redirect.network_header(16, 4)
      .meta(sys::NftRule::Meta::Protocol, 1)
      .transport_header(2, 2, 2)
      .lookup_map(ports, 0, 8)
      .destination_nat(NftFamily::Ip, 8, 9);
  transaction.add_rule(NftFamily::Ip, kTable, "output", redirect);
  return transaction;
}

Result<DnsSockets> open_dns_sockets(const sys::NetworkNamespace& netns) {
  DnsSockets sockets;
  CHECK(netns.run_inside([&]() -> Result<void> {
    TRY(sockets.udp, bind_inside(SOCK_DGRAM));
    TRY(sockets.tcp, bind_inside(SOCK_STREAM));
    TRY(uint16_t udp_port, port_of(sockets.udp.get()));
    TRY(uint16_t tcp_port, port_of(sockets.tcp.get()));
    TRY(auto nft, sys::NftSocket::open());
    return nft.commit(plan_dns_redirect(udp_port, tcp_port));
  }));
  return sockets;
}

}  // namespace berth::network
