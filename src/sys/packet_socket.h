// Unix sockets of packets (SOCK_SEQPACKET) that carry descriptors: how daemon and keeper talk.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::sys {

struct Packet {
  std::string bytes;  ///< empty: the other side has closed
  std::vector<UniqueFd> fds;
};

/// A connected pair, both CLOEXEC and blocking.
Result<std::pair<UniqueFd, UniqueFd>> make_packet_pair();
/// Connects to a listening socket; the path may be longer than a socket address takes. ENOENT is NotFound,
/// ECONNREFUSED Unavailable.
Result<UniqueFd> connect_packet_socket(const std::string& path);
/// Sends one packet without waiting. Unavailable when the other side has gone, Exhausted when its queue is
/// full.
Result<void> send_packet(int socket, std::string_view bytes, std::span<const int> fds = {});
/// The next packet, or nothing when none is there. Corrupt when it is larger than `max_size`.
Result<std::optional<Packet>> receive_packet(int socket, size_t max_size);
/// Waits until a packet (or the end) is there. DeadlineExceeded after `milliseconds`.
Result<void> await_packet(int socket, int milliseconds);

}  // namespace berth::sys
