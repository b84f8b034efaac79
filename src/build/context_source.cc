// Contexts from where they are.
#include "build/context_source.h"

#include <fcntl.h>

#include "base/format.h"
#include "build/fetch.h"
#include "build/git_checkout.h"
#include "build/op_executor.h"
#include "io/byte_pipe.h"
#include "io/task_group.h"
#include "spec/url_credentials.h"
#include "storage/compression.h"
#include "storage/tar_header.h"

namespace berth::build {
namespace {

constexpr size_t max_dockerfile_bytes = 8u << 20;

/// Gives bytes that were looked at already once more, then the rest.
class PrefixedSource : public storage::ByteSource {
 public:
  PrefixedSource(std::string prefix, storage::ByteSource& rest) : prefix_(std::move(prefix)), rest_(rest) {}
  Result<size_t> read(std::span<char> buffer) override {
    if (position_ == prefix_.size()) return rest_.read(buffer);
    const size_t count = std::min(buffer.size(), prefix_.size() - position_);
    std::copy_n(prefix_.data() + position_, count, buffer.data());
    position_ += count;
    return count;
  }

 private:
  std::string prefix_;
  storage::ByteSource& rest_;
  size_t position_ = 0;
};

bool looks_like_archive(std::string_view prefix) {
  if (storage::detect_compression(prefix) != storage::Compression::None) return true;
  if (prefix.size() < storage::tar_block) return false;
  const std::string_view block = prefix.substr(0, storage::tar_block);
  return storage::is_zero_block(block) || storage::parse_tar_header(block).has_value();
}

/// On a worker: an archive becomes a tree, anything else is taken for a Dockerfile.
Result<LoadedContext> read_context(storage::ByteSource& source, const std::string& scratch,
                                   const BuildLimits& limits, std::stop_token stop) {
  std::string prefix(storage::tar_block, '\0');
  size_t have = 0;
  while (have < prefix.size()) {
    TRY(const size_t count, source.read(std::span(prefix).subspan(have)));
    if (count == 0) break;
    have += count;
  }
  prefix.resize(have);
  PrefixedSource whole(prefix, source);
  if (!looks_like_archive(prefix)) {
    TRY(auto text, storage::read_all(whole, max_dockerfile_bytes));
    if (text.empty()) return Error(Kind::InvalidArgument, "the build context is empty");
    return LoadedContext{.dockerfile = std::move(text)};
  }
  const storage::ArchiveLimits archive_limits{.max_bytes = limits.max_context_bytes,
                                              .max_entries = limits.max_context_entries};
  auto tree = IndexTree::from_tar(whole, scratch, archive_limits, std::move(stop));
  if (!tree) return std::move(tree).error().in("build context");
  return LoadedContext{.tree = std::move(*tree)};
}

class PipeSource : public storage::ByteSource {
 public:
  explicit PipeSource(io::BytePipe& pipe) : pipe_(pipe) {}
  Result<size_t> read(std::span<char> buffer) override { return pipe_.read_blocking(buffer); }

