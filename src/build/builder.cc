// The façade: opening, building, pruning, accounting.
#include "build/builder.h"

#include <algorithm>

#include "base/format.h"
#include "base/log.h"
#include "base/sha256.h"
#include "build/build_job.h"
#include "build/cache.h"
#include "build/cache_mounts.h"
#include "build/client_transfers.h"
#include "build/op_executor.h"
#include "build/step_runner.h"
#include "io/task_group.h"
#include "sys/file.h"

namespace berth::build {
namespace {

/// Holds the cache's chains by a lease of the image store.
class LeasedChains : public ChainHolder {
 public:
  explicit LeasedChains(storage::ImageStore& images) : images_(images), lease_(images.lease()) {}
  bool exists(const Digest& chain_id) const override { return images_.snapshotter().has_layer(chain_id); }
  void hold(const std::set<Digest>& chains) override {
    storage::Lease lease = images_.lease();
    for (const auto& chain : chains) lease.add_chain(chain);
    lease_ = std::move(lease);
  }
  void add(const Digest& chain_id) override { lease_.add_chain(chain_id); }

 private:
  storage::ImageStore& images_;
  storage::Lease lease_;
};

bool is_wanted(const std::vector<std::string>& list, std::string_view value) {
  return list.empty() || std::find(list.begin(), list.end(), value) != list.end();
}

bool has_wanted_id(const std::vector<std::string>& prefixes, std::string_view id) {
  return prefixes.empty() || std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& p) {
           return !p.empty() && id.starts_with(p);
         });
}

/// Adds a chain and those beneath it.
void add_with_parents(const storage::Snapshotter& snapshotter, const Digest& chain_id,
                      std::set<Digest>& chains) {
  auto layers = snapshotter.chain(chain_id);
  if (!layers) return;
  for (const auto& layer : *layers) chains.insert(layer.chain_id);
}

/// Chains of all images, with those beneath them.
std::set<Digest> chains_of_images(storage::ImageStore& images) {
  std::set<Digest> chains;
  auto all = images.list(true);
  if (!all) return chains;
  for (const auto& image : *all) {
    if (image.chain_id) add_with_parents(images.snapshotter(), *image.chain_id, chains);
  }
  return chains;
}

/// Removes those of the layers that nothing else stands on; their size. The collector would leave them for a
/// while, because they are young.
Result<uint64_t> free_layers(storage::Snapshotter& snapshotter, std::vector<Digest> chains,
                             const std::set<Digest>& live) {
  uint64_t freed = 0;
  for (bool progress = true; progress;) {
    progress = false;
    std::vector<Digest> later;
    for (const auto& chain : chains) {
      const auto layer = snapshotter.layer(chain);
      if (!layer || live.contains(chain)) continue;
      auto removed = snapshotter.remove_layer(chain);
      if (!removed && removed.error().kind() != Kind::WrongState) return std::move(removed).error();
      if (!removed) later.push_back(chain);  // one that stands on it goes first
      if (removed) freed += layer->size;
      progress = progress || removed;
    }
    chains = std::move(later);
  }
  return freed;
}

}  // namespace

struct Builder::State {
  BuilderServices services;
  LeasedChains chains;
  std::unique_ptr<Cache> cache;
  std::unique_ptr<CacheMounts> mounts;
  int running = 0;
  io::TaskGroup background;
  ClientTransfers transfers;

  explicit State(BuilderServices given)
      : services(std::move(given)), chains(services.images), transfers(services.images) {}

  std::string scratch_root() const { return services.data_root + "/tmp/build"; }
  std::string download_path(const Digest& content) const {
    return services.data_root + "/build/downloads/" + content.hex();
  }

  Result<std::vector<CacheRecordInfo>> usage();
  Result<std::set<Digest>> live_chains(const storage::InUse& in_use);
  io::Task<void> clean_up_after(std::string scratch);
  io::Task<Result<PruneResult>> prune(PruneRequest request, storage::InUse in_use);
  Result<void> remove(const CacheRecordInfo& record);
  io::Task<void> keep_within_limits();
};

Builder::Builder(std::unique_ptr<State> state) : state_(std::move(state)) {}
Builder::~Builder() = default;

