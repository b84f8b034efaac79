// FunctionPart: everything of functions in one berthd: catalog, packages, buckets, sandboxes, queue, and the
// API with its listener. Started after the engine, closed before it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "api/lambda/lambda_api.h"
#include "api/lambda/package_api.h"
#include "base/result.h"
#include "engine/engine.h"
#include "functions/buckets/bucket_store.h"
#include "functions/catalog/catalog.h"
#include "functions/packages/package_store.h"
#include "functions/runtimes/runtime_bases.h"
#include "io/event_loop.h"
#include "io/http_server.h"

namespace berth::functions {
class Budgets;
class FileFunctionLog;
class MeteringStore;
class SandboxInvoker;
namespace events {
class EventServices;
}
}  // namespace berth::functions

namespace berth::berthd {

struct FunctionOptions {
  std::string address = "127.0.0.1:4566";  ///< "none": no TCP listener
  std::string keys_file = {};              ///< secret keys for signatures; empty: any signature is taken
  functions::LimitProfile profile = functions::LimitProfile::Open;
  size_t prepared = 8;  ///< sandboxes made ahead
  functions::BaseSource bases = {};
};

class FunctionPart final : private functions::CatalogListener {
 public:
  static io::Task<Result<std::unique_ptr<FunctionPart>>> open(io::EventLoop& loop, engine::Engine& engine,
                                                              FunctionOptions options);
  ~FunctionPart() override;

  /// Opens the TCP listener. A taken port is logged, and the engine serves without it: the API stays
  /// reachable on the engine's own socket. The address it has goes into <exec-root>/functions.addr.
  void listen();
  api::LambdaApi& api() { return *api_; }
  io::Task<void> close();

 private:
  FunctionPart(io::EventLoop& loop, engine::Engine& engine, FunctionOptions options);
  void function_changed(const functions::Realm& realm, const std::string& name,
                        functions::FunctionVersionPtr latest) override;
  void version_removed(functions::FunctionVersionPtr version) override;
  void settings_changed(const functions::FunctionEntry& entry) override;
  Result<api::FunctionImage> find_image(std::string_view reference) const;
  io::Task<Result<api::FunctionImage>> pull_image(std::string reference);

  io::EventLoop& loop_;
  engine::Engine& engine_;
  FunctionOptions options_;
  std::unique_ptr<functions::Catalog> catalog_;
  std::unique_ptr<functions::PackageStore> packages_;
  std::unique_ptr<functions::BucketStore> buckets_;
  std::unique_ptr<functions::FileFunctionLog> log_;
  std::unique_ptr<functions::RuntimeBases> bases_;
  std::unique_ptr<functions::MeteringStore> metering_;
  std::unique_ptr<functions::Budgets> budgets_;
  std::unique_ptr<functions::SandboxInvoker> invoker_;
  std::unique_ptr<functions::events::EventServices> events_;
  std::unique_ptr<api::FunctionServices> services_;
  std::unique_ptr<api::LambdaApi> api_;
  std::unique_ptr<api::PackageApi> package_api_;
  std::unique_ptr<io::HttpServer> server_;
  std::string address_file_;
};

}  // namespace berth::berthd
