// Digests of what is read, and the operations that change files.
#include "build/op_executor.h"

#include "base/format.h"
#include "base/id.h"
#include "base/sha256.h"
#include "build/copy_files.h"
#include "build/directory_tree.h"
#include "sys/detached_overlay.h"

namespace berth::build {
namespace {

/// Files that are not there, in the words of the classic builder.
Error explain(Error error, const Vertex& vertex, const CopyOp::Source& source) {
  if (error.kind() != Kind::NotFound) return error;
  if (std::holds_alternative<RunOp>(vertex.op)) return std::move(error).in("RUN --mount failed");
  const std::string keyword = source.unpack == Unpack::No ? "COPY failed" : "ADD failed";
  if (source.keep_owner) return std::move(error).in(keyword);
  if (source.wildcards)
    return std::move(error).in(keyword + ": file not found in build context or excluded by .dockerignore");
  return failure(
      Kind::NotFound,
      "{}: file not found in build context or excluded by .dockerignore: stat {}: file does not exist",
      keyword, source.path.starts_with('/') ? source.path.substr(1) : source.path);
}

}  // namespace

std::string new_work_id() {
  return std::string(work_id_prefix) + random_hex(12);
}

Digest OpExecutor::Read::selection_key() const {
  Sha256 hash;
  const auto field = [&hash](std::string_view text) {
    hash.update(fmt::format("{}:", text.size()));
    hash.update(text);
  };
  hash.update(fmt::format("selection {} {} {}\n", whole, source.wildcards, source.keep_owner));
  field(source.path);
  field(source.parents_pattern);
  for (const auto& exclude : excludes) field(exclude);
  return hash.finish();
}

std::vector<OpExecutor::Read> OpExecutor::reads_of(const VertexInputs& inputs) const {
  std::vector<Read> reads;
  const auto add = [&](size_t input, CopyOp::Source source, std::vector<std::string> excludes, bool whole) {
    Read read{.source = std::move(source), .excludes = std::move(excludes), .whole = whole};
    const VertexResult& result = inputs.inputs.at(input);
    if (const auto* root = std::get_if<RootState>(&result)) {
      read.chain_id = root->chain_id;
    } else {
      read.tree = std::get<std::shared_ptr<const FileTree>>(result);
    }
    if (!read.tree && !read.chain_id) read.tree = std::make_shared<IndexTree>();
    reads.push_back(std::move(read));
  };
  if (const auto* copy = std::get_if<CopyOp>(&inputs.vertex.op)) {
    for (const auto& source : copy->sources) add(source.input, source, copy->excludes, false);
  }
  if (const auto* run = std::get_if<RunOp>(&inputs.vertex.op)) {
    for (const auto& mount : run->mounts) {
      if (mount.input) add(*mount.input, {.path = mount.mount.source, .keep_owner = true}, {}, true);
    }
  }
  return reads;
}

/// Immutable roots have been digested before, perhaps.
Result<void> OpExecutor::look_up_digests(std::vector<Read>& reads) {
  for (auto& read : reads) {
    if (!read.chain_id) continue;
    TRY(read.digest, session_.cache.find_content(*read.chain_id, read.selection_key()));
  }
  return {};
}

/// On a worker: what is not known of a selection.
Result<void> OpExecutor::digest(Read& read, const Vertex& vertex, const std::stop_token& stop) const {
  std::shared_ptr<const FileTree> tree = read.tree;
  if (!tree) {
    TRY(auto root, session_.images.snapshotter().view_chain(*read.chain_id));
    tree = std::make_shared<DirectoryTree>(std::move(root));
  }
  if (!read.digest) {
    auto digest = read.whole ? subtree_digest(*tree, read.source.path, stop)
                             : selection_digest(*tree, read.source, read.excludes, stop);
    if (!digest) return explain(std::move(digest).error(), vertex, read.source);
    read.digest = *digest;
  }
  if (session_.names_sources && !read.whole) {
    TRY(read.roots, select_roots(*tree, read.source));
  }
  return {};
}

/// As docker's classic builder has it: one file, one directory, or several of them, and a digest.
std::string OpExecutor::sources_text(const std::vector<Read>& reads) {
  std::vector<SelectedRoot> roots;
  Sha256 hash;
  for (const auto& read : reads) {
    roots.insert(roots.end(), read.roots.begin(), read.roots.end());
    hash.update(read.digest->hex());
  }
  if (roots.size() != 1) return "multi:" + hash.finish().hex();
  return (roots[0].is_directory ? "dir:" : "file:") + reads[0].digest->hex();
}

io::Task<Result<VertexReads>> OpExecutor::read_digests(const VertexInputs& inputs, io::CancelToken cancel) {
  auto reads = reads_of(inputs);
  CO_CHECK(look_up_digests(reads));
  const bool is_copy = std::holds_alternative<CopyOp>(inputs.vertex.op);
  const bool names_sources = session_.names_sources && is_copy;
  std::vector<size_t> open;
  for (size_t i = 0; i < reads.size(); ++i) {
    if (!reads[i].digest || names_sources) open.push_back(i);
  }
  if (!open.empty()) {
    auto work = [this, &reads, &open, &inputs](std::stop_token stop) -> Result<void> {
      for (const size_t i : open) CHECK(digest(reads[i], inputs.vertex, stop));
      return {};
    };
    CO_CHECK(co_await on_worker(session_.loop, std::move(work), cancel));
    for (const size_t i : open) {
      if (reads[i].chain_id)
        CO_CHECK(
            session_.cache.store_content(*reads[i].chain_id, reads[i].selection_key(), *reads[i].digest));
    }
  }
  VertexReads result;
  for (const auto& read : reads) result.digests.push_back(*read.digest);
  if (names_sources) result.sources = sources_text(reads);
  co_return result;
}

Result<std::shared_ptr<const FileTree>> OpExecutor::tree_of(const VertexResult& result) const {
  if (const auto* tree = std::get_if<std::shared_ptr<const FileTree>>(&result)) return *tree;
  const auto& root = std::get<RootState>(result);
  if (!root.chain_id) return std::shared_ptr<const FileTree>(std::make_shared<IndexTree>());
  TRY(auto view, session_.images.snapshotter().view_chain(*root.chain_id));
  return std::shared_ptr<const FileTree>(std::make_shared<DirectoryTree>(std::move(view)));
}

io::Task<Result<RootState>> OpExecutor::execute(const VertexInputs& inputs, io::CancelToken cancel) {
  if (std::holds_alternative<RunOp>(inputs.vertex.op)) co_return co_await run_step(inputs, std::move(cancel));
  co_return co_await change_files(inputs, std::move(cancel));
}

/// What the step has written becomes a layer; nothing written, none. On a worker.
Result<RootState> OpExecutor::commit(const std::string& work, const RootState& base, std::stop_token stop) {
  auto& snapshotter = session_.images.snapshotter();
  RootState state{.chain_id = base.chain_id, .created = now()};
  TRY(const bool unchanged, snapshotter.is_unchanged(work));
  if (unchanged) return state;
  TRY(const auto layer,
      snapshotter.commit(work, base.chain_id, storage::CommitMode::Consume, std::move(stop)));
  state.chain_id = layer.chain_id;
  state.made_layer = true;
  state.size = layer.size;
  return state;
}

io::Task<Result<RootState>> OpExecutor::change_files(const VertexInputs& inputs, io::CancelToken cancel) {
  const std::string work = new_work_id();
  auto& snapshotter = session_.images.snapshotter();
  auto job = [this, &inputs, &work, &snapshotter](std::stop_token stop) -> Result<RootState> {
    TRY(const auto spec,
        snapshotter.prepare(work, inputs.base.chain_id, storage::UpperDurability::Disposable));
    {
      TRY(const auto root, sys::open_detached_overlay({spec.lower, spec.upper, spec.work, spec.options}));
      if (const auto* directory = std::get_if<MakeDirectoryOp>(&inputs.vertex.op)) {
        CHECK(make_directory(*directory, root));
      } else {
        std::vector<std::shared_ptr<const FileTree>> trees;
        CopyContext context{.root = root, .inputs = {}, .stop = stop};
        for (const auto& input : inputs.inputs) {
          TRY(auto tree, tree_of(input));
          context.inputs.push_back(tree.get());
          trees.push_back(std::move(tree));
        }
        CHECK(copy_files(std::get<CopyOp>(inputs.vertex.op), context));
      }
    }
    return commit(work, inputs.base, stop);
  };
  auto state = co_await on_worker(session_.loop, std::move(job), std::move(cancel));
  (void)snapshotter.discard(work);
  if (state && state->chain_id) session_.lease.add_chain(*state->chain_id);
  co_return state;
}

}  // namespace berth::build
