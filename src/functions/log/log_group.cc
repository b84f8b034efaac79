// Files of one log group.
#include "functions/log/log_group.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "sys/file.h"

namespace berth::functions {
namespace {

constexpr std::string_view kSuffix = ".log";
constexpr int64_t kDayMs = 86'400'000;

int64_t wall_ms() {
  return to_unix_nanoseconds(berth::now()) / 1'000'000;
}

}  // namespace

Result<std::unique_ptr<LogGroup>> LogGroup::create(std::string directory, Realm realm, std::string name,
                                                   Bounds bounds) {
  std::unique_ptr<LogGroup> group(new LogGroup(std::move(directory), bounds));
  group->realm_ = std::move(realm);
  group->name_ = std::move(name);
  group->created_ms_ = wall_ms();
  group->streams_.emplace();
  CHECK(sys::make_dirs(group->directory_, 0700));
  CHECK(group->save());
  return group;
}

Result<std::unique_ptr<LogGroup>> LogGroup::open(std::string directory, Bounds bounds) {
  std::unique_ptr<LogGroup> group(new LogGroup(std::move(directory), bounds));
  TRY(std::string text, sys::read_file(group->directory_ + "/group.json", 64 << 20));
  TRY(Json document, parse_json(text));
  TRY(group->realm_.account, json_string(document, "account"));
  TRY(group->realm_.region, json_string(document, "region"));
  TRY(group->name_, json_string(document, "name"));
  TRY(group->created_ms_, json_int(document, "created"));
  TRY(int64_t retention, json_int(document, "retention_days"));
  if (retention > 0) group->retention_days_ = static_cast<uint32_t>(retention);
  if (auto removed = document.find("removed_streams"); removed != document.end() && removed->is_object()) {
    for (const auto& [stream, sequence] : removed->items()) {
      if (sequence.is_number_unsigned()) group->removed_[stream] = sequence.get<uint64_t>();
    }
  }
  if (group->name_.empty()) return failure(Kind::Corrupt, "log group in {} has no name", group->directory_);
  CHECK(group->find_segments());
  group->drop_old_segments();
  return group;
}

Result<void> LogGroup::save() const {
  Json document = {{"account", realm_.account},
                   {"region", realm_.region},
                   {"name", name_},
                   {"created", created_ms_},
                   {"retention_days", retention_days_.value_or(0)}};
  if (!removed_.empty()) document["removed_streams"] = removed_;
  return sys::write_file_atomic(directory_ + "/group.json", to_json(document), 0600);
}

Result<void> LogGroup::find_segments() {
  TRY(auto entries, sys::list_dir(directory_));
  for (const sys::DirEntry& entry : entries) {
    std::string_view name = entry.name;
    if (!name.ends_with(kSuffix)) continue;
    name.remove_suffix(kSuffix.size());
    LogSegment segment;
    auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), segment.first_sequence);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    struct stat status {};
    if (::stat((directory_ + "/" + entry.name).c_str(), &status) != 0) continue;
    segment.bytes = static_cast<uint64_t>(status.st_size);
    segment.written_ms = int64_t{status.st_mtim.tv_sec} * 1000;
    segments_.push_back(segment);
  }
  std::sort(segments_.begin(), segments_.end(),
            [](const auto& a, const auto& b) { return a.first_sequence < b.first_sequence; });
  return {};
}

LogGroupInfo LogGroup::info() const {
  uint64_t bytes = buffer_.size();
  for (const LogSegment& segment : segments_) bytes += segment.bytes;
  return {.name = name_, .created_ms = created_ms_, .stored_bytes = bytes, .retention_days = retention_days_};
}

Result<void> LogGroup::set_retention(std::optional<uint32_t> days) {
  retention_days_ = days;
  drop_old_segments();
  return save();
}

std::string LogGroup::path_of(uint64_t first_sequence) const {
  return fmt::format("{}/{:020}{}", directory_, first_sequence, kSuffix);
}

uint64_t LogGroup::next_sequence() {
  auto clock = static_cast<uint64_t>(to_unix_nanoseconds(berth::now()) / 1000);
  last_sequence_ = std::max(last_sequence_ + 1, clock);
  // A clock that was set back must not put new records before old ones.
  if (!segments_.empty()) last_sequence_ = std::max(last_sequence_, segments_.back().first_sequence + 1);
  return last_sequence_;
}

void LogGroup::note(const LogRecord& record) {
  if (!streams_) return;
  if (auto gone = removed_.find(record.stream); gone != removed_.end() && record.sequence <= gone->second)
    return;
  LogStreamInfo& stream = (*streams_)[std::string(record.stream)];
  if (stream.name.empty()) {
    stream.name = record.stream;
    stream.created_ms = record.ingestion_ms;
  }
  if (record.kind != LogRecordKind::Event) return;
  if (stream.first_ms == 0 || record.time_ms < stream.first_ms) stream.first_ms = record.time_ms;
  stream.last_ms = std::max(stream.last_ms, record.time_ms);
  stream.last_ingestion_ms = record.ingestion_ms;
  stream.stored_bytes += record.message.size();
}