io::Task<Result<std::unique_ptr<Builder>>> Builder::open(BuilderServices services) {
  auto state = std::make_unique<State>(std::move(services));
  const BuilderServices& shared = state->services;
  CO_TRY(state->cache, Cache::open(shared.database, state->chains));
  state->mounts = std::make_unique<CacheMounts>(*state->cache, shared.data_root + "/build/mounts");
  auto recovering = shared.runner.recover();
  auto recovered = co_await std::move(recovering);
  if (!recovered) log::warn("build steps of an earlier daemon: {}", recovered.error().message());
  auto clean = [root = state->scratch_root(), data_root = shared.data_root,
                &images = shared.images]() -> Result<void> {
    CHECK(sys::remove_tree(root));
    CHECK(sys::make_dirs(root, 0700));
    auto entries = sys::list_dir(data_root + "/containers");
    if (!entries) return {};
    for (const auto& entry : *entries) {
      if (entry.name.starts_with(work_id_prefix)) CHECK(images.snapshotter().discard(entry.name));
    }
    return {};
  };
  CO_CHECK(co_await shared.loop.on_worker(std::move(clean)));
  co_return std::unique_ptr<Builder>(new Builder(std::move(state)));
}

io::Task<Result<BuildResult>> Builder::build(BuildRequest request, ProgressSink& progress,
                                             io::CancelToken cancel) {
  State& state = *state_;
  ++state.running;
  const BuildJobServices services{state.services, *state.cache, *state.mounts};
  auto job = std::make_unique<BuildJob>(services, std::move(request), progress, std::move(cancel));
  auto running = job->run();
  auto result = co_await std::move(running);
  const std::string scratch = job->scratch();
  job.reset();
  --state.running;
  state.background.spawn(state.clean_up_after(scratch));
  co_return result;
}

/// Off the path that the user waits on: scratch files, what layers were made durable, what the cache has too
/// much.
io::Task<void> Builder::State::clean_up_after(std::string scratch) {
  auto flushed = cache->flush();
  if (!flushed) log::warn("build cache: {}", flushed.error().message());
  auto& snapshotter = services.images.snapshotter();
  auto job = [&scratch, &snapshotter]() -> Result<void> {
    CHECK(sys::remove_tree(scratch));
    CHECK(snapshotter.empty_trash());
    return snapshotter.sync();
  };
  auto cleaned = co_await services.loop.on_worker(std::move(job));
  if (!cleaned) log::warn("after a build: {}", cleaned.error().message());
  co_await keep_within_limits();
}

io::Task<void> Builder::State::keep_within_limits() {
  uint64_t total = 0;
  auto records = cache->records();
  if (!records) co_return;
  for (const auto& record : *records) total += record.size;
  if (total <= services.limits.max_cache_bytes || running > 0) co_return;
  PruneRequest request{.keep_bytes = services.limits.max_cache_bytes / 10 * 9};
  auto pruning = prune(std::move(request), {});
  auto pruned = co_await std::move(pruning);
  if (!pruned) log::warn("build cache: {}", pruned.error().message());
}

Result<std::vector<CacheRecordInfo>> Builder::State::usage() {
  std::vector<CacheRecordInfo> all;
  const auto shared = chains_of_images(services.images);
  TRY(const auto records, cache->records());
  for (const auto& record : records) {
    CacheRecordInfo info{
        .id = record.key.hex(), .description = record.description, .type = "regular", .size = record.size};
    info.shared = record.chain_id && shared.contains(*record.chain_id);
    info.in_use = running > 0;
    info.created = record.created;
    info.last_used = record.last_used;
    info.use_count = record.use_count;
    all.push_back(std::move(info));
  }
  TRY(const auto downloads, cache->downloads());
  for (const auto& download : downloads) {
    all.push_back({.id = sha256(download.url).hex(),
                   .description = download.url,
                   .type = "source.http",
                   .size = download.size,
                   .in_use = running > 0,
                   .created = download.created,
                   .last_used = download.last_used,
                   .use_count = 1});
  }
  TRY(const auto directories, cache->mounts());
  for (const auto& mount : directories) {
    all.push_back({.id = mount.id,
                   .description = mount.description,
                   .type = "exec.cachemount",
                   .size = mounts->disk_usage(mount.id),
                   .in_use = mounts->in_use(mount.id),
                   .created = mount.created,
                   .last_used = mount.last_used,
                   .use_count = mount.use_count});
  }
  return all;
}

