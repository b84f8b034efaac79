// What was used: sums by version and day, single records, and what outlives the daemon.
#include "functions/metering/metering_store.h"

#include <gtest/gtest.h>

#include "functions/metering/budgets.h"
#include "functions/testing.h"

namespace berth::functions {
namespace {

class MeteringTest : public testing::Test {
 public:
  MeteringTest() { open(); }
  void open(uint64_t kept = 100) {
    store.reset();
    store = *MeteringStore::open(loop, folder.file("metering.db"), {.kept_records = kept});
  }
  void run(const std::string& id, const std::string& version, uint64_t billed_ms, InvocationStatus status) {
    InvocationRecord record{.function = "f", .version = version, .request_id = id, .started = now()};
    record.status = status;
    record.billed_ms = billed_ms;
    record.duration_us = billed_ms * 1000 - 500;
    record.memory_mebibytes = 128;
    record.memory_peak_bytes = billed_ms;
    record.cold.sandbox_us = 7;
    store->record(record);
  }
  std::vector<UsageRow> usage() { return *loop.run_until_complete(store->usage({})); }

  io::EventLoop loop;
  TestFolder folder;
  std::unique_ptr<MeteringStore> store;
};

TEST_F(MeteringTest, SumsByVersionAndDay) {
  run("1", "$LATEST", 10, InvocationStatus::Success);
  run("2", "$LATEST", 30, InvocationStatus::Error);
  run("3", "1", 5, InvocationStatus::Timeout);
  auto rows = usage();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].version, "$LATEST");
  EXPECT_EQ(rows[0].runs, 2u);
  EXPECT_EQ(rows[0].errors, 1u);
  EXPECT_EQ(rows[0].billed_ms, 40u);
  EXPECT_EQ(rows[0].mebibyte_ms, 40u * 128);
  EXPECT_EQ(rows[0].peak_bytes, 30u);
  EXPECT_EQ(rows[1].errors, 1u);
}

TEST_F(MeteringTest, RecordsAreFoundAndOutliveTheDaemon) {
  run("abc", "2", 10, InvocationStatus::Success);
  ASSERT_EQ(usage().size(), 1u);
  open();
  auto record = loop.run_until_complete(store->find("abc"));
  ASSERT_TRUE(record) << record.error().message();
  EXPECT_EQ(record->version, "2");
  EXPECT_EQ(record->cold.sandbox_us, 7u);
  EXPECT_EQ(loop.run_until_complete(store->find("none")).error().kind(), Kind::NotFound);
  EXPECT_EQ(store->this_month({}, "f").runs, 1u);
  EXPECT_EQ(store->this_month({}, "f").mebibyte_ms, 1280u);
}

TEST_F(MeteringTest, OldRecordsGoAndSumsStay) {
  open(2);
  for (int i = 0; i < 5; ++i) {
    run(std::to_string(i), "1", 1, InvocationStatus::Success);
    usage();
  }
  EXPECT_FALSE(loop.run_until_complete(store->find("2")));
  EXPECT_TRUE(loop.run_until_complete(store->find("4")));
  EXPECT_EQ(usage()[0].runs, 5u);
}

TEST_F(MeteringTest, ContainersCountByTheirLimitOrTheirPeak) {
  ContainerRunRecord run{.id = "x", .name = "web", .image = "app", .started = now()};
  run.finished = run.started + std::chrono::milliseconds(1000);
  run.memory_peak_bytes = 3u << 20;
  store->record(run);
  run.memory_limit_bytes = 64u << 20;
  store->record(run);
  auto rows = usage();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].kind, "container");
  EXPECT_EQ(rows[0].mebibyte_ms, 1000u * (3 + 64));
}

TEST_F(MeteringTest, ABudgetThatIsUsedUpStopsTheFunctionOnce) {
  std::map<std::string, std::string> tags{{"berth:budget", "0.000001"}, {"berth:budget-action", "stop"}};
  int told = 0;
  Budgets budgets(
      loop, *store, [&](const Realm&, const std::string&) { return budget_of(tags); },
      [&](const Realm&, const std::string&) { ++told; });
  EXPECT_FALSE(budgets.stopped({}, "f"));
  for (int i = 0; i < 3; ++i) {
    InvocationRecord record{.function = "f", .version = "1", .request_id = "r", .started = now()};
    record.billed_ms = 1000;
    record.memory_mebibytes = 1024;
    budgets.record(record);
  }
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(budgets.stopped({}, "f"));
  tags["berth:budget"] = "100";
  EXPECT_FALSE(budgets.stopped({}, "f"));
  EXPECT_FALSE(budget_of({{"berth:budget", "much"}}));
  EXPECT_FALSE(budget_of({}));
}

}  // namespace
}  // namespace berth::functions
