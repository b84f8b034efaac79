// BuildSession: what the vertices of one build share while they are evaluated.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "build/builder.h"
#include "build/cache.h"
#include "build/cache_mounts.h"
#include "build/file_tree.h"
#include "build/index_tree.h"
#include "build/progress.h"
#include "build/step_keeper.h"
#include "build/step_runner.h"
#include "io/event_loop.h"
#include "storage/image_store.h"

namespace berth::build {

/// Where a vertex tells what happens within it.
class VertexLog {
 public:
  virtual ~VertexLog() = default;
  virtual void running(uint32_t step, const std::string& container_id) = 0;
  virtual void output(uint32_t step, OutputStream stream, std::string_view bytes) = 0;
  virtual void transferred(uint32_t step, const std::string& what, uint64_t current, uint64_t total) = 0;
};

/// A step that is kept, until the build's end. Its directory goes then, unless it was taken.
struct StepLeft {
  uint32_t step = 0;
  std::string work;  ///< its id with the snapshotter
  KeptStep kept;
};

struct BuildSession {
  io::EventLoop& loop;
  storage::ImageStore& images;
  Cache& cache;
  CacheMounts& mounts;
  StepRunner& runner;
  VertexLog* log = nullptr;
  const BuildLimits& limits;
  storage::Lease lease;
  std::string scratch;                            ///< a directory of this build's own, removed at its end
  std::string downloads;                          ///< files by digest, shared by all builds
  std::shared_ptr<const IndexTree> context = {};  ///< none: a build without context
  std::string network = {};                       ///< that steps join; empty: the runner's default
  int64_t shm_size = 0;
  spec::ContainerResources resources = {};
  std::map<std::string, std::string> secrets = {};
  std::map<std::string, std::string> agents = {};  ///< id -> socket of an SSH agent
  int exit_code = 1;                               ///< of the RUN that failed
  std::shared_ptr<StepKeeper> keeper = {};         ///< none: nothing is kept
  bool names_sources = false;                      ///< VertexReads::sources are wanted
  std::vector<StepLeft> left = {};
  /// The image below a step; none: not known.
  std::function<std::optional<Digest>(uint32_t step)> image_below = {};
};

}  // namespace berth::build