 private:
  io::BytePipe& pipe_;
};

/// Moves the stream's bytes into the pipe until either end closes.
io::Task<void> pump(ContextStream& stream, io::BytePipe& pipe) {
  while (true) {
    auto bytes = co_await stream.next();
    if (!bytes) {
      pipe.close_writing(std::move(bytes).error());
      co_return;
    }
    if (bytes->empty()) {
      pipe.close_writing();
      co_return;
    }
    auto written = co_await pipe.write(*bytes);
    if (!written) co_return;
  }
}

io::Task<Result<LoadedContext>> load(io::EventLoop& loop, StreamContext context, const std::string& scratch,
                                     const BuildLimits& limits, io::CancelToken cancel) {
  io::BytePipe pipe(loop, 4 << 20);
  io::TaskGroup pumping;
  pumping.spawn(pump(*context.stream, pipe));
  auto job = [&pipe, &scratch, &limits](std::stop_token stop) {
    // A read that waits for bytes is woken by the stop itself.
    const std::stop_callback wake(stop,
                                  [&pipe] { pipe.close_writing(Error(Kind::Cancelled, "build cancelled")); });
    PipeSource source(pipe);
    auto loaded = read_context(source, scratch, limits, stop);
    pipe.close_reading();
    return loaded;
  };
  co_return co_await on_worker(loop, std::move(job), std::move(cancel));
}

io::Task<Result<LoadedContext>> load(io::EventLoop& loop, DirectoryContext context, const BuildLimits& limits,
                                     io::CancelToken cancel) {
  auto job = [directory = std::make_shared<sys::RootDir>(std::move(context.directory)),
              &limits](std::stop_token stop) mutable -> Result<LoadedContext> {
    TRY(auto tree,
        IndexTree::from_directory(std::move(*directory), limits.max_context_entries, std::move(stop)));
    return LoadedContext{.tree = std::move(tree)};
  };
  co_return co_await on_worker(loop, std::move(job), std::move(cancel));
}

io::Task<Result<LoadedContext>> load(io::EventLoop& loop, GitRequest request, const BuildLimits& limits,
                                     io::CancelToken cancel) {
  auto job = [request = std::move(request), &limits](std::stop_token stop) mutable -> Result<LoadedContext> {
    request.max_bytes = limits.max_context_bytes;
    request.max_entries = limits.max_context_entries;
    request.stop = stop;
    TRY(auto checkout, check_out(request));
    TRY(auto tree, IndexTree::from_directory(std::move(checkout.files), limits.max_context_entries, stop));
    return LoadedContext{.tree = std::move(tree)};
  };
  co_return co_await on_worker(loop, std::move(job), std::move(cancel));
}

io::Task<Result<LoadedContext>> load(io::EventLoop& loop, RemoteContext context, const std::string& scratch,
                                     const BuildLimits& limits, ProgressSink& progress,
                                     io::CancelToken cancel) {
  auto place = spec::parse_git_place(context.url);
  const bool is_download = context.url.starts_with("http://") || context.url.starts_with("https://");
  if (!place && !is_download) {
    co_return failure(Kind::InvalidArgument,
                      "unknown remote build context {}: http and https URLs and git repositories are "
                      "understood",
                      context.url);
  }
  progress.report(ContextFetching{.from = spec::without_credentials(context.url)});
  if (place) {
    GitRequest request{.place = std::move(*place),
                       .directory = scratch + "/context",
                       .keep_git_directory = context.keep_git_directory,
                       .agent = context.agent};
    co_return co_await load(loop, std::move(request), limits, std::move(cancel));
  }
  auto job = [&context, &scratch, &limits](std::stop_token stop) -> Result<LoadedContext> {
    TRY(auto fd, sys::open_file(scratch.c_str(), O_TMPFILE | O_RDWR, 0600));
    storage::FdSink sink(fd.get());
    CHECK(fetch({.url = context.url, .max_bytes = limits.max_download_bytes, .stop = stop}, sink));
    TRY(auto source, storage::FileSource::whole(std::move(fd)));
    return read_context(*source, scratch, limits, stop);
  };
  co_return co_await on_worker(loop, std::move(job), std::move(cancel));
}

}  // namespace

io::Task<Result<LoadedContext>> load_context(io::EventLoop& loop, BuildContext context, std::string scratch,
                                             const BuildLimits& limits, ProgressSink& progress,
                                             io::CancelToken cancel) {
  if (auto* stream = std::get_if<StreamContext>(&context)) {
    co_return co_await load(loop, std::move(*stream), scratch, limits, std::move(cancel));
  }
  if (auto* directory = std::get_if<DirectoryContext>(&context)) {
    co_return co_await load(loop, std::move(*directory), limits, std::move(cancel));
  }
  if (auto* remote = std::get_if<RemoteContext>(&context)) {
    co_return co_await load(loop, std::move(*remote), scratch, limits, progress, std::move(cancel));
  }
  co_return LoadedContext{};
}

}  // namespace berth::build
