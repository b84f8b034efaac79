// ImageCare: what berth does for its images beyond docker's verbs: verification, the tree of their layers,
// and indexes put together of them.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "io/event_loop.h"
#include "io/task.h"
#include "storage/composition.h"
#include "storage/image_tree.h"
#include "storage/image_verify.h"

namespace berth::engine {

class ImageCare {
 public:
  ImageCare(Engine& engine, io::EventLoop& loop) : engine_(engine), loop_(loop) {}

  /// References as users write them; none: all images and every blob. Progress comes on the loop thread.
  /// Destroying the task stops the work.
  io::Task<Result<storage::VerifyReport>> verify(std::vector<std::string> references,
                                                 storage::ProgressCallback progress);
  io::Task<Result<storage::LayerTree>> tree();

  /// What is made of a request, and kept under its names when `keep` says so.
  enum class Keep { No, Yes };
  io::Task<Result<storage::Composition>> compose(storage::CompositionRequest request, Keep keep);
  /// The same written as a layout; `out` is used on a worker thread.
  io::Task<Result<void>> layout(storage::CompositionRequest request, storage::LayoutFlavour flavour,
                                storage::ByteSink& out);

 private:
  Engine& engine_;
  io::EventLoop& loop_;
};

}  // namespace berth::engine
