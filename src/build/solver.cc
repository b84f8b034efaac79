// Scheduling: one task per needed vertex, which waits for its dependencies.
#include "build/solver.h"

#include "base/format.h"
#include "base/sha256.h"
#include "io/task_group.h"

namespace berth::build {
namespace {

std::vector<VertexId> dependencies_of(const Vertex& vertex) {
  std::vector<VertexId> ids = vertex.inputs;
  if (vertex.base) ids.push_back(*vertex.base);
  return ids;
}

}  // namespace

Digest cache_key(const Vertex& vertex, const RootState& base, const std::vector<Digest>& reads) {
  Sha256 hash;
  hash.update("berth build step 1\n");
  hash.update(base.chain_id ? base.chain_id->str() : "empty");
  for (const auto& read : reads) hash.update("\n" + read.str());
  hash.update("\n");
  hash.update(describe(vertex.op));
  return hash.finish();
}

Solver::Solver(const Graph& graph, VertexExecutor& executor, Cache& cache, SolverObserver& observer,
               Options options)
    : graph_(graph),
      executor_(executor),
      cache_(cache),
      observer_(observer),
      options_(std::move(options)),
      slots_(graph.size()),
      parallel_(options_.max_parallel) {}

void Solver::mark_needed(std::vector<VertexId> waiting) {
  while (!waiting.empty()) {
    const VertexId id = waiting.back();
    waiting.pop_back();
    if (slots_[id].needed) continue;
    slots_[id].needed = true;
    for (const VertexId dependency : dependencies_of(graph_.at(id))) waiting.push_back(dependency);
  }
}

namespace {

io::Task<void> pass_on_cancel(io::CancelToken from, io::CancelSource& to) {
  co_await from.wait();
  to.cancel();
}

}  // namespace

io::Task<Result<void>> Solver::solve(std::vector<VertexId> targets, io::CancelToken cancel) {
  mark_needed(std::move(targets));
  io::TaskGroup watcher;
  watcher.spawn(pass_on_cancel(cancel, stop_));
  io::TaskGroup tasks;
  for (VertexId id = 0; id < slots_.size(); ++id) {
    if (slots_[id].needed && !slots_[id].result) tasks.spawn(run(id));
  }
  co_await tasks.wait_until_empty();
  if (cancel.cancelled()) co_return Error(Kind::Cancelled, "build cancelled");
  if (error_) co_return *error_;
  co_return Result<void>();
}

io::Task<void> Solver::run(VertexId id) {
  Slot& slot = slots_[id];
  for (const VertexId dependency : dependencies_of(graph_.at(id))) co_await slots_[dependency].done.wait();
  if (!error_ && !stop_.cancelled()) {
    auto result = co_await evaluate(id);
    if (result) {
      slot.result = std::move(*result);
      observer_.completed(id);
    } else if (!error_ && !stop_.cancelled()) {
      error_ = result.error();
      observer_.failed(id, result.error());
      stop_.cancel();
    }
  }
  // Also after a failure: those that wait see it and end.
  slot.done.set();
}

io::Task<Result<VertexResult>> Solver::evaluate(VertexId id) {
  const Vertex& vertex = graph_.at(id);
  if (!vertex.base) {
    auto permit = co_await parallel_.acquire();
    observer_.started(id);
    co_return co_await executor_.open_source(vertex, stop_.token());
  }
  VertexInputs inputs{.vertex = vertex, .base = std::get<RootState>(*slots_[*vertex.base].result)};
  for (const VertexId input : vertex.inputs) inputs.inputs.push_back(*slots_[input].result);
  co_return co_await evaluate_layer(id, inputs);
}

io::Task<Result<std::optional<StepRecord>>> Solver::find_record(Digest key) {
  CO_TRY(auto found, cache_.find(key));
  if (found || options_.elsewhere == nullptr) co_return found;
  io::Task<std::optional<StepRecord>> asking = options_.elsewhere->find(std::move(key), stop_.token());
  found = co_await std::move(asking);
  // From now on it is this engine's as if it had been made here.
  if (found) CO_CHECK(cache_.store(*found));
  co_return found;
}

namespace {

RootState state_of(const StepRecord& record, RootState state) {
  state.chain_id = record.chain_id;
  state.made_layer = record.made_layer;
  state.created = record.created;
  state.size = record.size;
  return state;
}

/// Tells those that wait for the same key, however the execution ends.
class Announcement {
 public:
  explicit Announcement(std::shared_ptr<io::Event> done) : done_(std::move(done)) {}
  Announcement(const Announcement&) = delete;
  ~Announcement() { done_->set(); }

