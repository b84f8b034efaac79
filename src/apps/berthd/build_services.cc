// The builder's surroundings.
#include "apps/berthd/build_services.h"

namespace berth::berthd {
namespace {

build::SandboxServices sandbox_services(io::EventLoop& loop, engine::Engine& engine) {
  const engine::EngineOptions& options = engine.options();
  return {.loop = loop,
          .host = engine.host_facts(),
          .keeper = engine.keeper_program(),
          .networks = engine.network(),
          .namespaces = engine.namespaces(),
          .cgroups = engine.cgroups(),
          .exec_root = options.exec_root,
          .cgroup_parent = options.cgroup_parent};
}

}  // namespace

BuildServices::BuildServices(io::EventLoop& loop, engine::Engine& engine)
    : base_images_(engine.image_store()), runner_(sandbox_services(loop, engine)) {}

io::Task<Result<std::unique_ptr<BuildServices>>> BuildServices::open(io::EventLoop& loop,
                                                                     engine::Engine& engine) {
  std::unique_ptr<BuildServices> services(new BuildServices(loop, engine));
  engine::Engine* holder = &engine;
  build::BuilderServices given{.loop = loop,
                               .database = engine.database(),
                               .images = engine.image_store(),
                               .image_source = services->base_images_,
                               .runner = services->runner_,
                               .data_root = engine.options().data_root,
                               .in_use = [holder] { return holder->layers_in_use(); }};
  CO_TRY(services->builder_, co_await build::Builder::open(std::move(given)));
  co_return services;
}

io::Task<void> BuildServices::wait_until_idle() {
  co_await builder_->wait_until_idle();
  co_await runner_.wait_until_idle();
}

}  // namespace berth::berthd
