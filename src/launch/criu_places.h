// Where a criu that the keeper starts finds what it is given: its own descriptors.
#pragma once

namespace berth::launch {

constexpr int kCriuSocket = 3;
constexpr int kCriuStreams = 4;  ///< the container's stdin, then stdout and stderr; none with a terminal
constexpr int kCriuNetwork = 7;  ///< the network namespace, where the container has one that is made for it

}  // namespace berth::launch
