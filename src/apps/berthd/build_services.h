// BuildServices: the builder and what it is given: base images, a sandbox for RUN, the engine's stores.
#pragma once

#include <memory>

#include "base/result.h"
#include "build/builder.h"
#include "build/sandbox_runner.h"
#include "engine/engine.h"
#include "io/event_loop.h"
#include "io/task.h"

namespace berth::berthd {

/// Base images from the store, pulled when they are missing or a build wants the newest.
class PulledImages : public build::ImageSource {
 public:
  explicit PulledImages(engine::Engine& engine) : engine_(engine) {}
  io::Task<Result<storage::Image>> resolve(Request request, build::ProgressSink& progress,
                                           io::CancelToken cancel) override;

 private:
  engine::Engine& engine_;
};

class BuildServices {
 public:
  /// Removes what an earlier daemon's builds have left. Engine and loop must outlive it.
  /// `cache_bytes`: what is kept of the build cache; 0: the builder's own bound.
  static io::Task<Result<std::unique_ptr<BuildServices>>> open(io::EventLoop& loop, engine::Engine& engine,
                                                               uint64_t cache_bytes);

  build::Builder& builder() { return *builder_; }
  /// Ends when what builds have left is removed.
  io::Task<void> wait_until_idle();

 private:
  BuildServices(io::EventLoop& loop, engine::Engine& engine);
  PulledImages base_images_;
  build::SandboxRunner runner_;
  std::unique_ptr<build::Builder> builder_;
};

}  // namespace berth::berthd