 private:
  std::shared_ptr<io::Event> done_;
};

}  // namespace

/// Waits for a vertex of the same key that is under way; whether this build has been through one.
io::Task<bool> Solver::wait_for_same(Digest key) {
  for (auto same = under_way_.find(key); same != under_way_.end(); same = under_way_.find(key)) {
    const std::shared_ptr<io::Event> done = same->second;
    if (done->is_set()) co_return true;
    co_await done->wait();
  }
  co_return false;
}

/// What is remembered of a vertex, `wanted` with the rest of it. What this build has made itself counts
/// without further ado.
io::Task<Result<std::optional<RootState>>> Solver::find_known(VertexId id, RootState wanted, bool is_own) {
  using Found = std::optional<RootState>;
  io::Task<Result<std::optional<StepRecord>>> finding = find_record(*wanted.key);
  CO_TRY(const auto record, co_await std::move(finding));
  if (!record) co_return Found();
  RootState known = state_of(*record, std::move(wanted));
  if (!is_own && options_.may_use && !options_.may_use(id, known)) co_return Found();
  known.was_cached = true;
  co_return Found(std::move(known));
}

io::Task<Result<VertexResult>> Solver::evaluate_layer(VertexId id, const VertexInputs& inputs) {
  auto permit = co_await parallel_.acquire();
  if (stop_.cancelled()) co_return Error(Kind::Cancelled, "build cancelled");
  CO_TRY(auto reads, co_await executor_.read_digests(inputs, stop_.token()));
  RootState state{.key = cache_key(inputs.vertex, inputs.base, reads.digests),
                  .sources = std::move(reads.sources)};
  const bool may_be_known = inputs.vertex.caching == Caching::Normal;
  bool is_own = false;
  if (may_be_known) {
    io::Task<bool> waiting = wait_for_same(*state.key);
    is_own = co_await std::move(waiting);
    if (stop_.cancelled()) co_return Error(Kind::Cancelled, "build cancelled");
  }
  const Announcement announcement(under_way_[*state.key] = std::make_shared<io::Event>());
  if (may_be_known) {
    io::Task<Result<std::optional<RootState>>> finding = find_known(id, state, is_own);
    CO_TRY(auto known, co_await std::move(finding));
    if (known) {
      observer_.started(id);
      observer_.cached(id);
      co_return VertexResult(std::move(*known));
    }
  }
  io::Task<Result<VertexResult>> executing = execute_layer(id, inputs, std::move(state));
  co_return co_await std::move(executing);
}

io::Task<Result<VertexResult>> Solver::execute_layer(VertexId id, const VertexInputs& inputs,
                                                     RootState known) {
  observer_.started(id);
  CO_TRY(auto state, co_await executor_.execute(inputs, stop_.token()));
  state.key = std::move(known.key);
  state.sources = std::move(known.sources);
  StepRecord record{.key = *state.key,
                    .chain_id = state.chain_id,
                    .made_layer = state.made_layer,
                    .created = state.created,
                    .size = state.size};
  if (id < options_.descriptions.size()) record.description = options_.descriptions[id];
  CO_CHECK(cache_.store(record));
  co_return VertexResult(std::move(state));
}

}  // namespace berth::build
