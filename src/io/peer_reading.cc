// Unread bytes of local sockets.
#include "io/peer_reading.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>

namespace berth::io {
namespace {

using namespace std::chrono_literals;

/// Nothing announces that a socket's queue is empty: it is looked at, ever less often.
constexpr std::chrono::nanoseconds kFirstPause = 30us;
constexpr std::chrono::nanoseconds kLongestPause = 2ms;
/// Long enough for a client that gets no processor for a while.
constexpr std::chrono::nanoseconds kLongestWait = 1s;

bool is_local(int socket) {
  int domain = 0;
  socklen_t size = sizeof domain;
  return ::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

bool has_unread(int socket) {
  int bytes = 0;
  return ::ioctl(socket, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

}  // namespace

Task<void> until_read(EventLoop& loop, int socket) {
  if (!is_local(socket)) co_return;
  auto waited = 0ns;
  auto pause = kFirstPause;
  while (waited < kLongestWait && has_unread(socket)) {
    co_await loop.sleep_for(pause);
    waited += pause;
    pause = std::min(pause + pause / 2, kLongestPause);
  }
}

}  // namespace berth::io
