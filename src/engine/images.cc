// Images: the store on worker threads, with events and with what containers keep in use.
#include "engine/images.h"

#include <fnmatch.h>
#include <algorithm>

#include "base/format.h"
#include "engine/core.h"
#include "engine/image_changes.h"
#include "engine/image_events.h"
#include "engine/label_filters.h"
#include "engine/lifecycle.h"
#include "engine/progress_relay.h"
#include "spec/reference.h"

namespace berth::engine {
namespace {

/// With the labels of the image, as long as it is here.
void publish(Core& core, const std::string& action, const std::string& id, const std::string& name) {
  core.events.publish("image", action, id, image_event_attributes(*core.image_store, id, name));
}

Result<std::optional<spec::Reference>> reference_of(const std::string& repository, const std::string& tag) {
  if (repository.empty()) return std::optional<spec::Reference>();
  TRY(spec::Reference reference, spec::Reference::parse(repository));
  if (!tag.empty()) {
    if (!spec::is_valid_tag(tag))
      return failure(Kind::InvalidArgument, "invalid tag format: {}", tag.substr(0, 200));
    reference = reference.with_tag(tag);
  }
  if (reference.digest()) return Error(Kind::InvalidArgument, "cannot create a reference to a digest");
  if (reference.familiar_name() == "sha256")
    return Error(Kind::InvalidArgument, "refusing to create an ambiguous tag using digest algorithm as name");
  return std::optional<spec::Reference>(reference.with_default_tag());
}

struct ListFilters {
  std::optional<bool> dangling;
  std::optional<Timestamp> before;
  std::optional<Timestamp> since;
  std::optional<Timestamp> until;
};

Result<ListFilters> list_filters(const storage::ImageStore& store, const Filters& filters) {
  CHECK(check_filters(filters, {"before", "dangling", "label", "reference", "since", "until"}));
  ListFilters parsed;
  TRY(parsed.dangling, boolean_filter(filters, "dangling"));
  // Every one given must hold, so the earliest counts.
  for (const std::string& text : filter_values(filters, "until")) {
    TRY(Timestamp time, parse_time_reference(text, now()));
    parsed.until = std::min(parsed.until.value_or(time), time);
  }
  for (const std::string& name : filter_values(filters, "before")) {
    TRY(storage::Image image, store.resolve(name));
    if (image.config->created) parsed.before = *image.config->created;
  }
  for (const std::string& name : filter_values(filters, "since")) {
    TRY(storage::Image image, store.resolve(name));
    if (image.config->created) parsed.since = *image.config->created;
  }
  return parsed;
}

/// `reference` filters are shell patterns over "name", "name:tag" and "name@digest".
bool reference_matches(const std::string& pattern, const std::string& tag) {
  std::string name = tag.substr(0, tag.find('@'));
  size_t colon = name.rfind(':');
  bool has_tag = colon != std::string::npos && name.find('/', colon) == std::string::npos;
  std::string bare = has_tag ? name.substr(0, colon) : name;
  return ::fnmatch(pattern.c_str(), tag.c_str(), FNM_PATHNAME) == 0 ||
         ::fnmatch(pattern.c_str(), bare.c_str(), FNM_PATHNAME) == 0;
}

/// Keeps the names that some pattern matches; whether any is left.
bool keep_matching(const std::vector<std::string>& patterns, storage::Image& image) {
  if (patterns.empty()) return true;
  auto unmatched = [&](const std::string& name) {
    return std::none_of(patterns.begin(), patterns.end(),
                        [&](const std::string& pattern) { return reference_matches(pattern, name); });
  };
  std::erase_if(image.repo_tags, unmatched);
  std::erase_if(image.repo_digests, unmatched);
  return !image.repo_tags.empty() || !image.repo_digests.empty();
}

bool passes(const ListFilters& parsed, const Filters& filters, const storage::ImageStore& store,
            storage::Image& image) {
  Timestamp created = image.config->created.value_or(Timestamp{});
  if (parsed.before && created >= *parsed.before) return false;
  if (parsed.since && created <= *parsed.since) return false;
  if (parsed.until && created >= *parsed.until) return false;
  if (parsed.dangling && store.is_dangling(image) != *parsed.dangling) return false;
  if (!labels_match(filters, image.config->config.labels)) return false;
  return keep_matching(filter_values(filters, "reference"), image);
}

bool is_asked_for(const ContainerRecord& record, const storage::Image& image, const std::string& tag) {
  if (record.image_id != image.id) return false;
  auto asked = spec::Reference::parse(record.config.image);
  return asked && asked->with_default_tag().familiar_string() == tag;
}

bool is_pruned(const storage::PruneOptions& options, const storage::Image& image) {
  if (options.created_before && image.config->created.value_or(Timestamp{}) >= *options.created_before)
    return false;
  return options.filter(image);
}

/// The tags of images in use that go when all images are pruned. Kept are those that containers asked for,
/// or, where that was none of them, the last: what is in use is to have a name.
std::vector<std::string> spare_tags(Core& core, const storage::PruneOptions& options,
                                    const storage::InUse& use) {
  std::vector<std::string> spare;
  const auto containers = core.containers.all();
  auto images = core.image_store->list(false);
  if (!options.all || !images) return spare;
  for (const storage::Image& image : *images) {
    bool is_used = std::any_of(use.images.begin(), use.images.end(),
                               [&](const storage::ImageUse& one) { return one.image == image.id; });
    if (!is_used || image.repo_tags.size() < 2 || !is_pruned(options, image)) continue;
    std::vector<std::string> tags = image.repo_tags;
    std::erase_if(tags, [&](const std::string& tag) {
      return std::any_of(containers.begin(), containers.end(), [&](const ContainerHandle& container) {
        return is_asked_for(container->record, image, tag);
      });
    });
    if (tags.size() == image.repo_tags.size()) tags.pop_back();
    spare.insert(spare.end(), tags.begin(), tags.end());
  }
  return spare;
}

}  // namespace

storage::InUse in_use(Core& core) {
  storage::InUse use;
  for (const ContainerHandle& container : core.containers.all()) {
    const ContainerRecord& record = container->record;
    use.images.push_back({record.image_id, record.id, is_alive(record.state.status)});
    if (record.chain_id) use.chains.insert(*record.chain_id);
    for (const MountPoint& mount : record.mounts) {
      if (mount.type != spec::MountType::Image) continue;
      if (mount.chain_id) use.chains.insert(*mount.chain_id);
      auto mounted = core.image_store->resolve(mount.source.empty() ? mount.name : mount.source);
      if (!mounted) continue;
      use.images.push_back({mounted->id, record.id, is_alive(record.state.status)});
      if (mounted->chain_id) use.chains.insert(*mounted->chain_id);
    }
  }
  for (const auto& add : core.layer_holders) add(use);
  return use;
}

Result<storage::Image> Images::find(std::string_view reference) const {
  return core_.image_store->resolve(reference);
}

io::Task<Result<std::vector<ImageSummary>>> Images::list(ListImages query) {
  storage::ImageStore* store = core_.image_store.get();
  CO_TRY(ListFilters parsed, list_filters(*store, query.filters));
  CO_TRY(auto images, store->list(query.all));
  std::map<Digest, uint64_t> shared;
  if (query.shared_size) {
    CO_TRY(storage::ImageUsage usage, co_await core_.loop.on_worker([store] { return store->usage(); }));
    shared = std::move(usage.shared_bytes);
  }
  std::map<Digest, int> users;
  for (const ContainerHandle& container : core_.containers.all()) ++users[container->record.image_id];
  std::vector<ImageSummary> found;
  for (storage::Image& image : images) {
    if (!passes(parsed, query.filters, *store, image)) continue;
    ImageSummary summary{std::move(image), 0, std::nullopt};
    if (auto it = users.find(summary.image.id); it != users.end()) summary.containers = it->second;
    if (query.shared_size) summary.shared_bytes = shared[summary.image.id];
    found.push_back(std::move(summary));
  }
  co_return found;
}

io::Task<Result<std::vector<storage::HistoryItem>>> Images::history(std::string reference) {
  CO_TRY(storage::Image image, find(reference));
  co_return core_.image_store->history(image.id);
}

io::Task<Result<void>> Images::tag(std::string reference, std::string repository, std::string tag) {
  CO_TRY(storage::Image image, find(reference));
  CO_TRY(auto name, reference_of(repository, tag));
  if (!name) co_return Error(Kind::InvalidArgument, "repository name must have at least one component");
  CO_CHECK(core_.image_store->tag(image.id, *name));
  publish(core_, "tag", image.id.str(), name->familiar_string());
  co_return Result<void>();
}

io::Task<Result<std::vector<storage::RemovedName>>> Images::remove(std::string reference,
                                                                   storage::RemoveOptions options) {
  io::Mutex::Guard guard = co_await core_.image_removal.lock();
  storage::ImageStore* store = core_.image_store.get();
  CO_TRY(storage::Image image, store->resolve(reference));
  storage::InUse use = in_use(core_);
  auto work = [store, reference, options, use] { return store->remove(reference, options, use); };
  CO_TRY(auto names, co_await core_.loop.on_worker(work));
  for (const storage::RemovedName& name : names) {
    bool untagged = name.kind == storage::RemovedName::Kind::Untagged;
    std::string id = untagged ? image.id.str() : name.name;
    publish(core_, untagged ? "untag" : "delete", id, name.name);
  }
  co_return names;
}

io::Task<Result<storage::PruneReport>> Images::prune(Filters filters) {
  CO_CHECK(check_filters(filters, {"dangling", "label", "label!", "until"}));
  CO_TRY(auto dangling, boolean_filter(filters, "dangling"));
  storage::PruneOptions options;
  options.all = !dangling.value_or(true);
  CO_TRY(options.created_before, until_filter(filters));
  options.filter = [filters](const storage::Image& image) {
    return labels_match(filters, image.config->config.labels);
  };
  io::Mutex::Guard guard = co_await core_.image_removal.lock();
  storage::ImageStore* store = core_.image_store.get();
  storage::InUse use = in_use(core_);
  auto work = [store, options, use,
               spare = spare_tags(core_, options, use)]() -> Result<storage::PruneReport> {
    TRY(storage::PruneReport report, store->prune(options, use));
    for (const std::string& tag : spare) {
      TRY(auto names, store->remove(tag, {}, use));
      report.removed.insert(report.removed.end(), names.begin(), names.end());
    }
    return report;
  };
  CO_TRY(storage::PruneReport report, co_await core_.loop.on_worker(work));
  for (const storage::RemovedName& name : report.removed) {
    publish(core_, name.kind == storage::RemovedName::Kind::Untagged ? "untag" : "delete", name.name,
            name.name);
  }
  core_.events.publish("image", "prune", "", {{"reclaimed", std::to_string(report.reclaimed_bytes)}});
  co_return report;
}

io::Task<Result<std::vector<storage::LoadedImage>>> Images::load(storage::ByteSource& archive,
                                                                 std::optional<spec::Platform> platform,
                                                                 storage::ProgressCallback progress) {
  storage::ImageStore* store = core_.image_store.get();
  storage::ByteSource* source = &archive;
  ProgressRelay relay = ProgressRelay::to(core_.loop, std::move(progress));
  storage::ProgressCallback callback = relay.callback();
  auto work = [store, source, platform, callback](std::stop_token stop) {
    storage::ImageStore::LoadOptions options;
    options.platform = platform;
    options.progress = callback;
    options.stop = stop;
    return store->load(*source, options);
  };
  CO_TRY(auto images, co_await core_.loop.on_worker(work));
  for (const storage::LoadedImage& image : images) {
    publish(core_, "load", image.id.str(), image.names.empty() ? image.id.str() : image.names.front());
  }
  co_return images;
}

io::Task<Result<void>> Images::save(std::vector<std::string> references,
                                    std::optional<spec::Platform> platform, storage::ByteSink& out) {
  storage::ImageStore* store = core_.image_store.get();
  storage::ByteSink* sink = &out;
  auto work = [store, sink, references, platform](std::stop_token stop) {
    storage::ImageStore::SaveOptions options;
    options.platform = platform;
    options.stop = stop;
    return store->save(references, *sink, options);
  };
  CO_CHECK(co_await core_.loop.on_worker(work));
  for (const std::string& reference : references) {
    if (auto image = find(reference)) publish(core_, "save", image->id.str(), reference);
  }
  co_return Result<void>();
}

io::Task<Result<Digest>> Images::import(storage::ByteSource& archive, Import options,
                                        storage::ProgressCallback progress) {
  storage::ImportOptions wanted;
  CO_TRY(wanted.reference, reference_of(options.repository, options.tag));
  CO_CHECK(apply_changes(options.changes, wanted.config));
  wanted.message = options.message;
  wanted.platform = options.platform;
  ProgressRelay relay = ProgressRelay::to(core_.loop, std::move(progress));
  wanted.progress = relay.callback();
  storage::ImageStore* store = core_.image_store.get();
  storage::ByteSource* source = &archive;
  auto work = [store, source, wanted](std::stop_token stop) mutable {
    wanted.stop = stop;
    return store->import(*source, wanted);
  };
  CO_TRY(Digest id, co_await core_.loop.on_worker(std::move(work)));
  publish(core_, "import", id.str(), wanted.reference ? wanted.reference->familiar_string() : id.str());
  co_return id;
}

io::Task<Result<storage::BootstrapResult>> Images::bootstrap(
    std::string name, std::function<void(std::string_view line)> progress) {
  storage::ImageStore* store = core_.image_store.get();
  auto told = [progress](const storage::Progress& step) {
    if (progress) progress(step.status);
  };
  ProgressRelay relay = ProgressRelay::to(core_.loop, told);
  storage::ProgressCallback callback = relay.callback();
  std::string scratch =
      core_.options.data_root + "/tmp/bootstrap-" + std::to_string(to_unix_nanoseconds(now()));
  auto work = [store, name, scratch, callback](std::stop_token stop) {
    storage::BootstrapOptions options{.scratch_dir = scratch};
    options.progress = [callback](std::string_view line) { callback({.status = std::string(line)}); };
    options.stop = stop;
    return storage::bootstrap(*store, name, options);
  };
  CO_TRY(storage::BootstrapResult made, co_await core_.loop.on_worker(work));
  publish(core_, "import", made.id.str(), made.name);
  co_return made;
}

}  // namespace berth::engine
