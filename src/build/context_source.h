// Getting a build's context: from a stream, a directory, a URL or a git repository to an IndexTree, or to the
// text of a Dockerfile that came alone.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "build/builder.h"
#include "build/index_tree.h"
#include "io/cancel.h"
#include "io/event_loop.h"

namespace berth::build {

struct LoadedContext {
  std::shared_ptr<IndexTree> tree = {};        ///< none: no context
  std::optional<std::string> dockerfile = {};  ///< what was sent is a Dockerfile itself
};

/// Spools, and checks repositories out, into `scratch`.
io::Task<Result<LoadedContext>> load_context(io::EventLoop& loop, BuildContext context, std::string scratch,
                                             const BuildLimits& limits, ProgressSink& progress,
                                             io::CancelToken cancel);

}  // namespace berth::build
