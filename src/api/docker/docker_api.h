// DockerApi: the Docker Engine API over the engine's façade. Give handle() to an io::HttpServer.
#pragma once

#include <span>

#include "engine/engine.h"
#include "io/event_loop.h"
#include "io/http_server.h"
#include "io/task.h"

namespace berth::build {
class Builder;
}

namespace berth::api {

class DockerApi {
 public:
  /// All must outlive the object, and the object every exchange.
  DockerApi(io::EventLoop& loop, engine::Engine& engine, build::Builder& builder)
      : loop_(loop), engine_(engine), builder_(builder) {}

  /// Answers one request, errors included. A client that goes away ends what it waited for; operations that
  /// change something run to their end.
  io::Task<void> handle(io::Exchange& exchange);

  io::EventLoop& loop() { return loop_; }
  engine::Engine& engine() { return engine_; }
  build::Builder& builder() { return builder_; }

 private:
  io::EventLoop& loop_;
  engine::Engine& engine_;
  build::Builder& builder_;
};

}  // namespace berth::api
