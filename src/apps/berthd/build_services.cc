// The builder's surroundings.
#include "apps/berthd/build_services.h"

#include <fcntl.h>

#include "base/format.h"
#include "engine/image_quota.h"
#include "io/cancel.h"
#include "sys/file.h"

namespace berth::berthd {
namespace {

/// The network of `--network container:name`, for as long as the step needs it.
Result<build::JoinedContainer> find_container(engine::Engine& engine, const std::string& name) {
  constexpr size_t max_names = 1 << 20;
  TRY(const auto container, engine.containers().find(name));
  if (!engine::is_alive(container->state.status) || container->state.pid == 0)
    return failure(Kind::WrongState, "cannot join network of a non running container: {}", container->id);
  const std::string path = fmt::format("/proc/{}/ns/net", container->state.pid);
  build::JoinedContainer joined;
  TRY(joined.network, sys::open_file(path.c_str(), O_RDONLY));
  if (!container->hosts_path.empty()) {
    TRY(joined.hosts, sys::read_file(container->hosts_path, max_names));
    TRY(joined.resolv_conf, sys::read_file(container->resolv_conf_path, max_names));
  }
  return joined;
}

build::SandboxServices sandbox_services(io::EventLoop& loop, engine::Engine& engine) {
  const engine::EngineOptions& options = engine.options();
  return {.loop = loop,
          .host = engine.host_facts(),
          .keeper = engine.keeper_program(),
          .networks = engine.network(),
          .namespaces = engine.namespaces(),
          .cgroups = engine.cgroups(),
          .exec_root = options.exec_root,
          .cgroup_parent = options.cgroup_parent,
          .shares_cgroup_namespace =
              [&engine] { return engine.options().settings.container_defaults.cgroupns_mode == "host"; },
          .find_container = [&engine](const std::string& name) { return find_container(engine, name); }};
}

}  // namespace

BuildServices::BuildServices(io::EventLoop& loop, engine::Engine& engine)
    : base_images_(engine), runner_(sandbox_services(loop, engine)) {}

io::Task<Result<storage::Image>> PulledImages::resolve(Request request, build::ProgressSink& progress,
                                                       io::CancelToken cancel) {
  auto local = engine_.images().find(request.reference);
  bool missing = !local && local.error().kind() == Kind::NotFound;
  bool fits = local && spec::matches(request.platform, local->config->platform);
  auto reference = spec::Reference::parse(request.reference);
  if (local) engine_.image_quota().used(local->id);
  // What is given by its id alone no registry knows.
  if (!reference || (!missing && fits && request.pull == build::PullPolicy::Missing)) co_return local;
  registry::PullRequest wanted{.reference = reference->with_default_tag()};
  wanted.platform = request.platform;
  wanted.credentials = registry::credentials_from_config(request.registry_config, reference->domain());
  build::ProgressSink* sink = &progress;
  registry::MessageCallback tell = [sink](const registry::Message& message) {
    std::string what = message.id.empty() ? message.status : message.id + ": " + message.status;
    sink->report(
        build::StepTransfer{.what = std::move(what), .current = message.current, .total = message.total});
  };
  auto pulling = engine_.registries().pull(std::move(wanted), std::move(tell));
  auto waited = io::unless_cancelled(std::move(pulling), cancel);
  auto pulled = co_await std::move(waited);
  if (!pulled) co_return std::move(pulled).error();
  // What the name means here stays: a build for another machine is no reason to change what `run` starts.
  const bool is_moved = local && !fits && spec::matches(spec::Platform::host(), local->config->platform) &&
                        pulled->front().image != local->id && !reference->digest();
  if (is_moved) {
    const spec::Reference name = reference->with_default_tag();
    auto tagging = engine_.images().tag(local->id.str(), name.name(), name.tag());
    CO_CHECK(co_await std::move(tagging));
  }
  co_return engine_.images().find(pulled->front().image.str());
}

io::Task<Result<std::unique_ptr<BuildServices>>> BuildServices::open(io::EventLoop& loop,
                                                                     engine::Engine& engine,
                                                                     uint64_t cache_bytes) {
  std::unique_ptr<BuildServices> services(new BuildServices(loop, engine));
  engine::Engine* holder = &engine;
  build::BuilderServices given{.loop = loop,
                               .database = engine.database(),
                               .images = engine.image_store(),
                               .image_source = services->base_images_,
                               .runner = services->runner_,
                               .data_root = engine.options().data_root,
                               .in_use = [holder] { return holder->layers_in_use(); }};
  if (cache_bytes != 0) given.limits.max_cache_bytes = cache_bytes;
  CO_TRY(services->builder_, co_await build::Builder::open(std::move(given)));
  co_return services;
}

io::Task<void> BuildServices::wait_until_idle() {
  co_await builder_->wait_until_idle();
  co_await runner_.wait_until_idle();
}

}  // namespace berth::berthd
