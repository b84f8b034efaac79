// Sending frames.
#include "sys/frame_socket.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace berth::sys {
namespace {

ifreq request_for(std::string_view interface) {
  ifreq request{};
  interface.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
  return request;
}

}  // namespace

Result<FrameSocket> FrameSocket::open_in(int netns, int home, std::string_view interface) {
  if (::setns(netns, CLONE_NEWNET) != 0) return Error::from_errno("enter network namespace", {}, errno);
  // Protocol 0: nothing is received.
  UniqueFd fd(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int error = errno;
  // It was there a moment ago; a thread that stays would keep the container's namespace alive.
  if (::setns(home, CLONE_NEWNET) != 0) std::abort();
  if (!fd) return Error::from_errno("open socket for frames", interface, error);
  ifreq request = request_for(interface);
  if (::ioctl(fd.get(), SIOCGIFINDEX, &request) != 0)
    return Error::from_errno("find interface", interface, errno);
  return FrameSocket(std::move(fd), std::string(interface), request.ifr_ifindex);
}

Result<MacAddress> FrameSocket::mac() const {
  ifreq request = request_for(interface_);
  if (::ioctl(fd_.get(), SIOCGIFHWADDR, &request) != 0)
    return Error::from_errno("look at interface", interface_, errno);
  MacAddress mac;
  std::memcpy(mac.bytes.data(), request.ifr_hwaddr.sa_data, mac.bytes.size());
  return mac;
}

Result<void> FrameSocket::send(uint16_t protocol, const MacAddress& to,
                               std::span<const uint8_t> payload) const {
  sockaddr_ll target{};
  target.sll_family = AF_PACKET;
  target.sll_protocol = htons(protocol);
  target.sll_ifindex = index_;
  target.sll_hatype = ARPHRD_ETHER;
  target.sll_halen = static_cast<uint8_t>(to.bytes.size());
  std::copy(to.bytes.begin(), to.bytes.end(), target.sll_addr);
  ssize_t sent = ::sendto(fd_.get(), payload.data(), payload.size(), 0,
                          reinterpret_cast<const sockaddr*>(&target), sizeof(target));
  if (sent != static_cast<ssize_t>(payload.size())) return Error::from_errno("send frame", interface_, errno);
  return {};
}

}  // namespace berth::sys
