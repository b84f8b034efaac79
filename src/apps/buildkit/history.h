// History: the builds that were asked for, as docker buildx history shows them: one file for each in a
// directory of the engine's, so that they outlive this process; bounded in number and bytes, the oldest that
// nobody has pinned go first. Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <control.pb.h>
#include "base/digest.h"
#include "base/result.h"

namespace berth::buildkit {

struct HistoryLimits {
  size_t max_builds = 100;
  size_t max_pinned = 50;
  uint64_t max_bytes = uint64_t{64} << 20;   ///< of all files
  size_t max_build_bytes = size_t{4} << 20;  ///< of one: its log is cut off, the rest stays
};

class History {
 public:
  using Record = moby::buildkit::v1::BuildHistoryRecord;
  using Event = moby::buildkit::v1::BuildHistoryEvent;
  using Status = moby::buildkit::v1::StatusResponse;

  /// `directory` is made when it is missing; files in it that are no builds are removed. Empty: nothing is
  /// kept but in memory.
  explicit History(std::string directory, HistoryLimits limits = {});

  void begin(Record record);
  /// The build has ended. `blobs` are what the record's descriptors name. A failure to write is told on
  /// standard error: the build itself is not at fault.
  void complete(Record record, std::vector<Status> progress, std::vector<std::string> blobs);

  /// NotFound: no such build. WrongState: it runs. Exhausted: too many are pinned.
  Result<void> remove(const std::string& ref);
  Result<void> pin(const std::string& ref, bool pinned);
  bool contains(const std::string& ref) const;

  /// The progress of a build that has ended. NotFound.
  Result<std::vector<Status>> progress(const std::string& ref) const;
  /// A blob of any record. NotFound.
  Result<std::string> blob(const Digest& digest) const;

  struct Query {
    std::string ref = {};
    bool active_only = false;
    bool early_exit = false;  ///< what there is, and nothing that comes
    size_t limit = 0;         ///< the newest; 0: all
    /// Called when nothing that happens from then on is missed.
    std::function<void()> subscribed = {};
  };
  /// Tells what there is, oldest first, then what happens, until `send` returns false or `cancelled` true.
  void listen(const Query& query, const std::function<bool(const Event&)>& send,
              const std::function<bool()>& cancelled);

 private:
  struct Entry {
    Record record;
    bool active = false;
    uint64_t bytes = 0;
    std::vector<std::string> blobs = {};  ///< digests
  };
  void load();
  void announce(moby::buildkit::v1::BuildHistoryEventType type, const Record& record);
  void make_room();
  void forget(const std::string& ref);
  std::string path_of(const std::string& ref) const;
  std::vector<Event> present(const Query& query) const;

  std::string directory_;
  HistoryLimits limits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Entry> builds_;  ///< by ref
  std::deque<Event> events_;             ///< the last ones
  uint64_t announced_ = 0;               ///< events so far
};

}  // namespace berth::buildkit
