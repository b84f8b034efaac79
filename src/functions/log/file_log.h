// FileFunctionLog: the log groups of functions as files: per group a folder of segments, each a run of
// records (record.h), the oldest given up when the group has grown to its bound. What append() takes is
// written by flush(), at the latest after a few milliseconds, so that a killed daemon loses no line whose
// invocation was answered. Streams are names within the records, not files of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "functions/function_log.h"

namespace berth::functions {

class FileFunctionLog final : public FunctionLog {
 public:
  struct Options {
    std::string directory;              ///< data-root/functions/logs; made if missing
    uint64_t segment_bytes = 8u << 20;  ///< of one file
    unsigned segments = 4;              ///< files kept per group, the current one included
  };
  /// Reads the names of groups; a group's files are read when it is first asked for or appended to.
  static Result<std::unique_ptr<FileFunctionLog>> open(io::EventLoop& loop, Options options);
  ~FileFunctionLog() override;

  void append(const Realm& realm, const std::string& group, const std::string& stream, int64_t time_ms,
              std::string_view message) override;
  void flush() override;
  io::Task<Result<std::vector<LogEvent>>> read(Realm realm, LogQuery query) override;
  Result<std::vector<LogGroupInfo>> groups(const Realm& realm, std::string_view prefix) const override;
  Result<std::vector<LogStreamInfo>> streams(const Realm& realm, const std::string& group,
                                             std::string_view prefix) const override;
  Result<void> create_group(const Realm& realm, const std::string& group) override;
  Result<void> create_stream(const Realm& realm, const std::string& group,
                             const std::string& stream) override;
  Result<void> remove_stream(const Realm& realm, const std::string& group,
                             const std::string& stream) override;
  Result<void> remove_group(const Realm& realm, const std::string& group) override;
  Result<void> set_retention(const Realm& realm, const std::string& group,
                             std::optional<uint32_t> days) override;
  io::Task<uint64_t> wait_for_more(Realm realm, std::string group, uint64_t sequence) override;

 private:
  struct State;
  explicit FileFunctionLog(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace berth::functions
