#include "apps/buildkit/history.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include <history.pb.h>
#include "base/format.h"
#include "base/sha256.h"
#include "sys/file.h"

namespace berth::buildkit {
namespace {

using history::StoredBuild;
using namespace std::chrono_literals;
namespace pb = moby::buildkit::v1;

constexpr std::string_view suffix = ".build";
constexpr size_t max_events = 512;
/// A file of more was not written here.
constexpr size_t max_file_bytes = size_t{64} << 20;

bool is_older(const pb::BuildHistoryRecord& a, const pb::BuildHistoryRecord& b) {
  const auto key = [](const pb::BuildHistoryRecord& record) {
    return std::pair{record.created_at().seconds(), record.created_at().nanos()};
  };
  return key(a) < key(b);
}

Result<StoredBuild> read_build(const std::string& path) {
  TRY(const std::string bytes, sys::read_file(path, max_file_bytes));
  StoredBuild stored;
  if (!stored.ParseFromString(bytes) || stored.record().ref().empty())
    return failure(Kind::Corrupt, "{} is no build's record", path);
  return stored;
}

std::vector<std::string> digests_of(const StoredBuild& stored) {
  std::vector<std::string> digests;
  for (const std::string& blob : stored.blobs()) digests.push_back(sha256(blob).str());
  return digests;
}

/// Messages from the beginning on, as many as fit: what came first tells what the build was.
void add_progress(StoredBuild& stored, std::vector<pb::StatusResponse> progress, size_t room) {
  for (pb::StatusResponse& message : progress) {
    const size_t size = message.ByteSizeLong() + 8;
    if (size > room && message.logs_size() > 0) message.clear_logs();
    if (message.ByteSizeLong() + 8 > room) continue;
    room -= message.ByteSizeLong() + 8;
    stored.mutable_progress()->Add(std::move(message));
  }
}

}  // namespace

History::History(std::string directory, HistoryLimits limits)
    : directory_(std::move(directory)), limits_(limits) {
  if (directory_.empty()) return;
  if (auto made = sys::make_dirs(directory_, 0700); !made) {
    fmt::print(stderr, "berth-buildkit: builds are not remembered: {}\n", made.error().message());
    directory_.clear();
    return;
  }
  load();
}

void History::load() {
  const auto entries = sys::list_dir(directory_);
  if (!entries) return;
  for (const auto& entry : *entries) {
    const std::string path = directory_ + "/" + entry.name;
    auto stored = read_build(path);
    if (!stored || path != path_of(stored->record().ref())) {
      ::unlink(path.c_str());  // half written, or of another version
      continue;
    }
    Entry& build = builds_[stored->record().ref()];
    build.record = stored->record();
    build.bytes = stored->ByteSizeLong();
    build.blobs = digests_of(*stored);
  }
  make_room();
}

std::string History::path_of(const std::string& ref) const {
  return directory_ + "/" + sha256(ref).hex() + std::string(suffix);
}

void History::announce(pb::BuildHistoryEventType type, const Record& record) {
  Event event;
  event.set_type(type);
  *event.mutable_record() = record;
  events_.push_back(std::move(event));
  if (events_.size() > max_events) events_.pop_front();
  ++announced_;
  changed_.notify_all();
}

void History::begin(Record record) {
  std::lock_guard lock(mutex_);
  Entry& build = builds_[record.ref()];
  build.active = true;
  build.record = std::move(record);
  announce(pb::STARTED, build.record);
}

void History::complete(Record record, std::vector<Status> progress, std::vector<std::string> blobs) {
  StoredBuild stored;
  for (std::string& blob : blobs) stored.add_blobs(std::move(blob));
  *stored.mutable_record() = record;
  const size_t used = stored.ByteSizeLong();
  add_progress(stored, std::move(progress),
               limits_.max_build_bytes - std::min(used, limits_.max_build_bytes));
  std::lock_guard lock(mutex_);
  const std::string ref = record.ref();
  Entry& build = builds_[ref];
  build.active = false;
  build.record = std::move(record);
  build.bytes = stored.ByteSizeLong();
  build.blobs = digests_of(stored);
  Result<void> written;
  if (!directory_.empty()) {
    const std::string path = path_of(ref);
    written = sys::write_file_atomic(path, stored.SerializeAsString(), 0600);
  }
  if (!written)
    fmt::print(stderr, "berth-buildkit: a build is not remembered: {}\n", written.error().message());
  announce(pb::COMPLETE, build.record);
  make_room();
}

void History::make_room() {
  while (true) {
    uint64_t bytes = 0;
    size_t ended = 0;
    const Entry* oldest = nullptr;
    for (const auto& [ref, build] : builds_) {
      if (build.active) continue;
      bytes += build.bytes;
      ++ended;
      const bool candidate = !build.record.pinned();
      if (candidate && (oldest == nullptr || is_older(build.record, oldest->record))) oldest = &build;
    }
    if (oldest == nullptr || (ended <= limits_.max_builds && bytes <= limits_.max_bytes)) return;
    forget(std::string(oldest->record.ref()));
  }
}

void History::forget(const std::string& ref) {
  const auto found = builds_.find(ref);
  if (!directory_.empty()) ::unlink(path_of(ref).c_str());
  announce(pb::DELETED, found->second.record);
  builds_.erase(found);
}

Result<void> History::remove(const std::string& ref) {
  std::lock_guard lock(mutex_);
  const auto found = builds_.find(ref);
  if (found == builds_.end())
    return failure(Kind::NotFound, "no build \"{}\" is remembered", ref.substr(0, 64));
  if (found->second.active)
    return failure(Kind::WrongState, "build \"{}\" runs: it can be removed when it has ended",
                   ref.substr(0, 64));
  forget(ref);
  return {};
}

Result<void> History::pin(const std::string& ref, bool pinned) {
  std::lock_guard lock(mutex_);
  const auto found = builds_.find(ref);
  if (found == builds_.end())
    return failure(Kind::NotFound, "no build \"{}\" is remembered", ref.substr(0, 64));
  Entry& build = found->second;
  if (build.record.pinned() == pinned) return {};
  if (build.active)
    return failure(Kind::WrongState, "build \"{}\" runs: it can be pinned when it has ended",
                   ref.substr(0, 64));
  const auto count = std::count_if(builds_.begin(), builds_.end(),
                                   [](const auto& entry) { return entry.second.record.pinned(); });
  if (pinned && static_cast<size_t>(count) >= limits_.max_pinned)
    return failure(Kind::Exhausted, "{} builds are pinned already, which is the most: unpin one", count);
  build.record.set_pinned(pinned);
  if (!directory_.empty()) {
    const std::string path = path_of(ref);
    TRY(StoredBuild stored, read_build(path));
    stored.mutable_record()->set_pinned(pinned);
    CHECK(sys::write_file_atomic(path, stored.SerializeAsString(), 0600));
  }
  announce(pb::COMPLETE, build.record);
  return {};
}

bool History::contains(const std::string& ref) const {
  std::lock_guard lock(mutex_);
  return builds_.contains(ref);
}

Result<std::vector<History::Status>> History::progress(const std::string& ref) const {
  std::lock_guard lock(mutex_);
  const auto found = builds_.find(ref);
  if (found == builds_.end() || found->second.active || directory_.empty())
    return failure(Kind::NotFound, "no build \"{}\" is remembered", ref.substr(0, 64));
  TRY(StoredBuild stored, read_build(path_of(ref)));
  std::vector<Status> messages;
  for (Status& message : *stored.mutable_progress()) messages.push_back(std::move(message));
  return messages;
}

Result<std::string> History::blob(const Digest& digest) const {
  std::lock_guard lock(mutex_);
  const std::string wanted = digest.str();
  for (const auto& [ref, build] : builds_) {
    const auto place = std::find(build.blobs.begin(), build.blobs.end(), wanted);
    if (place == build.blobs.end() || directory_.empty()) continue;
    TRY(StoredBuild stored, read_build(path_of(ref)));
    for (std::string& blob : *stored.mutable_blobs())
      if (sha256(blob) == digest) return std::move(blob);
  }
  return failure(Kind::NotFound, "content {}: not found", wanted);
}

std::vector<History::Event> History::present(const Query& query) const {
  std::vector<Event> events;
  for (const auto& [ref, build] : builds_) {
    if (!query.ref.empty() && query.ref != ref) continue;
    if (query.active_only && !build.active) continue;
    Event event;
    event.set_type(build.active ? pb::STARTED : pb::COMPLETE);
    *event.mutable_record() = build.record;
    events.push_back(std::move(event));
  }
  std::sort(events.begin(), events.end(),
            [](const Event& a, const Event& b) { return is_older(a.record(), b.record()); });
  if (query.limit != 0 && events.size() > query.limit)
    events.erase(events.begin(), events.end() - static_cast<std::ptrdiff_t>(query.limit));
  return events;
}

void History::listen(const Query& query, const std::function<bool(const Event&)>& send,
                     const std::function<bool()>& cancelled) {
  std::vector<Event> pending;
  uint64_t seen = 0;
  {
    std::lock_guard lock(mutex_);
    pending = present(query);
    seen = announced_;
  }
  if (query.subscribed) query.subscribed();
  while (true) {
    for (const Event& event : pending)
      if (!send(event)) return;
    if (query.early_exit || cancelled()) return;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 200ms, [&] { return announced_ > seen; });
    pending.clear();
    // One who is far behind misses what is no longer kept.
    const uint64_t first = announced_ - events_.size();
    for (uint64_t at = std::max(seen, first); at < announced_; ++at) {
      const Event& event = events_[at - first];
      if (query.ref.empty() || event.record().ref() == query.ref) pending.push_back(event);
    }
    seen = announced_;
  }
}

}  // namespace berth::buildkit
