// DockerApi: the Docker Engine API over the engine's façade. Give handle() to an io::HttpServer.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "engine/engine.h"
#include "io/event_loop.h"
#include "io/http_server.h"
#include "io/task.h"

namespace berth::build {
class Builder;
}

namespace berth::api {

class AuditLog;
class Authorizer;
class BuildkitGate;
class Metrics;
class ObservedExchange;

class DockerApi {
 public:
  /// All must outlive the object, and the object every exchange.
  DockerApi(io::EventLoop& loop, engine::Engine& engine, build::Builder& builder);
  ~DockerApi();

  /// From now on who does what is written there.
  void set_audit_log(std::unique_ptr<AuditLog> log);
  AuditLog* audit_log() { return audit_log_.get(); }
  /// From now on these plugins are asked about each request.
  void set_authorizer(std::unique_ptr<Authorizer> authorizer);

  /// Another API on the same sockets: what it serves passes the same gate and the same books.
  struct Neighbour {
    std::function<bool(const std::string& path)> serves;
    std::function<io::Task<void>(io::Exchange&)> handle;
  };
  void set_neighbour(Neighbour neighbour) { neighbour_ = std::move(neighbour); }

  /// From now on BuildKit's clients are served by it, which must outlive every exchange.
  void set_buildkit(BuildkitGate* gate) { buildkit_ = gate; }
  BuildkitGate* buildkit() const { return buildkit_; }

  /// Answers one request, errors included. A client that goes away ends what it waited for; operations that
  /// change something run to their end.
  io::Task<void> handle(io::Exchange& exchange);
  /// Answers GET /metrics and nothing else: for --metrics-addr.
  io::Task<void> handle_metrics(io::Exchange& exchange);

  io::EventLoop& loop() { return loop_; }
  engine::Engine& engine() { return engine_; }
  build::Builder& builder() { return builder_; }
  const Metrics& metrics() const { return *metrics_; }

 private:
  io::Task<void> answer(ObservedExchange& exchange);

  io::EventLoop& loop_;
  engine::Engine& engine_;
  build::Builder& builder_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<AuditLog> audit_log_;
  std::unique_ptr<Authorizer> authorizer_;
  Neighbour neighbour_;
  BuildkitGate* buildkit_ = nullptr;
};

}  // namespace berth::api