void LogGroup::append(const std::string& stream, int64_t time_ms, int64_t now_ms, std::string_view message) {
  do {
    LogRecord record{.sequence = next_sequence(),
                     .time_ms = time_ms,
                     .ingestion_ms = now_ms,
                     .stream = stream,
                     .message = message.substr(0, kMaxLogMessage)};
    if (buffer_.empty()) buffer_first_ = record.sequence;
    append_log_record(buffer_, record);
    note(record);
    message.remove_prefix(record.message.size());
  } while (!message.empty());
  buffer_ms_ = now_ms;
}

void LogGroup::make_stream(const std::string& stream, int64_t now_ms) {
  LogRecord record{.kind = LogRecordKind::StreamMade,
                   .sequence = next_sequence(),
                   .time_ms = now_ms,
                   .ingestion_ms = now_ms,
                   .stream = stream,
                   .message = {}};
  if (buffer_.empty()) buffer_first_ = record.sequence;
  append_log_record(buffer_, record);
  note(record);
  buffer_ms_ = now_ms;
}

Result<void> LogGroup::remove_stream(const std::string& stream) {
  CHECK(flush());
  // Those whose records have gone with their segments need no mark.
  uint64_t first = segments_.empty() ? UINT64_MAX : segments_.front().first_sequence;
  std::erase_if(removed_, [first](const auto& gone) { return gone.second < first; });
  removed_[stream] = next_sequence();
  if (streams_) streams_->erase(stream);
  return save();
}

Result<void> LogGroup::begin_segment() {
  file_.reset();
  std::string path = path_of(buffer_first_);
  file_ = sys::UniqueFd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (!file_) return Error::from_errno("open", path, errno);
  segments_.push_back({.first_sequence = buffer_first_, .bytes = 0, .written_ms = buffer_ms_});
  own_segment_ = true;
  drop_old_segments();
  return {};
}

Result<void> LogGroup::flush() {
  if (buffer_.empty()) return {};
  // A segment of an earlier process may end in a torn record: it is left as it is.
  bool fits =
      own_segment_ && !segments_.empty() && segments_.back().bytes + buffer_.size() <= bounds_.segment_bytes;
  if (!fits) {
    CHECK(begin_segment());
  } else if (!file_) {
    std::string path = path_of(segments_.back().first_sequence);
    file_ = sys::UniqueFd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    if (!file_) return Error::from_errno("open", path, errno);
  }
  Result<void> written = sys::write_all(file_.get(), buffer_);
  if (!written) {
    // A disk that is full loses lines rather than memory; what was half written ends this segment.
    own_segment_ = false;
    buffer_.clear();
    return written;
  }
  segments_.back().bytes += buffer_.size();
  segments_.back().written_ms = buffer_ms_;
  buffer_.clear();
  if (buffer_.capacity() > (64u << 10)) buffer_.shrink_to_fit();
  return {};
}

void LogGroup::drop_old_segments() {
  int64_t expired = retention_days_ ? wall_ms() - kDayMs * *retention_days_ : 0;
  size_t before = segments_.size();
  while (!segments_.empty()) {
    bool current = own_segment_ && segments_.size() == 1;
    bool too_many = segments_.size() > bounds_.segments;
    bool too_old = segments_.front().written_ms < expired;
    if (current || !(too_many || too_old)) break;
    ::unlink(path_of(segments_.front().first_sequence).c_str());
    segments_.erase(segments_.begin());
  }
  // Streams whose last event is gone are forgotten the next time somebody asks.
  if (segments_.size() != before && !segments_.empty()) streams_.reset();
}

std::vector<SegmentToRead> LogGroup::segments_after(uint64_t sequence) const {
  std::vector<SegmentToRead> wanted;
  for (size_t i = 0; i < segments_.size(); ++i) {
    bool before = i + 1 < segments_.size() && segments_[i + 1].first_sequence <= sequence + 1;
    if (!before) wanted.push_back({path_of(segments_[i].first_sequence), segments_[i].bytes});
  }
  return wanted;
}

const std::map<std::string, LogStreamInfo>& LogGroup::streams() {
  if (streams_) return *streams_;
  if (auto flushed = flush(); !flushed) log::warn("log group {}: {}", name_, flushed.error().message());
  streams_.emplace();
  for (const SegmentToRead& segment : segments_after(0)) {
    auto bytes = sys::read_file(segment.path, 256u << 20);
    if (!bytes) continue;
    LogRecordReader reader(*bytes);
    while (auto record = reader.next()) note(*record);
  }
  return *streams_;
}

}  // namespace berth::functions
