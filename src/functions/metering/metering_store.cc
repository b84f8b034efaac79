#include "functions/metering/metering_store.h"

#include <array>

#include "base/format.h"
#include "base/log.h"
#include "storage/database.h"
#include "storage/group_commit.h"

namespace berth::functions {
namespace {

using namespace std::chrono_literals;
using storage::Database;
using storage::Statement;

/// What a killed daemon may lose of the record.
constexpr auto kGather = 20ms;

constexpr std::array<std::string_view, 1> kSteps{R"(
  CREATE TABLE usage(
    kind TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
    day TEXT NOT NULL, runs INTEGER NOT NULL, errors INTEGER NOT NULL, duration_us INTEGER NOT NULL,
    billed_ms INTEGER NOT NULL, cpu_us INTEGER NOT NULL, mebibyte_ms INTEGER NOT NULL, peak INTEGER NOT NULL,
    PRIMARY KEY(day, kind, account, region, name, version)) WITHOUT ROWID;
  CREATE TABLE invocations(
    id INTEGER PRIMARY KEY, request_id TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL,
    function TEXT NOT NULL, version TEXT NOT NULL, started INTEGER NOT NULL, source INTEGER NOT NULL,
    status INTEGER NOT NULL, initialization INTEGER NOT NULL, duration_us INTEGER NOT NULL,
    init_us INTEGER NOT NULL, billed_ms INTEGER NOT NULL, cpu_us INTEGER NOT NULL, peak INTEGER NOT NULL,
    memory INTEGER NOT NULL, sandbox_us INTEGER NOT NULL, runtime_us INTEGER NOT NULL,
    extensions_us INTEGER NOT NULL, pooled INTEGER NOT NULL);
  CREATE INDEX invocations_request ON invocations(request_id);
)"};

std::string day_of(Timestamp time) {
  return to_rfc3339(time).substr(0, 10);
}

Result<void> add_usage(Database& database, const UsageRow& row) {
  TRY(Statement write,
      database.prepare("INSERT INTO usage VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET "
                       "runs = runs + excluded.runs, errors = errors + excluded.errors, "
                       "duration_us = duration_us + excluded.duration_us, "
                       "billed_ms = billed_ms + excluded.billed_ms, cpu_us = cpu_us + excluded.cpu_us, "
                       "mebibyte_ms = mebibyte_ms + excluded.mebibyte_ms, peak = MAX(peak, excluded.peak)"));
  write.bind(row.kind).bind(row.realm.account).bind(row.realm.region).bind(row.name).bind(row.version);
  write.bind(row.day).bind(row.runs).bind(row.errors).bind(row.duration_us).bind(row.billed_ms);
  return write.bind(row.cpu_us).bind(row.mebibyte_ms).bind(row.peak_bytes).run();
}

UsageRow usage_of(const InvocationRecord& record) {
  return {.kind = "function",
          .realm = record.realm,
          .name = record.function,
          .version = record.version,
          .day = day_of(record.started),
          .runs = 1,
          .errors = record.status == InvocationStatus::Success ? 0u : 1u,
          .duration_us = record.duration_us,
          .billed_ms = record.billed_ms,
          .cpu_us = record.cpu_us,
          .mebibyte_ms = record.billed_ms * record.memory_mebibytes,
          .peak_bytes = record.memory_peak_bytes};
}

UsageRow usage_of(const ContainerRunRecord& record) {
  auto ran =
      record.finished > record.started ? record.finished - record.started : std::chrono::nanoseconds(0);
  auto us = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(ran).count());
  uint64_t billed_ms = (us + 999) / 1000;
  uint64_t memory = record.memory_limit_bytes != 0 ? record.memory_limit_bytes : record.memory_peak_bytes;
  return {.kind = "container",
          .realm = {},
          .name = record.name,
          .version = record.image,
          .day = day_of(record.started),
          .runs = 1,
          .errors = record.exit_code == 0 ? 0u : 1u,
          .duration_us = us,
          .billed_ms = billed_ms,
          .cpu_us = record.cpu_us,
          .mebibyte_ms = billed_ms * ((memory + (1u << 20) - 1) >> 20),
          .peak_bytes = record.memory_peak_bytes};
}

Result<void> insert_record(Database& database, const InvocationRecord& record) {
  TRY(Statement write,
      database.prepare("INSERT INTO invocations VALUES(NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
  write.bind(record.request_id).bind(record.realm.account).bind(record.realm.region).bind(record.function);
  write.bind(record.version).bind(to_unix_nanoseconds(record.started)).bind(static_cast<int>(record.source));
  write.bind(static_cast<int>(record.status)).bind(static_cast<int>(record.initialization));
  write.bind(record.duration_us).bind(record.init_us).bind(record.billed_ms).bind(record.cpu_us);
  write.bind(record.memory_peak_bytes).bind(record.memory_mebibytes).bind(record.cold.sandbox_us);
  return write.bind(record.cold.runtime_us).bind(record.cold.extensions_us).bind(record.cold.pooled).run();
}

/// Sums first, so that many invocations of one function cost one row.
Result<void> write_all(Database& database, const std::vector<InvocationRecord>& records,
                       const std::vector<ContainerRunRecord>& runs, uint64_t kept) {
  std::map<std::tuple<std::string, Realm, std::string, std::string, std::string>, UsageRow> sums;
  auto add = [&](UsageRow row) {
    auto [it, fresh] = sums.try_emplace({row.kind, row.realm, row.name, row.version, row.day}, row);
    if (fresh) return;
    UsageRow& sum = it->second;
    sum.runs += row.runs;
    sum.errors += row.errors;
    sum.duration_us += row.duration_us;
    sum.billed_ms += row.billed_ms;
    sum.cpu_us += row.cpu_us;
    sum.mebibyte_ms += row.mebibyte_ms;
    sum.peak_bytes = std::max(sum.peak_bytes, row.peak_bytes);
  };
  for (const InvocationRecord& record : records) {
    CHECK(insert_record(database, record));
    add(usage_of(record));
  }
  for (const ContainerRunRecord& run : runs) add(usage_of(run));
  for (const auto& [key, row] : sums) CHECK(add_usage(database, row));
  if (records.empty()) return {};
  TRY(Statement prune,
      database.prepare("DELETE FROM invocations WHERE id <= (SELECT MAX(id) FROM invocations) - ?"));
  return prune.bind(kept).run();
}

}  // namespace

MeteringStore::MeteringStore(io::EventLoop& loop, std::unique_ptr<Database> database, Options options)
    : loop_(loop), options_(options), database_(std::move(database)) {
  commits_ = std::make_unique<storage::GroupCommit>(loop_, *database_);
}
MeteringStore::~MeteringStore() = default;

Result<std::unique_ptr<MeteringStore>> MeteringStore::open(io::EventLoop& loop, const std::string& path,
                                                           Options options) {
  TRY(auto database, Database::open(path));
  CHECK(database->migrate("metering", kSteps));
  std::unique_ptr<MeteringStore> store(new MeteringStore(loop, std::move(database), options));
  CHECK(store->load_month());
  return store;
}

Result<void> MeteringStore::load_month() {
  month_ = to_rfc3339(now()).substr(0, 7);
  TRY(Statement read,
      database_->prepare("SELECT account, region, name, SUM(mebibyte_ms), SUM(runs) FROM usage "
                         "WHERE kind = 'function' AND day >= ? GROUP BY account, region, name"));
  read.bind(month_ + "-01");
  while (true) {
    TRY(bool more, read.step());
    if (!more) return {};
    Realm realm{.account = read.text(0), .region = read.text(1)};
    month_use_[{realm, read.text(2)}] = {static_cast<uint64_t>(read.integer(3)),
                                         static_cast<uint64_t>(read.integer(4))};
  }
}

MeteringStore::MonthUse MeteringStore::this_month(const Realm& realm, const std::string& function) const {
  if (to_rfc3339(now()).substr(0, 7) > month_) return {};  // nothing yet in a new month
  auto it = month_use_.find({realm, function});
  return it == month_use_.end() ? MonthUse{} : it->second;
}

void MeteringStore::record(const InvocationRecord& record) {
  std::string month = to_rfc3339(record.started).substr(0, 7);
  if (month > month_) {
    month_ = month;
    month_use_.clear();
  }
  MonthUse& use = month_use_[{record.realm, record.function}];
  use.mebibyte_ms += record.billed_ms * record.memory_mebibytes;
  ++use.runs;
  pending_.push_back(record);
  schedule_flush();
}

void MeteringStore::record(const ContainerRunRecord& record) {
  pending_runs_.push_back(record);
  schedule_flush();
}

void MeteringStore::schedule_flush() {
  if (flushing_) return;
  flushing_ = true;
  tasks_.spawn(flush_soon());
}

io::Task<void> MeteringStore::flush_soon() {
  co_await loop_.sleep_for(kGather);
  flushing_ = false;
  auto records = std::make_shared<std::vector<InvocationRecord>>(std::move(pending_));
  auto runs = std::make_shared<std::vector<ContainerRunRecord>>(std::move(pending_runs_));
  pending_.clear();
  pending_runs_.clear();
  auto work = [records, runs, kept = options_.kept_records](Database& database) {
    return write_all(database, *records, *runs, kept);
  };
  auto written = co_await commits_->run(std::move(work));
  if (!written) log::error("metering: {} records are lost: {}", records->size(), written.error().message());
}

io::Task<Result<std::vector<UsageRow>>> MeteringStore::usage(Query query) {
  while (flushing_) co_await loop_.sleep_for(kGather);
  auto work = [query = std::move(query)](Database& database) -> Result<std::vector<UsageRow>> {
    TRY(Statement read, database.prepare("SELECT kind, account, region, name, version, day, runs, errors, "
                                         "duration_us, billed_ms, cpu_us, mebibyte_ms, peak FROM usage WHERE "
                                         "day >= ? AND day <= ? ORDER BY day, kind, name, version"));
    read.bind(query.from_day).bind(query.until_day.empty() ? "9999" : query.until_day);
    std::vector<UsageRow> rows;
    while (true) {
      TRY(bool more, read.step());
      if (!more) return rows;
      auto number = [&](int column) { return static_cast<uint64_t>(read.integer(column)); };
      rows.push_back({.kind = read.text(0),
                      .realm = {.account = read.text(1), .region = read.text(2)},
                      .name = read.text(3),
                      .version = read.text(4),
                      .day = read.text(5),
                      .runs = number(6),
                      .errors = number(7),
                      .duration_us = number(8),
                      .billed_ms = number(9),
                      .cpu_us = number(10),
                      .mebibyte_ms = number(11),
                      .peak_bytes = number(12)});
    }
  };
  co_return co_await commits_->run(std::move(work));
}

io::Task<Result<InvocationRecord>> MeteringStore::find(std::string request_id) {
  while (flushing_) co_await loop_.sleep_for(kGather);
  auto work = [id = std::move(request_id)](Database& database) -> Result<InvocationRecord> {
    // Retried events have one id: the last attempt is the one that is asked for.
    TRY(Statement read,
        database.prepare(
            "SELECT account, region, function, version, started, source, status, initialization, "
            "duration_us, init_us, billed_ms, cpu_us, peak, memory, sandbox_us, runtime_us, "
            "extensions_us, pooled FROM invocations WHERE request_id = ? ORDER BY id DESC LIMIT 1"));
    TRY(bool found, read.bind(id).step());
    if (!found) {
      return failure(Kind::NotFound,
                     "no record of request {}: it never ran, or it is longer ago than records are kept",
                     id.substr(0, 100));
    }
    auto number = [&](int column) { return static_cast<uint64_t>(read.integer(column)); };
    InvocationRecord record;
    record.realm = {.account = read.text(0), .region = read.text(1)};
    record.function = read.text(2);
    record.version = read.text(3);
    record.request_id = id;
    record.started = from_unix_nanoseconds(read.integer(4));
    record.source = static_cast<InvocationSource>(number(5));
    record.status = static_cast<InvocationStatus>(number(6));
    record.initialization = static_cast<InitializationType>(number(7));
    record.duration_us = number(8);
    record.init_us = number(9);
    record.billed_ms = number(10);
    record.cpu_us = number(11);
    record.memory_peak_bytes = number(12);
    record.memory_mebibytes = static_cast<uint32_t>(number(13));
    record.cold = {.sandbox_us = number(14),
                   .runtime_us = number(15),
                   .extensions_us = number(16),
                   .pooled = number(17) != 0};
    return record;
  };
  co_return co_await commits_->run(std::move(work));
}

}  // namespace berth::functions