/// Everything that images, containers and other records stand on.
Result<std::set<Digest>> Builder::State::live_chains(const storage::InUse& in_use) {
  auto& snapshotter = services.images.snapshotter();
  std::set<Digest> live = chains_of_images(services.images);
  for (const auto& chain : in_use.chains) add_with_parents(snapshotter, chain, live);
  TRY(const auto records, cache->records());
  for (const auto& record : records) {
    if (record.chain_id) add_with_parents(snapshotter, *record.chain_id, live);
  }
  return live;
}

Result<void> Builder::State::remove(const CacheRecordInfo& record) {
  if (record.type == "exec.cachemount") return mounts->remove(record.id);
  TRY(const auto downloads, cache->downloads());
  for (const auto& download : downloads) {
    if (sha256(download.url).hex() != record.id) continue;
    CHECK(cache->remove_download(download.url));
    TRY(const auto other, cache->find_download_by_content(download.content));
    return other ? Result<void>() : sys::remove_tree(download_path(download.content));
  }
  return {};
}

io::Task<Result<PruneResult>> Builder::State::prune(PruneRequest request, storage::InUse in_use) {
  PruneResult result;
  CO_TRY(auto all, usage());
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.last_used > b.last_used; });
  uint64_t kept = 0;
  std::vector<Digest> keys;
  for (const auto& record : all) {
    const bool is_selected = is_wanted(request.types, record.type) && has_wanted_id(request.ids, record.id) &&
                             (request.all || !record.shared) &&
                             (!request.unused_since || record.last_used <= *request.unused_since);
    if (!is_selected || record.in_use) continue;
    if (request.keep_bytes > 0 && kept + record.size <= request.keep_bytes) {
      kept += record.size;
      continue;
    }
    if (record.type == "regular") {
      keys.push_back(Digest::from_hex(record.id));
    } else {
      CO_CHECK(remove(record));
      result.reclaimed_bytes += record.size;
    }
    result.ids.push_back(record.id);
  }
  std::vector<Digest> chains;
  CO_TRY(const auto records, cache->records());
  for (const auto& record : records) {
    const bool goes = std::find(keys.begin(), keys.end(), record.key) != keys.end();
    if (goes && record.chain_id) chains.push_back(*record.chain_id);
  }
  CO_CHECK(cache->remove_records(keys));
  if (chains.empty() || !services.in_use) co_return result;
  const auto more = services.in_use();
  in_use.images.insert(in_use.images.end(), more.images.begin(), more.images.end());
  in_use.chains.insert(more.chains.begin(), more.chains.end());
  CO_TRY(auto live, live_chains(in_use));
  auto& images = services.images;
  auto collect = [&images, &in_use, &chains, &live]() -> Result<uint64_t> {
    TRY(const uint64_t freed, free_layers(images.snapshotter(), chains, live));
    TRY(const uint64_t rest, images.collect(in_use));
    return freed + rest;
  };
  CO_TRY(const auto freed, co_await services.loop.on_worker(std::move(collect)));
  result.reclaimed_bytes += freed;
  co_return result;
}

io::Task<Result<PruneResult>> Builder::prune(PruneRequest request, storage::InUse in_use) {
  auto pruning = state_->prune(std::move(request), std::move(in_use));
  co_return co_await std::move(pruning);
}

Result<std::vector<CacheRecordInfo>> Builder::disk_usage() const {
  return state_->usage();
}

ClientTransfers& Builder::transfers() {
  return state_->transfers;
}

storage::ImageStore& Builder::images() {
  return state_->services.images;
}

io::Task<void> Builder::wait_until_idle() {
  co_await state_->background.wait_until_empty();
}

io::Task<Result<storage::Image>> LocalImageSource::resolve(Request request, ProgressSink&, io::CancelToken) {
  auto image = images_.resolve(request.reference);
  if (image || image.error().kind() != Kind::NotFound) co_return image;
  co_return failure(
      Kind::NotFound,
      "image \"{}\" not found locally: make it with \"berth bootstrap\", or get it with \"berth load\" or "
      "\"berth import\"",
      request.reference);
}

}  // namespace berth::build
