// Bytes that a thread makes while another reads them, piece by piece; an answer of the engine as such.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "apps/buildkit/byte_queue.h"
#include "apps/buildkit/engine_client.h"
#include "apps/buildkit/session.h"

namespace berth::buildkit {

class Produced {
 public:
  explicit Produced(std::function<Result<void>(ByteQueue&)> produce)
      : thread_([this, produce = std::move(produce)] { queue_.close(produce(queue_)); }) {}
  Produced(const Produced&) = delete;
  ~Produced() {
    queue_.abandon();
    thread_.join();
  }
  /// Empty at the end; the producer's error when it has failed.
  Result<std::string> read() { return queue_.read(); }

 private:
  ByteQueue queue_;
  std::thread thread_;
};

class Download : public Produced {
 public:
  /// `engine` must outlive the object.
  Download(const EngineClient& engine, std::string path, Cancelled cancelled)
      : Produced([&engine, path = std::move(path),
                  cancelled = std::move(cancelled)](ByteQueue& queue) -> Result<void> {
          EngineRequest request{.method = "GET", .path = path, .cancelled = cancelled};
          request.write = [&queue](std::string_view bytes) { return queue.write(bytes); };
          CHECK(engine.send(std::move(request)));
          return {};
        }) {}
};

}  // namespace berth::buildkit
