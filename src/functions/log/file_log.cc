// All log groups.
#include "functions/log/file_log.h"

#include <algorithm>
#include <limits>
#include <map>

#include "base/format.h"
#include "base/log.h"
#include "base/sha256.h"
#include "functions/log/log_group.h"
#include "io/task_group.h"
#include "sys/file.h"

namespace berth::functions {
namespace {

using namespace std::chrono_literals;

constexpr auto kFlushDelay = 20ms;
constexpr size_t kFlushBytes = 256u << 10;
constexpr size_t kMaxOpenFiles = 256;
constexpr size_t kMaxAnswerBytes = 1u << 20;
constexpr size_t kMaxGroupName = 512;
constexpr int64_t kDayMs = 86'400'000;

int64_t wall_ms() {
  return to_unix_nanoseconds(berth::now()) / 1'000'000;
}

/// CloudWatch's: a-z, A-Z, 0-9, _ - / . #
Result<void> check_group_name(std::string_view name) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-/.#").find(c) != std::string_view::npos;
  };
  bool sound =
      !name.empty() && name.size() <= kMaxGroupName && std::all_of(name.begin(), name.end(), allowed);
  if (sound) return {};
  return failure(
      Kind::InvalidArgument,
      "1 validation error detected: Value '{}' at 'logGroupName' failed to satisfy constraint: Member "
      "must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+",
      name.substr(0, 100));
}

Result<void> check_stream_name(std::string_view name) {
  bool sound = !name.empty() && name.size() <= kMaxStreamName && name.find_first_of(":*") == name.npos;
  if (sound) return {};
  return failure(
      Kind::InvalidArgument,
      "1 validation error detected: Value '{}' at 'logStreamName' failed to satisfy constraint: Member "
      "must satisfy regular expression pattern: [^:*]*",
      name.substr(0, 100));
}

Error no_group() {
  return Error(Kind::NotFound, "The specified log group does not exist.");
}

struct Reading {
  LogQuery query;
  std::vector<SegmentToRead> segments;
  int64_t expired_ms = 0;  ///< older events are past their retention
  std::map<std::string, uint64_t, std::less<>> removed = {};
};

bool matches(const Reading& reading, const LogRecord& record) {
  const LogQuery& query = reading.query;
  if (record.kind != LogRecordKind::Event || record.sequence <= query.after_sequence) return false;
  if (record.time_ms < query.from_ms.value_or(reading.expired_ms)) return false;
  if (record.time_ms < reading.expired_ms) return false;
  auto gone = reading.removed.find(record.stream);
  if (gone != reading.removed.end() && record.sequence <= gone->second) return false;
  if (query.until_ms && record.time_ms >= *query.until_ms) return false;
  if (!record.stream.starts_with(query.stream_prefix)) return false;
  if (query.streams.empty()) return true;
  return std::find(query.streams.begin(), query.streams.end(), record.stream) != query.streams.end();
}

/// On a worker.
Result<std::vector<LogEvent>> read_segments(const Reading& reading) {
  std::vector<LogEvent> events;
  size_t bytes = 0;
  for (const SegmentToRead& segment : reading.segments) {
    auto content = sys::read_file(segment.path, 256u << 20);
    if (!content) {
      if (content.error().kind() == Kind::NotFound) continue;  // given up meanwhile
      return std::move(content).error();
    }
    LogRecordReader reader(std::string_view(*content).substr(0, segment.bytes));
    while (auto record = reader.next()) {
      if (!matches(reading, *record)) continue;
      bytes += record->message.size();
      if (events.size() >= reading.query.limit || (bytes > kMaxAnswerBytes && !events.empty())) return events;
      events.push_back({.sequence = record->sequence,
                        .time_ms = record->time_ms,
                        .ingestion_ms = record->ingestion_ms,
                        .stream = std::string(record->stream),
                        .message = std::string(record->message)});
    }
  }
  return events;
}

}  // namespace

struct FileFunctionLog::State {
  State(io::EventLoop& event_loop, Options log_options) : loop(event_loop), options(std::move(log_options)) {}

