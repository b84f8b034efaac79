// The gRPC services that BuildKit's clients call.
#pragma once

#include <memory>

#include <grpcpp/impl/service_type.h>

#include "apps/buildkit/build.h"
#include "apps/buildkit/engine_client.h"
#include "apps/buildkit/history.h"
#include "apps/buildkit/session.h"

namespace berth::buildkit {

struct Services {
  const EngineClient& engine;
  SessionTable& sessions;
  BuildTable& builds;
  History& history;
};

/// moby.buildkit.v1.Control
std::unique_ptr<grpc::Service> make_control_service(Services services);
/// containerd.services.content.v1.Content: what records of the history name.
std::unique_ptr<grpc::Service> make_content_service(Services services);
/// moby.buildkit.v1.frontend.LLBBridge
std::unique_ptr<grpc::Service> make_gateway_service(Services services);

grpc::Status to_status(const Error& error);
/// What this engine builds with, as ListWorkers and Ping tell it.
void describe_worker(moby::buildkit::v1::WorkerRecord& worker);

}  // namespace berth::buildkit
