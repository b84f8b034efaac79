// Download: an answer of the engine that another thread asks for, read piece by piece.
#pragma once

#include <string>
#include <thread>

#include "apps/buildkit/byte_queue.h"
#include "apps/buildkit/engine_client.h"
#include "apps/buildkit/session.h"

namespace berth::buildkit {

class Download {
 public:
  Download(const EngineClient& engine, std::string path, Cancelled cancelled) {
    thread_ = std::thread([this, &engine, path = std::move(path), cancelled = std::move(cancelled)] {
      EngineRequest request{.method = "GET", .path = path, .cancelled = cancelled};
      request.write = [this](std::string_view bytes) { return queue_.write(bytes); };
      auto sent = engine.send(std::move(request));
      queue_.close(sent ? Result<void>() : Result<void>(std::move(sent).error()));
    });
  }
  Download(const Download&) = delete;
  ~Download() {
    queue_.abandon();
    thread_.join();
  }
  /// Empty at the end; the engine's error when there is no answer.
  Result<std::string> read() { return queue_.read(); }

 private:
  ByteQueue queue_;
  std::thread thread_;
};

}  // namespace berth::buildkit
