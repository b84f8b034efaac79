// OpExecutor: performs the operations of a graph: opens sources, digests what is read, copies files, runs
// commands, and commits what came of it as layers.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "build/selection.h"
#include "build/session.h"
#include "build/solver.h"

namespace berth::build {

class OpExecutor : public VertexExecutor {
 public:
  explicit OpExecutor(BuildSession& session) : session_(session) {}

  io::Task<Result<VertexResult>> open_source(const Vertex& vertex, io::CancelToken cancel) override;
  io::Task<Result<VertexReads>> read_digests(const VertexInputs& inputs, io::CancelToken cancel) override;
  io::Task<Result<RootState>> execute(const VertexInputs& inputs, io::CancelToken cancel) override;

 private:
  /// One selection of files whose digest is wanted.
  struct Read {
    std::shared_ptr<const FileTree> tree = {};  ///< or
    std::optional<Digest> chain_id = {};        ///< the root with this chain
    CopyOp::Source source = {};
    std::vector<std::string> excludes = {};
    bool whole = false;  ///< everything at source.path, as bind mounts see it
    std::optional<Digest> digest = {};
    std::vector<SelectedRoot> roots = {};  ///< where histories name them
    Digest selection_key() const;
  };
  std::vector<Read> reads_of(const VertexInputs& inputs) const;
  Result<void> look_up_digests(std::vector<Read>& reads);
  Result<void> digest(Read& read, const Vertex& vertex, const std::stop_token& stop) const;
  static std::string sources_text(const std::vector<Read>& reads);

  // Sources (ops_source.cc)
  io::Task<Result<VertexResult>> open_repository(GitOp op, io::CancelToken cancel);
  io::Task<Result<VertexResult>> open_download(HttpOp op, uint32_t step, io::CancelToken cancel);

  // Files (op_executor.cc)
  Result<std::shared_ptr<const FileTree>> tree_of(const VertexResult& result) const;
  io::Task<Result<RootState>> change_files(const VertexInputs& inputs, io::CancelToken cancel);
  Result<RootState> commit(const std::string& work, const RootState& base, std::stop_token stop);

  // RUN (ops_run.cc)
  struct RunWork;
  io::Task<Result<RootState>> end_step(const VertexInputs& inputs, RunWork& work, StepOutcome outcome,
                                       io::CancelToken cancel);
  void keep_step(const VertexInputs& inputs, RunWork& work, const StepOutcome& outcome,
                 const std::optional<Digest>& chain_id, std::string upper);
  void tell_begun(uint32_t step, const StepRequest& request);
  io::Task<Result<RootState>> run_step(const VertexInputs& inputs, io::CancelToken cancel);
  io::Task<Result<void>> prepare_mounts(const VertexInputs& inputs, RunWork& work, io::CancelToken cancel);
  io::Task<Result<StepMount>> bind_mount(const VertexInputs& inputs, const RunMountOp& mount, RunWork& work,
                                         io::CancelToken cancel);
  io::Task<Result<StepMount>> cache_mount(const VertexInputs& inputs, const RunMountOp& mount, RunWork& work,
                                          io::CancelToken cancel);
  Result<void> add_secret(const RunMountOp& mount, RunWork& work);
  Result<void> add_agent(const RunMountOp& mount, RunWork& work);
  io::Task<Result<std::string>> materialise(const VertexResult& source, std::string path,
                                            std::string directory, io::CancelToken cancel);

  BuildSession& session_;
  uint64_t next_directory_ = 0;
};

/// A fresh id for a writable directory below containers/: those of builds that a crash cut off are known by
/// it.
std::string new_work_id();
inline constexpr std::string_view work_id_prefix = "build-";

/// Runs blocking work on a worker; Cancelled as soon as the token is, once the work has stopped.
template <class F>
auto on_worker(io::EventLoop& loop, F work, io::CancelToken cancel)
    -> io::Task<typename io::detail::WorkResult<F>::type> {
  using R = typename io::detail::WorkResult<F>::type;
  if (cancel.cancelled()) co_return R(Error(Kind::Cancelled, "build cancelled"));
  auto start = [](io::EventLoop* on, F job) -> io::Task<R> {
    co_return co_await on->on_worker(std::move(job));
  };
  auto task = start(&loop, std::move(work));
  co_return co_await io::unless_cancelled(std::move(task), std::move(cancel));
}

}  // namespace berth::build
