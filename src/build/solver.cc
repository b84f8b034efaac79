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

io::Task<Result<VertexResult>> Solver::evaluate_layer(VertexId id, const VertexInputs& inputs) {
  auto permit = co_await parallel_.acquire();
  if (stop_.cancelled()) co_return Error(Kind::Cancelled, "build cancelled");
  CO_TRY(const auto reads, co_await executor_.read_digests(inputs, stop_.token()));
  const Digest key = cache_key(inputs.vertex, inputs.base, reads);
  if (inputs.vertex.caching == Caching::Normal) {
    io::Task<Result<std::optional<StepRecord>>> finding = find_record(key);
    CO_TRY(auto found, co_await std::move(finding));
    const bool excluded =
        found && options_.chains && (!found->chain_id || !options_.chains->contains(*found->chain_id));
    if (excluded) found.reset();
    if (found) {
      observer_.started(id);
      observer_.cached(id);
      co_return VertexResult(RootState{.chain_id = found->chain_id,
                                       .made_layer = found->made_layer,
                                       .was_cached = true,
                                       .created = found->created,
                                       .size = found->size,
                                       .key = key});
    }
  }
  observer_.started(id);
  CO_TRY(auto state, co_await executor_.execute(inputs, stop_.token()));
  state.key = key;
  StepRecord record{.key = key,
                    .chain_id = state.chain_id,
                    .made_layer = state.made_layer,
                    .created = state.created,
                    .size = state.size};
  if (id < options_.descriptions.size()) record.description = options_.descriptions[id];
  CO_CHECK(cache_.store(record));
  co_return VertexResult(std::move(state));
}

}  // namespace berth::build