  using Key = std::pair<Realm, std::string>;
  io::EventLoop& loop;
  Options options;
  std::map<Key, std::shared_ptr<LogGroup>> groups;
  std::vector<std::shared_ptr<LogGroup>> dirty;
  io::Condition became_dirty;
  io::TaskGroup tasks;

  LogGroup::Bounds bounds() const { return {options.segment_bytes, std::max(options.segments, 2u)}; }

  std::string directory_of(const Realm& realm, const std::string& name) const {
    std::string key = realm.account + "\n" + realm.region + "\n" + name;
    return options.directory + "/" + sha256(key).hex().substr(0, 40);
  }

  std::shared_ptr<LogGroup> find(const Realm& realm, const std::string& name) const {
    auto found = groups.find(Key(realm, name));
    return found == groups.end() ? nullptr : found->second;
  }

  Result<std::shared_ptr<LogGroup>> make(const Realm& realm, const std::string& name) {
    TRY(auto made, LogGroup::create(directory_of(realm, name), realm, name, bounds()));
    std::shared_ptr<LogGroup> group(std::move(made));
    groups[Key(realm, name)] = group;
    return group;
  }

  Result<void> load() {
    CHECK(sys::make_dirs(options.directory, 0700));
    TRY(auto entries, sys::list_dir(options.directory));
    for (const sys::DirEntry& entry : entries) {
      auto group = LogGroup::open(options.directory + "/" + entry.name, bounds());
      if (!group) {
        log::warn("log group in {}/{}: {}", options.directory, entry.name, group.error().message());
        continue;
      }
      Key key((*group)->realm(), (*group)->name());
      groups[key] = std::move(*group);
    }
    return {};
  }

  void note_dirty(const std::shared_ptr<LogGroup>& group, bool was_dirty) {
    if (!was_dirty) dirty.push_back(group);
    if (group->buffered() >= kFlushBytes) flush_group(*group);
    group->appended.notify_all();
    if (dirty.size() == 1) became_dirty.notify_all();
  }

  void flush_group(LogGroup& group) {
    if (auto flushed = group.flush(); !flushed) {
      log::error("log group {}: {}", group.name(), flushed.error().message());
    }
  }

  void flush() {
    if (dirty.empty()) return;
    bool opened = false;
    for (const auto& group : dirty) {
      bool held = group->holds_file();
      flush_group(*group);
      opened = opened || (!held && group->holds_file());
    }
    dirty.clear();
    if (opened) limit_open_files();
  }

  void limit_open_files() {
    size_t open = 0;
    for (const auto& [key, group] : groups) open += group->holds_file() ? 1 : 0;
    if (open <= kMaxOpenFiles) return;
    for (const auto& [key, group] : groups) group->close_file();
  }

  static io::Task<void> flush_now_and_then(State& state) {
    while (true) {
      if (state.dirty.empty()) co_await state.became_dirty.wait();
      co_await state.loop.sleep_for(kFlushDelay);
      state.flush();
    }
  }
};

FileFunctionLog::FileFunctionLog(std::unique_ptr<State> state) : state_(std::move(state)) {}
FileFunctionLog::~FileFunctionLog() {
  state_->tasks.destroy_all();
  state_->flush();
}

Result<std::unique_ptr<FileFunctionLog>> FileFunctionLog::open(io::EventLoop& loop, Options options) {
  auto state = std::make_unique<State>(loop, std::move(options));
  CHECK(state->load());
  state->tasks.spawn(State::flush_now_and_then(*state));
  return std::unique_ptr<FileFunctionLog>(new FileFunctionLog(std::move(state)));
}

void FileFunctionLog::append(const Realm& realm, const std::string& name, const std::string& stream,
                             int64_t time_ms, std::string_view message) {
  std::shared_ptr<LogGroup> group = state_->find(realm, name);
  if (!group) {
    auto made = state_->make(realm, name);
    if (!made) {
      log::error("log group {}: {}", name, made.error().message());
      return;
    }
    group = std::move(*made);
  }
  bool was_dirty = group->is_dirty();
  group->append(stream, time_ms, wall_ms(), message);
  state_->note_dirty(group, was_dirty);
}

