// LLBBridge: how buildx drives a build that it has begun with an empty Control.Solve.
#include <algorithm>
#include <array>

#include <gateway.grpc.pb.h>
#include "apps/buildkit/services.h"
#include "base/json.h"
#include "spec/image.h"

namespace berth::buildkit {
namespace {

namespace pb = moby::buildkit::v1::frontend;
using grpc::ServerContext;
using grpc::Status;

constexpr std::array capabilities{"solve.base",
                                  "solve.inlinereturn",
                                  "return",
                                  "returnmap",
                                  "proto.refarray",
                                  "gateway.solve.metadata",
                                  "gateway.solve.evaluate",
                                  "gateway.evaluate",
                                  "gateway.warnings",
                                  "frontend.caps"};

/// Where a result's platforms stand, for clients and for those who export it.
constexpr const char* platforms_key = "refs.platforms";

/// By this clients know that attestations can be asked for.
constexpr std::array low_level_capabilities{"exporter.image.attestations", "exporter.image.annotations"};

class GatewayService final : public pb::LLBBridge::Service {
 public:
  explicit GatewayService(Services services) : services_(services) {}

  Status Ping(ServerContext*, const pb::PingRequest*, pb::PongResponse* answer) override {
    for (const char* id : capabilities) {
      auto* capability = answer->add_frontend_caps();
      capability->set_id(id);
      capability->set_enabled(true);
    }
    for (const char* id : low_level_capabilities) {
      auto* capability = answer->add_llb_caps();
      capability->set_id(id);
      capability->set_enabled(true);
    }
    describe_worker(*answer->add_workers());
    return Status::OK;
  }

  Status Solve(ServerContext* context, const pb::SolveRequest* request, pb::SolveResponse* answer) override {
    auto build = build_of(*context);
    if (!build) return {grpc::INVALID_ARGUMENT, "the call names no build"};
    if (request->has_definition() && request->definition().def_size() > 0)
      return {grpc::UNIMPLEMENTED,
              "builds by LLB definitions are not supported: this engine builds from Dockerfiles"};
    Attributes attributes(request->frontend_opt().begin(), request->frontend_opt().end());
    auto outcome =
        build->run_frontend(request->frontend(), attributes, [context] { return context->IsCancelled(); });
    if (!outcome)
      return to_status(outcome.error().kind() == Kind::InvalidArgument
                           ? std::move(outcome).error().in("failed to solve")
                           : std::move(outcome).error());
    const Product& product = outcome->product;
    if (product.images.empty()) {
      for (const auto& [name, value] : outcome->metadata)
        (*answer->mutable_result()->mutable_metadata())[name] = value;
      return Status::OK;
    }
    if (product.several) return answer_platforms(*build, product, *answer);
    std::string reference = build->add_result(product.images.front());
    if (!request->allow_result_return()) {
      answer->set_ref(reference);
    } else if (request->allow_result_array_ref()) {
      answer->mutable_result()->mutable_ref()->set_id(reference);
    } else {
      answer->mutable_result()->set_ref_deprecated(reference);
    }
    return Status::OK;
  }

  Status Evaluate(ServerContext*, const pb::EvaluateRequest*, pb::EvaluateResponse*) override {
    return Status::OK;
  }

  Status Return(ServerContext* context, const pb::ReturnRequest* request, pb::ReturnResponse*) override {
    auto build = build_of(*context);
    if (!build) return {grpc::INVALID_ARGUMENT, "the call names no build"};
    build->set_returned(returned(*build, *request));
    return Status::OK;
  }

  Status Inputs(ServerContext*, const pb::InputsRequest*, pb::InputsResponse*) override { return Status::OK; }

  Status Warn(ServerContext* context, const pb::WarnRequest* request, pb::WarnResponse*) override {
    if (auto build = build_of(*context))
      build->progress().warn(request->digest(), {.text = request->short_()});
    return Status::OK;
  }

 private:
  /// A reference for each platform, and which is which: what a client gives back when it returns them.
  static Status answer_platforms(Build& build, const Product& product, pb::SolveResponse& answer) {
    pb::Result& result = *answer.mutable_result();
    Json platforms = Json::array();
    for (const PlatformImage& image : product.images) {
      (*result.mutable_refs()->mutable_refs())[image.platform].set_id(build.add_result(image));
      const auto platform = spec::Platform::parse(image.platform);
      if (!platform) return to_status(platform.error());
      Json described = {{"os", platform->os}, {"architecture", platform->architecture}};
      if (!platform->variant.empty()) described["variant"] = platform->variant;
      platforms.push_back({{"ID", image.platform}, {"Platform", std::move(described)}});
    }
    (*result.mutable_metadata())[platforms_key] = to_json({{"Platforms", std::move(platforms)}});
    return Status::OK;
  }

  std::shared_ptr<Build> build_of(const ServerContext& context) {
    auto found = context.client_metadata().find("buildkit-controlapi-buildid");
    if (found == context.client_metadata().end()) return nullptr;
    return services_.builds.get(std::string(found->second.data(), found->second.size()));
  }

  static Returned returned(const Build& build, const pb::ReturnRequest& request) {
    if (request.has_error() && request.error().code() != 0) {
      Kind kind = request.error().code() == grpc::CANCELLED       ? Kind::Cancelled
                  : request.error().code() == grpc::UNIMPLEMENTED ? Kind::Unsupported
                                                                  : Kind::InvalidArgument;
      return {.error = Error(kind, request.error().message())};
    }
    const pb::Result& result = request.result();
    std::vector<std::string> references;
    std::string single = result.has_ref() ? result.ref().id() : result.ref_deprecated();
    if (!single.empty()) references.push_back(std::move(single));
    if (result.has_refs()) {
      for (const auto& [name, ref] : result.refs().refs()) references.push_back(ref.id());
      std::sort(references.begin(), references.end());  // as they were made
    }
    Returned returned{.product = {.several = result.has_refs() && !references.empty(),
                                  .provenance_by_default = build.has_provenance_by_default()}};
    for (const std::string& reference : references) {
      auto image = build.image_of(reference);
      if (!image) return {.error = image.error()};
      returned.product.images.push_back(std::move(*image));
    }
    return returned;
  }

  Services services_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_gateway_service(Services services) {
  return std::make_unique<GatewayService>(services);
}

}  // namespace berth::buildkit
