// Starting berth-buildkit and handing connections to it.
#include "apps/berthd/buildkit_bridge.h"

#include <fcntl.h>

#include <array>

#include "base/format.h"
#include "base/log.h"
#include "sys/file.h"
#include "sys/packet_socket.h"
#include "sys/process.h"

namespace berth::berthd {
namespace {

constexpr size_t max_notice = 256;
/// Where the program finds its socket.
constexpr int control_fd = 3;

}  // namespace

BuildkitBridge::~BuildkitBridge() {
  tasks_.destroy_all();
  close();
}

void BuildkitBridge::close() {
  socket_.reset();  // the end of the program, too
  if (pid_ > 0) sys::reap_process(std::exchange(pid_, 0));
}

Result<void> BuildkitBridge::prepare() {
  if (socket_) return {};
  auto started = start();
  return started ? started : std::move(started).error().in("starting berth-buildkit");
}

Result<void> BuildkitBridge::start() {
  if (!listening_) {
    CHECK(server_.listen_unix(engine_socket_, {.mode = 0600}));
    listening_ = true;
  }
  TRY(auto program, sys::open_file(program_.c_str(), O_RDONLY | O_CLOEXEC));
  TRY(program, sys::clear_of_passed(program.get()));
  TRY(auto pair, sys::make_packet_pair());
  TRY(auto theirs, sys::clear_of_passed(pair.second.get()));
  TRY(pid_, sys::spawn_process({.program = program.get(),
                                .arguments = {"berth-buildkit", engine_socket_, history_},
                                .environment = {"GRPC_VERBOSITY=NONE"},
                                .fds = {{theirs.get(), control_fd}}}));
  socket_ = std::move(pair.first);
  handed_over_ = 0;
  tasks_.spawn(watch());
  return {};
}

Result<void> BuildkitBridge::hand_over(const std::string& introduction, io::HijackedSocket connection) {
  CHECK(prepare());
  std::array<int, 1> fds{connection.socket.get()};
  CHECK(sys::send_packet(socket_.get(), introduction + "\n" + connection.already_read, fds));
  ++handed_over_;
  return {};
}

/// The program tells when it has had no connection for a while: "idle N", N of those that it ever got. When
/// that is all of them it may go.
io::Task<void> BuildkitBridge::watch() {
  while (socket_) {
    auto readable = co_await loop_.readable(socket_.get());
    if (!readable) break;
    auto packet = sys::receive_packet(socket_.get(), max_notice);
    if (!packet) break;
    if (!*packet) continue;
    const std::string& notice = (*packet)->bytes;
    if (notice.empty() || notice == fmt::format("idle {}", handed_over_)) break;
  }
  close();
}

}  // namespace berth::berthd
