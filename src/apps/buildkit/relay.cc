#include "apps/buildkit/relay.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <thread>

#include "base/format.h"
#include "sys/file.h"

namespace berth::buildkit {
namespace {

void set_blocking(int fd, bool blocking) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0) ::fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

}  // namespace

bool copy_bytes(int from, int to, const std::function<bool(std::string_view)>& passes) {
  std::array<char, 65536> buffer;
  bool written = true;
  while (written) {
    ssize_t count = ::recv(from, buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    const std::string_view bytes(buffer.data(), static_cast<size_t>(count));
    written = (!passes || passes(bytes)) && sys::write_all(to, bytes).has_value();
  }
  ::shutdown(to, SHUT_WR);
  if (!written) ::shutdown(from, SHUT_RD);
  return written;
}

Result<sys::UniqueFd> start_relay(sys::UniqueFd client, std::string already_read, Http2Guard::Sender sender,
                                  std::function<void()> ended) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return Error::from_errno("socketpair", "relay", errno);
  sys::UniqueFd grpc_end(ends[0]);
  struct Pair {
    sys::UniqueFd client;
    sys::UniqueFd inner;
  };
  auto pair = std::make_shared<Pair>(Pair{std::move(client), sys::UniqueFd(ends[1])});
  set_blocking(pair->client.get(), true);
  set_blocking(grpc_end.get(), false);
  std::thread([pair, first = std::move(already_read), sender, ended = std::move(ended)]() mutable {
    std::thread outward([pair] {
      copy_bytes(pair->inner.get(), pair->client.get());
      // gRPC has closed its end: nothing more is wanted of the client.
      ::shutdown(pair->client.get(), SHUT_RD);
    });
    Http2Guard guard(sender, std::chrono::steady_clock::now());
    const auto passes = [&guard](std::string_view bytes) {
      const auto sound = guard.consume(bytes, std::chrono::steady_clock::now());
      if (!sound) fmt::print(stderr, "berth-buildkit: a client is hung up on: {}\n", sound.error().message());
      return sound.has_value();
    };
    if (passes(first) && sys::write_all(pair->inner.get(), first))
      copy_bytes(pair->client.get(), pair->inner.get(), passes);
    // HTTP/2 knows no half-closed connection.
    ::shutdown(pair->inner.get(), SHUT_RDWR);
    outward.join();
    pair.reset();
    ended();
  }).detach();
  return grpc_end;
}

}  // namespace berth::buildkit
