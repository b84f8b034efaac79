// process_table on the test's own process.
#include "engine/process_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace berth::engine {
namespace {

TEST(ProcessTable, DefaultIsFullFormat) {
  ProcessTable table = process_table({::getpid(), 1 << 30}, "").value();
  EXPECT_EQ(table.titles,
            (std::vector<std::string>{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}));
  ASSERT_EQ(table.rows.size(), 1u);
  EXPECT_EQ(table.rows[0][1], std::to_string(::getpid()));
  EXPECT_EQ(table.rows[0][2], std::to_string(::getppid()));
}

TEST(ProcessTable, TakesTheFormsOfPs) {
  EXPECT_EQ(process_table({}, "-o pid,comm").value().titles, (std::vector<std::string>{"PID", "COMMAND"}));
  EXPECT_EQ(process_table({}, "-eo pid,args=WHAT").value().titles, (std::vector<std::string>{"PID", "WHAT"}));
  EXPECT_EQ(process_table({}, "aux").value().titles[2], "%CPU");
  EXPECT_EQ(process_table({}, "-ef").value().titles[0], "UID");
}

TEST(ProcessTable, SortsByColumns) {
  int self = ::getpid(), parent = ::getppid();
  auto pids = [&](const char* options) {
    std::vector<int> order;
    const auto table = process_table({parent, self}, options).value();
    for (const auto& row : table.rows) order.push_back(std::stoi(row[0]));
    return order;
  };
  EXPECT_EQ(pids("-o pid --sort=pid"), (std::vector<int>{std::min(self, parent), std::max(self, parent)}));
  EXPECT_EQ(pids("-o pid --sort -pid"), (std::vector<int>{std::max(self, parent), std::min(self, parent)}));
  EXPECT_EQ(pids("-o pid --sort=uid,-pid"),
            (std::vector<int>{std::max(self, parent), std::min(self, parent)}));
  EXPECT_EQ(process_table({self}, "aux --sort=comm").value().titles.size(), 11u);
  EXPECT_FALSE(process_table({}, "--sort=nothing"));
  EXPECT_FALSE(process_table({}, "aux --sort"));
}

TEST(ProcessTable, RefusesUnknownColumnsAndOptions) {
  EXPECT_FALSE(process_table({}, "-o nothing"));
  EXPECT_FALSE(process_table({}, "-Z"));
  EXPECT_FALSE(process_table({}, "-o"));
}

}  // namespace
}  // namespace berth::engine
