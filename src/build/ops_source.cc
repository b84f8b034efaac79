// Opening what a build starts from: images, the context, documents, downloads.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/format.h"
#include "base/id.h"
#include "build/fetch.h"
#include "build/git_checkout.h"
#include "build/op_executor.h"
#include "build/request_values.h"
#include "spec/url_credentials.h"

namespace berth::build {
namespace {

std::string download_path(const BuildSession& session, const Digest& content) {
  return session.downloads + "/" + content.hex();
}

/// The tree with a downloaded file.
Result<VertexResult> download_tree(const BuildSession& session, const HttpOp& op,
                                   const DownloadRecord& record) {
  TRY(auto fd, sys::open_file(download_path(session, record.content).c_str(), O_RDONLY | O_NOFOLLOW));
  const storage::TarTime mtime{record.mtime, 0};
  TRY(auto tree, IndexTree::from_file(op.file_name, std::move(fd), record.content, 0600, mtime));
  return VertexResult(std::shared_ptr<const FileTree>(std::move(tree)));
}

struct Fetched {
  FetchResult result;
  DownloadRecord record;
};

/// On a worker: fetches, or finds that what is there is still current.
Result<Fetched> fetch_file(const BuildSession& session, FetchRequest request,
                           const std::optional<DownloadRecord>& known) {
  CHECK(sys::make_dirs(session.downloads, 0700));
  if (known && ::access(download_path(session, known->content).c_str(), F_OK) == 0) {
    request.etag = known->etag;
    request.last_modified = known->last_modified;
  }
  const std::string staging = session.downloads + "/.part-" + random_hex(8);
  TRY(auto fd, sys::open_file(staging.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600));
  storage::FdSink sink(fd.get());
  auto fetched = fetch(request, sink);
  const bool arrived = fetched && !fetched->not_modified;
  if (!arrived) ::unlink(staging.c_str());
  if (!fetched) return std::move(fetched).error();
  if (!arrived) return Fetched{std::move(*fetched), *known};
  if (::rename(staging.c_str(), download_path(session, fetched->content).c_str()) < 0) {
    return Error::from_errno("keep download of", request.url, errno);
  }
  DownloadRecord record{.url = request.url,
                        .content = fetched->content,
                        .etag = fetched->etag,
                        .last_modified = fetched->last_modified,
                        .mtime = fetched->mtime,
                        .size = fetched->size,
                        .created = now()};
  return Fetched{std::move(*fetched), std::move(record)};
}

}  // namespace

io::Task<Result<VertexResult>> OpExecutor::open_download(HttpOp op, uint32_t step, io::CancelToken cancel) {
  // With a checksum nobody need be asked about content that is here.
  if (op.checksum) {
    CO_TRY(auto same, session_.cache.find_download_by_content(*op.checksum));
    if (same) {
      auto tree = download_tree(session_, op, *same);
      if (tree) co_return tree;
    }
  }
  CO_TRY(const auto known, session_.cache.find_download(op.url));
  auto* loop = &session_.loop;
  auto* log = session_.log;
  FetchRequest request{.url = op.url, .max_bytes = session_.limits.max_download_bytes};
  auto last_told = std::make_shared<std::chrono::steady_clock::time_point>(std::chrono::steady_clock::now());
  request.progress = [loop, log, step, url = op.url, last_told](uint64_t current, uint64_t total) {
    const auto time = std::chrono::steady_clock::now();
    if (time - *last_told < std::chrono::milliseconds(500)) return;
    *last_told = time;
    loop->post([log, step, url, current, total] { log->transferred(step, url, current, total); });
  };
  auto job = [this, request = std::move(request), &known](std::stop_token stop) mutable {
    request.stop = std::move(stop);
    return fetch_file(session_, std::move(request), known);
  };
  auto fetched = co_await on_worker(session_.loop, std::move(job), cancel);
  if (!fetched) co_return std::move(fetched).error().in("ADD failed");
  if (op.checksum && fetched->record.content != *op.checksum) {
    co_return failure(Kind::Corrupt, "ADD failed: {}: digest mismatch {}: {}", op.url,
                      fetched->record.content.str(), op.checksum->str());
  }
  CO_CHECK(session_.cache.store_download(fetched->record));
  co_return download_tree(session_, op, fetched->record);
}

io::Task<Result<VertexResult>> OpExecutor::open_repository(GitOp op, io::CancelToken cancel) {
  GitRequest request{.place = op.place,
                     .directory = fmt::format("{}/git-{}", session_.scratch, next_directory_++),
                     .max_bytes = session_.limits.max_download_bytes,
                     .max_entries = session_.limits.max_context_entries,
                     .keep_git_directory = op.keep_git_directory,
                     .agent = git_agent(session_.agents)};
  auto job = [&request, &op](std::stop_token stop) -> Result<VertexResult> {
    request.stop = stop;
    auto checkout = check_out(request);
    if (!checkout) return std::move(checkout).error().in("ADD failed");
    if (!op.commit.empty() && checkout->commit != op.commit)
      return failure(Kind::Corrupt, "ADD failed: {}#{} is commit {}, not {}",
                     spec::without_credentials(op.place.repository), op.place.ref, checkout->commit,
                     op.commit);
    TRY(auto tree, IndexTree::from_directory(std::move(checkout->files), request.max_entries, stop));
    return VertexResult(std::shared_ptr<const FileTree>(std::move(tree)));
  };
  co_return co_await on_worker(session_.loop, std::move(job), std::move(cancel));
}

io::Task<Result<VertexResult>> OpExecutor::open_source(const Vertex& vertex, io::CancelToken cancel) {
  if (const auto* http = std::get_if<HttpOp>(&vertex.op)) {
    co_return co_await open_download(*http, vertex.step, std::move(cancel));
  }
  if (const auto* git = std::get_if<GitOp>(&vertex.op))
    co_return co_await open_repository(*git, std::move(cancel));
  if (const auto* image = std::get_if<ImageOp>(&vertex.op)) {
    if (image->chain_id && !session_.images.snapshotter().has_layer(*image->chain_id)) {
      co_return failure(Kind::Corrupt, "image {} has lost a layer: remove it and get it again",
                        image->reference);
    }
    if (image->chain_id) session_.lease.add_chain(*image->chain_id);
    co_return VertexResult(RootState{.chain_id = image->chain_id});
  }
  if (const auto* document = std::get_if<DocumentOp>(&vertex.op)) {
    co_return VertexResult(
        std::shared_ptr<const FileTree>(IndexTree::from_text(document->file_name, document->content, 0644)));
  }
  if (std::holds_alternative<ContextOp>(vertex.op)) {
    if (session_.context) co_return VertexResult(std::shared_ptr<const FileTree>(session_.context));
    co_return Error(Kind::InvalidArgument,
                    "COPY failed: this build has no context: give a directory or a tar with it");
  }
  co_return VertexResult(RootState{});
}

}  // namespace berth::build
