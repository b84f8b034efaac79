// Choosing and removing.
#include "engine/image_quota.h"

#include <algorithm>

#include "base/format.h"
#include "base/log.h"
#include "engine/core.h"
#include "engine/lifecycle.h"
#include "spec/reference.h"

namespace berth::engine {
namespace {

using namespace std::chrono_literals;

/// What has just arrived or been used is about to be used: a pull comes before the container.
constexpr auto spare_time = 10s;
constexpr auto flush_delay = 2s;

/// Under which name a reference is pinned: a tag's full name, else the image's id.
std::string pin_name(std::string_view reference, const storage::Image& image) {
  auto parsed = spec::Reference::parse(reference);
  if (parsed && !parsed->digest()) {
    std::string familiar = parsed->with_default_tag().familiar_string();
    bool is_tag =
        std::find(image.repo_tags.begin(), image.repo_tags.end(), familiar) != image.repo_tags.end();
    if (is_tag) return parsed->with_default_tag().str();
  }
  return image.id.str();
}

bool is_pinned(const std::set<std::string>& pins, const storage::Image& image) {
  if (pins.contains(image.id.str())) return true;
  return std::any_of(image.repo_tags.begin(), image.repo_tags.end(), [&](const std::string& tag) {
    auto name = spec::Reference::parse(tag);
    return name && pins.contains(name->str());
  });
}

}  // namespace

ImageQuota::ImageQuota(Core& core) : core_(core), upkeep_(*core.database) {}

Result<void> ImageQuota::open() {
  return upkeep_.create();
}

io::Task<void> ImageQuota::watch() {
  EventLog::Query query;
  query.filters["type"] = {"container", "image"};
  EventSubscription events = core_.events.subscribe(std::move(query));
  check();
  while (true) {
    io::Task<std::optional<Event>> next = events.next();
    auto event = co_await std::move(next);
    if (!event) co_return;
    note(*event);
  }
}

void ImageQuota::note(const Event& event) {
  if (event.type == "container") {
    bool is_use = event.action == "create" || event.action == "start" || event.action == "die";
    ContainerHandle container = is_use ? core_.containers.by_id(event.actor_id) : nullptr;
    if (container) used(container->record.image_id);
    if (event.action == "commit" || event.action == "destroy") check();
    return;
  }
  bool is_use = event.action == "push" || event.action == "save" || event.action == "pull";
  if (is_use) {
    if (auto image = core_.image_store->resolve(event.actor_id)) used(image->id);
  }
  bool arrived = event.action == "pull" || event.action == "load" || event.action == "import";
  if (arrived) check();
}

Result<void> ImageQuota::pin(std::string_view reference) {
  TRY(storage::Image image, core_.image_store->resolve(reference));
  return upkeep_.pin(pin_name(reference, image));
}

Result<void> ImageQuota::unpin(std::string_view reference) {
  auto parsed = spec::Reference::parse(reference);
  if (parsed) {
    // Also of a name that no image has any more.
    TRY(bool was_pinned, upkeep_.unpin(parsed->with_default_tag().str()));
    if (was_pinned) return {};
  }
  if (auto image = core_.image_store->resolve(reference)) {
    TRY(bool was_pinned, upkeep_.unpin(image->id.str()));
    if (was_pinned) return {};
  }
  return failure(Kind::NotFound, "image {} is not pinned", reference);
}

Result<std::vector<std::string>> ImageQuota::pins() const {
  TRY(std::set<std::string> pins, upkeep_.pins());
  std::vector<std::string> names;
  for (const std::string& pin : pins) {
    auto name = Digest::parse(pin) ? Result<spec::Reference>(Error(Kind::InvalidArgument, "an id"))
                                   : spec::Reference::parse(pin);
    names.push_back(name ? name->familiar_string() : pin);
  }
  return names;
}

void ImageQuota::used(const Digest& image) {
  pending_[image] = now();
  if (flushing_ || core_.closing) return;
  flushing_ = true;
  core_.tasks.spawn(flush_soon());
}

io::Task<void> ImageQuota::flush_soon() {
  co_await core_.loop.sleep_for(flush_delay);
  flushing_ = false;
  if (auto written = flush(); !written)
    log::warn("images' last use is not written down: {}", written.error().message());
}

Result<void> ImageQuota::flush() {
  if (pending_.empty()) return {};
  CHECK(upkeep_.note_uses(pending_));
  pending_.clear();
  return {};
}

void ImageQuota::check() {
  if (core_.options.settings.storage_quota == 0 || core_.closing) return;
  wanted_ = true;
  if (running_) return;
  running_ = true;
  core_.in_background(run());
}

io::Task<void> ImageQuota::check_later() {
  co_await core_.loop.sleep_for(spare_time);
  later_ = false;
  check();
}

io::Task<void> ImageQuota::run() {
  while (wanted_ && !core_.closing) {
    wanted_ = false;
    bool again = true;
    while (again && !core_.closing) {
      io::Task<Result<bool>> look = collect_one();
      auto removed = co_await std::move(look);
      if (!removed) log::warn("storage quota: {}", removed.error().message());
      again = removed && *removed;
    }
  }
  running_ = false;
}

io::Task<Result<bool>> ImageQuota::collect_one() {
  storage::ImageStore* store = core_.image_store.get();
  auto measure = [store] { return store->usage(); };
  CO_TRY(storage::ImageUsage usage, co_await core_.loop.on_worker(measure));
  uint64_t limit = core_.options.settings.storage_quota;
  if (limit == 0 || usage.disk_bytes <= limit) {
    told_ = false;
    co_return false;
  }
  io::Mutex::Guard guard = co_await core_.image_removal.lock();
  CO_TRY(storage::CollectionChoice choice, choose());
  if (choice.image) {
    CO_CHECK(co_await remove(*choice.image, usage.disk_bytes));
    co_return true;
  }
  if (choice.spared && !later_) {
    later_ = true;
    core_.tasks.spawn(check_later());
  }
  if (!choice.spared && !std::exchange(told_, true)) {
    log::warn(
        "images take {} bytes of the disk, more than --storage-quota allows ({}), and none can go: all are "
        "in use "
        "or pinned, or the rest is the registry's and the build cache's (berth registry gc, berth builder "
        "prune)",
        usage.disk_bytes, limit);
  }
  co_return false;
}

Result<storage::CollectionChoice> ImageQuota::choose() {
  CHECK(flush());
  TRY(auto uses, upkeep_.last_uses());
  TRY(std::set<std::string> pins, upkeep_.pins());
  TRY(std::vector<storage::Image> images, core_.image_store->list(false));
  std::set<Digest> kept = core_.image_store->leased_images();
  storage::InUse users = in_use(core_);
  for (const storage::ImageUse& use : users.images) kept.insert(use.image);
  std::vector<storage::CollectionCandidate> candidates;
  for (const storage::Image& image : images) {
    TRY(std::vector<Digest> children, core_.image_store->children(image.id));
    storage::CollectionCandidate candidate{.id = image.id, .last_use = image.last_tagged};
    if (auto use = uses.find(image.id); use != uses.end())
      candidate.last_use = std::max(candidate.last_use, use->second);
    candidate.is_kept = kept.contains(image.id) || !children.empty() || is_pinned(pins, image);
    candidates.push_back(std::move(candidate));
  }
  return storage::choose_least_recently_used(candidates, now() - spare_time);
}

/// With image_removal held: no container is made of it meanwhile.
io::Task<Result<void>> ImageQuota::remove(const Digest& image, uint64_t disk_bytes) {
  storage::ImageStore* store = core_.image_store.get();
  storage::PruneOptions options;
  options.all = true;
  Digest chosen = image;
  options.filter = [chosen](const storage::Image& candidate) { return candidate.id == chosen; };
  storage::InUse use = in_use(core_);
  auto work = [store, options, use] { return store->prune(options, use); };
  CO_TRY(storage::PruneReport report, co_await core_.loop.on_worker(work));
  if (report.removed.empty())
    co_return failure(Kind::WrongState, "image {} could not be removed", chosen.str());
  for (const storage::RemovedName& name : report.removed) {
    bool untagged = name.kind == storage::RemovedName::Kind::Untagged;
    core_.events.publish("image", untagged ? "untag" : "delete", untagged ? chosen.str() : name.name,
                         {{"name", name.name}, {"reason", "storage-quota"}});
  }
  log::info("image {} removed, the least recently used: images took {} bytes, the quota is {}", chosen.str(),
            disk_bytes, core_.options.settings.storage_quota);
  co_return Result<void>();
}

}  // namespace berth::engine
