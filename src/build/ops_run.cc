// RUN: preparing its root and mounts, executing it, and committing what it wrote.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/format.h"
#include "base/id.h"
#include "build/copy_files.h"
#include "build/directory_tree.h"
#include "build/emulation.h"
#include "build/mount_stubs.h"
#include "build/op_executor.h"
#include "build/tree_copier.h"

namespace berth::build {
namespace {

using spec::RunMountType;

/// Passes a step's output on, up to a bound.
class BoundedOutput : public StepOutput {
 public:
  BoundedOutput(VertexLog& log, uint32_t step, uint64_t max_bytes)
      : log_(log), step_(step), left_(max_bytes), max_(max_bytes) {}
  void write(OutputStream stream, std::string_view bytes) override {
    const auto part = bytes.substr(0, std::min<uint64_t>(bytes.size(), left_));
    if (!part.empty()) log_.output(step_, stream, part);
    left_ -= part.size();
    if (part.size() == bytes.size() || told_) return;
    told_ = true;
    log_.output(step_, OutputStream::Stderr,
                fmt::format("\n[output clipped, log limit {} bytes reached]\n", max_));
  }

 private:
  VertexLog& log_;
  uint32_t step_;
  uint64_t left_;
  uint64_t max_;
  bool told_ = false;
};

Error exit_error(const RunOp& op, const StepOutcome& outcome) {
  std::string command;
  for (const auto& arg : op.args) command += (command.empty() ? "" : " ") + arg;
  constexpr size_t longest = 2000;
  std::string text = fmt::format("The command '{}' returned a non-zero code: {}", command.substr(0, longest),
                                 outcome.exit_code);
  if (outcome.oom_killed) text += " (out of memory)";
  return Error(Kind::InvalidArgument, text);
}

/// Copies everything at `path` of the tree to `target`, which must not exist; owners are kept.
Result<void> copy_subtree(const FileTree& tree, const std::string& path, const std::string& directory,
                          const std::string& name, std::stop_token stop) {
  TRY(const auto resolved, tree.resolve(path));
  TRY(const auto node, tree.stat(resolved));
  TRY(const auto parent, sys::RootDir::open(directory));
  TreeCopier copier(tree, parent, {.keep_owner = true});
  const SelectedRoot root{resolved, name, node.type == FileType::Directory};
  const SelectionVisitor visitor = [&](const std::string& at, const std::string& relative,
                                       const FileNode& found) {
    return copier.copy(at, relative.empty() ? name : name + "/" + relative, found);
  };
  CHECK(walk_selection(tree, root, {}, {}, visitor, stop));
  return copier.finish();
}

}  // namespace

/// What a RUN needs while it runs; gives everything back at its end.
struct OpExecutor::RunWork {
  const RunOp& op;
  std::string id = new_work_id();
  StepRequest request = {};
  std::vector<std::string> targets = {};
  std::vector<std::string> missing = {};
  std::optional<sys::RootDir> below = {};
  std::vector<CacheMountUse> caches = {};
  size_t agents = 0;
  std::string upper = {};
  std::string container_id = {};
  Timestamp started = {};
};

io::Task<Result<std::string>> OpExecutor::materialise(const VertexResult& source, std::string path,
                                                      std::string directory, io::CancelToken cancel) {
  auto job = [this, &source, &path, &directory](std::stop_token stop) -> Result<std::string> {
    CHECK(sys::make_dirs(directory, 0700));
    TRY(const auto tree, tree_of(source));
    CHECK(copy_subtree(*tree, path, directory, "content", std::move(stop)));
    return directory + "/content";
  };
  co_return co_await on_worker(session_.loop, std::move(job), std::move(cancel));
}

io::Task<Result<StepMount>> OpExecutor::bind_mount(const VertexInputs& inputs, const RunMountOp& mount,
                                                   RunWork&, io::CancelToken cancel) {
  const VertexResult& source = inputs.inputs.at(*mount.input);
  const std::string directory = fmt::format("{}/mount-{}", session_.scratch, next_directory_++);
  const auto* root = std::get_if<RootState>(&source);
  // A whole root filesystem is mounted as it is; parts of one, and contexts, are copied out.
  if (root != nullptr && root->chain_id && mount.mount.source == "/") {
    OverlayMount overlay;
    CO_TRY(const auto chain, session_.images.snapshotter().chain(*root->chain_id));
    for (const auto& layer : chain)
      overlay.lowers.push_back(session_.images.snapshotter().layer_dir(layer.chain_id) + "/fs");
    const bool needs_upper = !mount.mount.readonly || overlay.lowers.size() < 2;
    if (needs_upper) {
      overlay.upper = directory + "/upper";
      overlay.work = directory + "/work";
      CO_CHECK(sys::make_dirs(overlay.upper, 0755));
      CO_CHECK(sys::make_dirs(overlay.work, 0700));
    }
    co_return StepMount{mount.target, std::move(overlay), mount.mount.readonly};
  }
  CO_TRY(auto path, co_await materialise(source, mount.mount.source, directory, std::move(cancel)));
  co_return StepMount{mount.target, HostMount{std::move(path)}, mount.mount.readonly};
}

io::Task<Result<StepMount>> OpExecutor::cache_mount(const VertexInputs& inputs, const RunMountOp& mount,
                                                    RunWork& work, io::CancelToken cancel) {
  auto acquiring = session_.mounts.acquire(mount.mount);
  CO_TRY(auto use, co_await io::unless_cancelled(std::move(acquiring), cancel));
  const std::string path = use.path();
  if (use.is_new() && mount.input) {
    auto job = [this, &inputs, &mount, &path](std::stop_token stop) -> Result<void> {
      TRY(const auto tree, tree_of(inputs.inputs.at(*mount.input)));
      TRY(const auto target, sys::RootDir::open(path));
      CopyOp copy{.destination = "/"};
      copy.sources.push_back({.path = mount.mount.source, .keep_owner = true});
      return copy_files(copy, {.root = target, .inputs = {tree.get()}, .stop = std::move(stop)});
    };
    CO_CHECK(co_await on_worker(session_.loop, std::move(job), cancel));
  }
  work.caches.push_back(std::move(use));
  co_return StepMount{mount.target, HostMount{path}, mount.mount.readonly};
}

Result<void> OpExecutor::add_secret(const RunMountOp& mount, RunWork& work) {
  const auto found = session_.secrets.find(mount.mount.id);
  if (found == session_.secrets.end()) {
    if (!mount.mount.required) return {};
    return failure(Kind::NotFound, "secret {}: not found", mount.mount.id);
  }
  if (mount.mount.env) {
    const std::string& name = mount.mount.env->empty() ? mount.mount.id : *mount.mount.env;
    work.request.env.push_back(name + "=" + found->second);
  }
  if (mount.target.empty()) return {};
  const FileMount file{found->second, mount.mount.mode.value_or(0400), mount.mount.uid.value_or(0),
                       mount.mount.gid.value_or(0)};
  work.request.mounts.push_back({mount.target, file, true});
  return {};
}

/// Without an agent a step that does not insist runs without, as BuildKit has it.
Result<void> OpExecutor::add_agent(const RunMountOp& mount, RunWork& work) {
  const auto found = session_.agents.find(mount.mount.id);
  if (found == session_.agents.end()) {
    if (!mount.mount.required) return {};
    return failure(Kind::NotFound, "no SSH agent \"{}\" was given to the build: add --ssh {}", mount.mount.id,
                   mount.mount.id);
  }
  const bool is_first = work.agents++ == 0;
  if (is_first) work.request.env.push_back("SSH_AUTH_SOCK=" + mount.target);
  const AgentMount agent{found->second, mount.mount.mode.value_or(0600), mount.mount.uid.value_or(0),
                         mount.mount.gid.value_or(0)};
  work.request.mounts.push_back({mount.target, agent, false});
  return {};
}

io::Task<Result<void>> OpExecutor::prepare_mounts(const VertexInputs& inputs, RunWork& work,
                                                  io::CancelToken cancel) {
  for (const auto& mount : work.op.mounts) {
    switch (mount.mount.type) {
      case RunMountType::Bind: {
        CO_TRY(auto made, co_await bind_mount(inputs, mount, work, cancel));
        work.request.mounts.push_back(std::move(made));
        break;
      }
      case RunMountType::Cache: {
        CO_TRY(auto made, co_await cache_mount(inputs, mount, work, cancel));
        work.request.mounts.push_back(std::move(made));
        break;
      }
      case RunMountType::Tmpfs:
        work.request.mounts.push_back({mount.target, TmpfsMount{mount.mount.size}, mount.mount.readonly});
        break;
      case RunMountType::Secret:
        CO_CHECK(add_secret(mount, work));
        break;
      case RunMountType::Ssh:
        CO_CHECK(add_agent(mount, work));
        break;
    }
  }
  if (work.op.script) {
    work.request.mounts.push_back(
        {"/dev/pipes/" + work.op.script->file_name, FileMount{work.op.script->content, 0755}, true});
  }
  co_return Result<void>();
}

void OpExecutor::tell_begun(uint32_t step, const StepRequest& request) {
  if (!session_.keeper) return;
  session_.keeper->began(request, session_.image_below ? session_.image_below(step) : std::nullopt);
}

io::Task<Result<RootState>> OpExecutor::run_step(const VertexInputs& inputs, io::CancelToken cancel) {
  RunWork work{.op = std::get<RunOp>(inputs.vertex.op)};
  auto& snapshotter = session_.images.snapshotter();
  StepRequest& request = work.request;
  request.id = random_id();
  request.args = work.op.args;
  request.env = work.op.env;
  request.env.insert(request.env.end(), work.op.quiet_env.begin(), work.op.quiet_env.end());
  request.cwd = work.op.cwd;
  request.user = work.op.user;
  request.network = work.op.network;
  request.network_name = session_.network;
  request.extra_hosts = work.op.extra_hosts;
  request.shm_size = session_.shm_size;
  request.resources = session_.resources;
  CO_CHECK(co_await prepare_mounts(inputs, work, cancel));
  work.targets = session_.runner.mount_targets();
  for (const auto& mount : request.mounts) work.targets.push_back(mount.target);

  auto prepare = [&work, &inputs, &snapshotter]() -> Result<void> {
    TRY(work.request.root,
        snapshotter.prepare(work.id, inputs.base.chain_id, storage::UpperDurability::Disposable));
    if (inputs.base.chain_id) {
      TRY(work.below, snapshotter.view_chain(*inputs.base.chain_id));
      work.missing = find_missing(*work.below, work.targets);
    } else {
      work.missing = find_missing(sys::RootDir(), work.targets);
    }
    return {};
  };
  auto prepared = co_await on_worker(session_.loop, std::move(prepare), cancel);
  if (!prepared) {
    (void)snapshotter.discard(work.id);
    co_return std::move(prepared).error();
  }

  session_.log->running(inputs.vertex.step, request.id);
  BoundedOutput output(*session_.log, inputs.vertex.step, session_.limits.max_log_bytes);
  work.upper = request.root.upper;
  work.container_id = request.id;
  work.started = now();
  tell_begun(inputs.vertex.step, request);
  auto running = session_.runner.run(std::move(request), output, cancel);
  auto outcome = co_await std::move(running);
  if (session_.keeper)
    session_.keeper->ended(work.container_id, outcome ? std::optional(*outcome) : std::nullopt);
  work.caches.clear();
  if (!outcome) {
    (void)snapshotter.discard(work.id);
    co_return with_emulation_advice(std::move(outcome).error(), work.op.platform);
  }
  auto ending = end_step(inputs, work, *outcome, std::move(cancel));
  co_return co_await std::move(ending);
}

/// What the step has written becomes a layer, or is kept to be looked at, or goes.
io::Task<Result<RootState>> OpExecutor::end_step(const VertexInputs& inputs, RunWork& work,
                                                 StepOutcome outcome, io::CancelToken cancel) {
  auto& snapshotter = session_.images.snapshotter();
  const bool failed = outcome.exit_code != 0;
  const bool is_kept = session_.keeper && session_.keeper->wants(outcome);
  auto finish = [this, &work, &inputs, failed, is_kept](std::stop_token stop) -> Result<RootState> {
    if (failed && !is_kept) return inputs.base;
    CHECK(remove_stubs(work.upper, work.below ? &*work.below : nullptr, work.missing, work.targets));
    work.below.reset();
    if (failed) return inputs.base;
    return commit(work.id, inputs.base, std::move(stop));
  };
  auto state = co_await on_worker(session_.loop, std::move(finish), std::move(cancel));
  const bool was_committed = state && !failed;
  if (state && is_kept)
    keep_step(inputs, work, outcome, state->chain_id, was_committed ? std::string() : work.upper);
  else
    (void)snapshotter.discard(work.id);
  if (failed) {
    session_.exit_code = outcome.exit_code;
    co_return exit_error(work.op, outcome);
  }
  if (state && state->chain_id) session_.lease.add_chain(*state->chain_id);
  co_return state;
}

void OpExecutor::keep_step(const VertexInputs& inputs, RunWork& work, const StepOutcome& outcome,
                           const std::optional<Digest>& chain_id, std::string upper) {
  KeptStep kept{.outcome = outcome,
                .chain_id = chain_id,
                .upper = std::move(upper),
                .started = work.started,
                .finished = now()};
  // Secrets and proxies that the step saw are not for its container.
  kept.request = {.id = work.container_id,
                  .root = {},
                  .args = work.op.args,
                  .env = work.op.env,
                  .cwd = work.op.cwd,
                  .user = work.op.user,
                  .network = work.op.network,
                  .network_name = session_.network,
                  .extra_hosts = work.op.extra_hosts,
                  .shm_size = session_.shm_size,
                  .resources = session_.resources};
  session_.left.push_back({inputs.vertex.step, work.id, std::move(kept)});
}

}  // namespace berth::build