void FileFunctionLog::flush() {
  state_->flush();
}

io::Task<Result<std::vector<LogEvent>>> FileFunctionLog::read(Realm realm, LogQuery query) {
  std::shared_ptr<LogGroup> group = state_->find(realm, query.group);
  if (!group) co_return no_group();
  state_->flush();
  Reading reading{.query = std::move(query), .segments = {}};
  reading.segments = group->segments_after(reading.query.after_sequence);
  reading.removed = group->removed_streams();
  if (auto days = group->retention_days()) {
    reading.expired_ms = wall_ms() - kDayMs * *days;
  } else {
    reading.expired_ms = std::numeric_limits<int64_t>::min();
  }
  auto work = [&reading] { return read_segments(reading); };
  co_return co_await state_->loop.on_worker(work);
}

Result<std::vector<LogGroupInfo>> FileFunctionLog::groups(const Realm& realm, std::string_view prefix) const {
  std::vector<LogGroupInfo> list;
  for (const auto& [key, group] : state_->groups) {
    if (key.first == realm && key.second.starts_with(prefix)) list.push_back(group->info());
  }
  return list;
}

Result<std::vector<LogStreamInfo>> FileFunctionLog::streams(const Realm& realm, const std::string& name,
                                                            std::string_view prefix) const {
  std::shared_ptr<LogGroup> group = state_->find(realm, name);
  if (!group) return no_group();
  std::vector<LogStreamInfo> list;
  for (const auto& [stream, info] : group->streams()) {
    if (stream.starts_with(prefix)) list.push_back(info);
  }
  return list;
}

Result<void> FileFunctionLog::create_group(const Realm& realm, const std::string& name) {
  CHECK(check_group_name(name));
  if (state_->find(realm, name)) return Error(Kind::AlreadyExists, "The specified log group already exists");
  TRY([[maybe_unused]] auto made, state_->make(realm, name));
  return {};
}

Result<void> FileFunctionLog::create_stream(const Realm& realm, const std::string& name,
                                            const std::string& stream) {
  std::shared_ptr<LogGroup> group = state_->find(realm, name);
  if (!group) return no_group();
  CHECK(check_stream_name(stream));
  if (group->streams().contains(stream))
    return Error(Kind::AlreadyExists, "The specified log stream already exists");
  bool was_dirty = group->is_dirty();
  group->make_stream(stream, wall_ms());
  state_->note_dirty(group, was_dirty);
  return {};
}

Result<void> FileFunctionLog::remove_stream(const Realm& realm, const std::string& name,
                                            const std::string& stream) {
  std::shared_ptr<LogGroup> group = state_->find(realm, name);
  if (!group) return no_group();
  if (!group->streams().contains(stream))
    return Error(Kind::NotFound, "The specified log stream does not exist.");
  return group->remove_stream(stream);
}

Result<void> FileFunctionLog::remove_group(const Realm& realm, const std::string& name) {
  std::shared_ptr<LogGroup> group = state_->find(realm, name);
  if (!group) return no_group();
  state_->groups.erase(State::Key(realm, name));
  std::erase(state_->dirty, group);
  group->appended.notify_all();
  return sys::remove_tree(group->directory());
}

Result<void> FileFunctionLog::set_retention(const Realm& realm, const std::string& name,
                                            std::optional<uint32_t> days) {
  std::shared_ptr<LogGroup> group = state_->find(realm, name);
  if (!group) return no_group();
  return group->set_retention(days);
}

io::Task<uint64_t> FileFunctionLog::wait_for_more(Realm realm, std::string name, uint64_t sequence) {
  while (true) {
    std::shared_ptr<LogGroup> group = state_->find(realm, name);
    if (!group) co_return sequence;
    if (group->last_sequence() > sequence) co_return group->last_sequence();
    co_await group->appended.wait();
  }
}

}  // namespace berth::functions
