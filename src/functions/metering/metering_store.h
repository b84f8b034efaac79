// MeteringStore: what was used: a record of every invocation for a while, and sums by function, version and
// day for ever (they are small). A database of its own, written in batches a few milliseconds after the fact.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "functions/metering.h"
#include "io/event_loop.h"
#include "io/task.h"
#include "io/task_group.h"

namespace berth::storage {
class Database;
class GroupCommit;
}  // namespace berth::storage

namespace berth::functions {

/// What one version of a function, or one container image, has used on one day.
struct UsageRow {
  std::string kind;  ///< "function" or "container"
  Realm realm;
  std::string name, version;  ///< version: of a container its image
  std::string day;            ///< UTC, "2026-11-28"
  uint64_t runs = 0, errors = 0;
  uint64_t duration_us = 0, billed_ms = 0, cpu_us = 0;
  uint64_t mebibyte_ms = 0;  ///< billed milliseconds times memory
  uint64_t peak_bytes = 0;
};

/// One run of a container, from start to exit.
struct ContainerRunRecord {
  std::string id, name, image;
  Timestamp started, finished;
  uint64_t cpu_us = 0, memory_peak_bytes = 0;
  uint64_t memory_limit_bytes = 0;  ///< 0: none; then the peak counts
  int exit_code = 0;
};

class MeteringStore final : public MeteringSink {
 public:
  struct Options {
    uint64_t kept_records = 200'000;
  };
  /// `path`: data-root/functions/metering.db
  static Result<std::unique_ptr<MeteringStore>> open(io::EventLoop& loop, const std::string& path,
                                                     Options options);
  ~MeteringStore() override;

  void record(const InvocationRecord& record) override;
  void record(const ContainerRunRecord& record);

  struct Query {
    std::string from_day = {}, until_day = {};  ///< inclusive; empty: open
  };
  io::Task<Result<std::vector<UsageRow>>> usage(Query query);
  /// NotFound: no such request, or so long ago that its record is gone.
  io::Task<Result<InvocationRecord>> find(std::string request_id);
  /// What a function has used since the first of the month: billed mebibyte-milliseconds and requests. For
  /// budgets.
  struct MonthUse {
    uint64_t mebibyte_ms = 0, runs = 0;
  };
  MonthUse this_month(const Realm& realm, const std::string& function) const;

 private:
  MeteringStore(io::EventLoop& loop, std::unique_ptr<storage::Database> database, Options options);
  Result<void> load_month();
  void schedule_flush();
  io::Task<void> flush_soon();

  io::EventLoop& loop_;
  Options options_;
  std::unique_ptr<storage::Database> database_;
  std::unique_ptr<storage::GroupCommit> commits_;
  std::vector<InvocationRecord> pending_;
  std::vector<ContainerRunRecord> pending_runs_;
  bool flushing_ = false;
  std::string month_;
  std::map<std::pair<Realm, std::string>, MonthUse> month_use_;
  io::TaskGroup tasks_;
};

}  // namespace berth::functions
