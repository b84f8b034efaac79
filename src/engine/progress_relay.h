// ProgressRelay: progress of storage's work, which comes from a worker thread, told on the loop's. Dropped
// when the task that asked is gone.
#pragma once

#include <memory>

#include "io/event_loop.h"
#include "storage/image_store.h"

namespace berth::engine {

struct ProgressRelay {
  io::EventLoop& loop;
  std::shared_ptr<storage::ProgressCallback> target;

  static ProgressRelay to(io::EventLoop& loop, storage::ProgressCallback callback) {
    return {loop, std::make_shared<storage::ProgressCallback>(std::move(callback))};
  }
  /// For the worker; empty when nobody wants to know.
  storage::ProgressCallback callback() const {
    if (!*target) return {};
    io::EventLoop* loop_pointer = &loop;
    std::weak_ptr<storage::ProgressCallback> weak = target;
    return [loop_pointer, weak](const storage::Progress& progress) {
      loop_pointer->post([weak, progress] {
        if (auto callback = weak.lock()) (*callback)(progress);
      });
    };
  }
};

}  // namespace berth::engine
