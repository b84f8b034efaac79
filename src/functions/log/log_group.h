// LogGroup: the files of one group: a description (group.json) and segments, named after the sequence number
// of their first record. Sequence numbers are microseconds of the wall clock, made to rise, so that appending
// needs no look at older segments. Private to log/.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "functions/function_log.h"
#include "functions/log/record.h"
#include "io/sync.h"
#include "sys/fd.h"

namespace berth::functions {

struct LogSegment {
  uint64_t first_sequence = 0;
  uint64_t bytes = 0;
  int64_t written_ms = 0;  ///< of its last record, or of the file's last change
};

/// A segment to read, by value: for a worker thread.
struct SegmentToRead {
  std::string path;
  uint64_t bytes;
};

class LogGroup {
 public:
  struct Bounds {
    uint64_t segment_bytes;
    unsigned segments;
  };
  /// A new group; the directory is made.
  static Result<std::unique_ptr<LogGroup>> create(std::string directory, Realm realm, std::string name,
                                                  Bounds bounds);
  /// One that is there. Corrupt when it cannot be understood.
  static Result<std::unique_ptr<LogGroup>> open(std::string directory, Bounds bounds);

  const Realm& realm() const { return realm_; }
  const std::string& name() const { return name_; }
  const std::string& directory() const { return directory_; }
  LogGroupInfo info() const;
  std::optional<uint32_t> retention_days() const { return retention_days_; }
  Result<void> set_retention(std::optional<uint32_t> days);

  /// Into the buffer.
  void append(const std::string& stream, int64_t time_ms, int64_t now_ms, std::string_view message);
  void make_stream(const std::string& stream, int64_t now_ms);
  /// What the stream holds so far is left out from now on; its bytes go with their segments.
  Result<void> remove_stream(const std::string& stream);
  /// Streams that were removed, and the sequence up to which their records do not count.
  const std::map<std::string, uint64_t, std::less<>>& removed_streams() const { return removed_; }
  /// The buffer to the file.
  Result<void> flush();
  bool is_dirty() const { return !buffer_.empty(); }
  size_t buffered() const { return buffer_.size(); }
  bool holds_file() const { return static_cast<bool>(file_); }
  void close_file() { file_.reset(); }

  uint64_t last_sequence() const { return last_sequence_; }
  /// Segments that may hold records after `sequence`, oldest first. Flush before.
  std::vector<SegmentToRead> segments_after(uint64_t sequence) const;
  /// Known after the first call, which reads the segments (32 MiB at most, page cache as a rule).
  const std::map<std::string, LogStreamInfo>& streams();

  io::Condition appended;

 private:
  LogGroup(std::string directory, Bounds bounds) : directory_(std::move(directory)), bounds_(bounds) {}
  Result<void> save() const;
  Result<void> find_segments();
  Result<void> begin_segment();
  void drop_old_segments();
  void note(const LogRecord& record);
  uint64_t next_sequence();
  std::string path_of(uint64_t first_sequence) const;

  std::string directory_;
  Bounds bounds_;
  Realm realm_;
  std::string name_;
  int64_t created_ms_ = 0;
  std::optional<uint32_t> retention_days_;
  std::map<std::string, uint64_t, std::less<>> removed_;
  std::vector<LogSegment> segments_;  ///< oldest first
  std::optional<std::map<std::string, LogStreamInfo>> streams_;
  uint64_t last_sequence_ = 0;
  std::string buffer_;
  uint64_t buffer_first_ = 0;  ///< sequence of the buffer's first record
  int64_t buffer_ms_ = 0;
  sys::UniqueFd file_;  ///< of the last segment, if this process began it
  bool own_segment_ = false;
};

}  // namespace berth::functions
