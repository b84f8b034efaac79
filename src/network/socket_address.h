// A sockaddr made of an IP address and a port.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "network/records.h"

namespace berth::network {

class SocketAddress {
 public:
  SocketAddress(const IpAddress& address, uint16_t port) {
    auto bytes = address.bytes();
    if (address.is_v4()) {
      auto* v4 = reinterpret_cast<sockaddr_in*>(&storage_);
      v4->sin_family = AF_INET;
      v4->sin_port = htons(port);
      std::memcpy(&v4->sin_addr, bytes.data(), bytes.size());
      size_ = sizeof(*v4);
    } else {
      auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage_);
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(port);
      std::memcpy(&v6->sin6_addr, bytes.data(), bytes.size());
      size_ = sizeof(*v6);
    }
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }

 private:
  sockaddr_storage storage_{};
  socklen_t size_ = 0;
};

}  // namespace berth::network
