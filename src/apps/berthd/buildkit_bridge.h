// BuildkitBridge: the engine's side of berth-buildkit, the program that speaks gRPC with BuildKit's clients.
// It is started for the first of them, gets their connections, asks this engine for builds over a socket of
// its own, and ends when nobody is left.
#pragma once

#include <sys/types.h>

#include <string>

#include "api/docker/buildkit_gate.h"
#include "io/event_loop.h"
#include "io/http_server.h"
#include "io/task_group.h"
#include "sys/fd.h"

namespace berth::berthd {

class BuildkitBridge final : public api::BuildkitGate {
 public:
  /// `program` is berth-buildkit's path; `server` gets one more socket, in `exec_root`, that root alone may
  /// use; what is remembered of builds is in `data_root`. All must outlive the object.
  BuildkitBridge(io::EventLoop& loop, io::HttpServer& server, std::string program,
                 const std::string& exec_root, const std::string& data_root)
      : loop_(loop),
        server_(server),
        program_(std::move(program)),
        engine_socket_(exec_root + "/buildkit.sock"),
        history_(data_root + "/build/history") {}
  ~BuildkitBridge() override;

  Result<void> prepare() override;
  Result<void> hand_over(const std::string& introduction, io::HijackedSocket connection) override;

 private:
  Result<void> start();
  io::Task<void> watch();
  void close();

  io::EventLoop& loop_;
  io::HttpServer& server_;
  std::string program_;
  std::string engine_socket_;
  std::string history_;  ///< directory of what is remembered of builds
  bool listening_ = false;
  sys::UniqueFd socket_;  ///< to the program; none: it does not run
  pid_t pid_ = 0;
  uint64_t handed_over_ = 0;  ///< since it was started
  io::TaskGroup tasks_;
};

}  // namespace berth::berthd
