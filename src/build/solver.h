// Solver: evaluates the vertices that a target needs, each once, each as soon as what it depends on is there,
// several at a time. It asks the cache by a key that is made of contents, and does not know what an operation
// does: that is the VertexExecutor's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "build/cache.h"
#include "build/cache_source.h"
#include "build/file_tree.h"
#include "build/graph.h"
#include "io/cancel.h"
#include "io/sync.h"
#include "io/task.h"

namespace berth::build {

/// A root filesystem: the result of every vertex that is no file source.
struct RootState {
  std::optional<Digest> chain_id = {};  ///< none: empty
  bool made_layer = false;              ///< by this vertex
  bool was_cached = false;
  Timestamp created = {};
  uint64_t size = 0;               ///< content bytes of that layer
  std::optional<Digest> key = {};  ///< of vertices that the cache knows
  std::string sources = {};        ///< VertexReads::sources
};
using VertexResult = std::variant<RootState, std::shared_ptr<const FileTree>>;

/// A vertex with what it depends on, evaluated. Lives until the vertex is done.
struct VertexInputs {
  const Vertex& vertex;
  RootState base = {};
  std::vector<VertexResult> inputs = {};
};

/// What a vertex reads besides its base.
struct VertexReads {
  /// Of exactly those contents of the inputs that it reads, in a fixed order.
  std::vector<Digest> digests = {};
  /// Of a COPY, where wanted: what it takes, as docker's classic builder names it in histories
  /// ("file:<hex>").
  std::string sources = {};
};

class VertexExecutor {
 public:
  virtual ~VertexExecutor() = default;
  /// A vertex without base: an image, an empty root, the context, a download, a document.
  virtual io::Task<Result<VertexResult>> open_source(const Vertex& vertex, io::CancelToken cancel) = 0;
  virtual io::Task<Result<VertexReads>> read_digests(const VertexInputs& inputs, io::CancelToken cancel) = 0;
  /// Does what the vertex says, on top of the base. Failure leaves nothing.
  virtual io::Task<Result<RootState>> execute(const VertexInputs& inputs, io::CancelToken cancel) = 0;
};

/// What the solver tells; on the loop thread.
class SolverObserver {
 public:
  virtual ~SolverObserver() = default;
  virtual void started(VertexId id) = 0;
  virtual void cached(VertexId id) = 0;
  virtual void completed(VertexId id) = 0;
  virtual void failed(VertexId id, const Error& error) = 0;
};

class Solver {
 public:
  struct Options {
    size_t max_parallel = 4;                     ///< executing vertices
    std::vector<std::string> descriptions = {};  ///< per vertex, for cache records
    CacheSource* elsewhere = nullptr;            ///< asked for what the cache does not know
    /// Whether what is remembered of a vertex may be used; none: always.
    std::function<bool(VertexId, const RootState&)> may_use = {};
  };
  Solver(const Graph& graph, VertexExecutor& executor, Cache& cache, SolverObserver& observer,
         Options options);

  /// Evaluates `targets` and what they need. The first failure cancels the rest and is returned once
  /// everything that was under way has ended.
  io::Task<Result<void>> solve(std::vector<VertexId> targets, io::CancelToken cancel);
  /// After solve() succeeded, for vertices it evaluated.
  const VertexResult& result(VertexId id) const { return *slots_.at(id).result; }
  bool is_done(VertexId id) const { return slots_.at(id).result.has_value(); }

 private:
  struct Slot {
    bool needed = false;
    std::optional<VertexResult> result;
    io::Event done;
  };
  void mark_needed(std::vector<VertexId> targets);
  io::Task<void> run(VertexId id);
  io::Task<Result<VertexResult>> evaluate(VertexId id);
  io::Task<Result<VertexResult>> evaluate_layer(VertexId id, const VertexInputs& inputs);
  io::Task<Result<VertexResult>> execute_layer(VertexId id, const VertexInputs& inputs, RootState known);
  io::Task<bool> wait_for_same(Digest key);
  io::Task<Result<std::optional<RootState>>> find_known(VertexId id, RootState wanted, bool is_own);
  io::Task<Result<std::optional<StepRecord>>> find_record(Digest key);

  const Graph& graph_;
  VertexExecutor& executor_;
  Cache& cache_;
  SolverObserver& observer_;
  Options options_;
  std::vector<Slot> slots_;
  io::Semaphore parallel_;
  /// Keys of vertices that this build executes, and has executed: what is the same waits, and takes that.
  std::map<Digest, std::shared_ptr<io::Event>> under_way_;
  io::CancelSource stop_;
  std::optional<Error> error_;
};

/// The key of a vertex: its op, its base's content and what it reads.
Digest cache_key(const Vertex& vertex, const RootState& base, const std::vector<Digest>& reads);

}  // namespace berth::build
