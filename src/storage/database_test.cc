// Database: rows, transactions, migrations, damaged files, threads.
#include "storage/database.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "storage/testing.h"
#include "sys/file.h"

namespace berth::storage {
namespace {

class DatabaseTest : public testing::Test {
 protected:
  std::unique_ptr<Database> open() {
    auto database = Database::open(path_);
    EXPECT_TRUE(database) << database.error().message();
    return std::move(*database);
  }
  TempDir directory_;
  std::string path_ = directory_.path() + "/state.db";
};

TEST_F(DatabaseTest, StoresAndReadsBack) {
  auto database = open();
  ASSERT_TRUE(database->execute("CREATE TABLE t(a TEXT PRIMARY KEY, b INTEGER, c BLOB, d TEXT)"));
  {
    auto insert = database->prepare("INSERT INTO t VALUES(?, ?, ?, ?)");
    ASSERT_TRUE(insert);
    ASSERT_TRUE(insert->bind("x")
                    .bind(7u)
                    .bind_blob(std::string_view("\0\1", 2))
                    .bind(std::optional<std::string>())
                    .run());
  }
  auto select = database->prepare("SELECT a, b, c, d FROM t");
  ASSERT_TRUE(select);
  ASSERT_TRUE(*select->step());
  EXPECT_EQ(select->text(0), "x");
  EXPECT_EQ(select->integer(1), 7);
  EXPECT_EQ(select->blob(2).size(), 2u);
  EXPECT_TRUE(select->is_null(3));
  EXPECT_FALSE(*select->step());
  auto again = database->prepare("INSERT INTO t(a) VALUES('x')");
  EXPECT_EQ(again->run().error().kind(), Kind::AlreadyExists);
}

TEST_F(DatabaseTest, TransactionsRollBackAndNest) {
  auto database = open();
  ASSERT_TRUE(database->execute("CREATE TABLE t(a INTEGER)"));
  auto count = [&] {
    auto select = database->prepare("SELECT count(*) FROM t");
    return *select->step() ? select->integer(0) : -1;
  };
  {
    auto outer = database->begin();
    ASSERT_TRUE(outer);
    ASSERT_TRUE(database->execute("INSERT INTO t VALUES(1)"));
    {
      auto inner = database->begin();
      ASSERT_TRUE(inner);
      ASSERT_TRUE(database->execute("INSERT INTO t VALUES(2)"));
    }
    EXPECT_EQ(count(), 1);
    ASSERT_TRUE(outer->commit());
  }
  {
    auto outer = database->begin();
    ASSERT_TRUE(database->execute("DELETE FROM t"));
  }
  EXPECT_EQ(count(), 1);
}

TEST_F(DatabaseTest, MigratesOnceAndRefusesNewer) {
  constexpr std::array<std::string_view, 2> steps = {"CREATE TABLE a(x)", "ALTER TABLE a ADD COLUMN y"};
  {
    auto database = open();
    ASSERT_TRUE(database->migrate("part", std::span(steps).first(1)));
    ASSERT_TRUE(database->migrate("part", steps));
    ASSERT_TRUE(database->migrate("part", steps));
    EXPECT_EQ(database->migrate("part", std::span(steps).first(1)).error().kind(), Kind::Unsupported);
    ASSERT_TRUE(database->execute("INSERT INTO a(x, y) VALUES(1, 2); PRAGMA user_version=99"));
  }
  auto newer = Database::open(path_);
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().kind(), Kind::Unsupported);
}

TEST_F(DatabaseTest, SaysThatAFileIsDamaged) {
  ASSERT_TRUE(sys::write_file_atomic(path_, std::string(8192, 'x')));
  auto database = Database::open(path_);
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().kind(), Kind::Corrupt);
  EXPECT_NE(database.error().message().find(path_), std::string::npos);
}

TEST_F(DatabaseTest, SerialisesThreads) {
  auto database = open();
  ASSERT_TRUE(database->execute("CREATE TABLE t(a INTEGER)"));
  auto work = [&] {
    for (int i = 0; i < 50; ++i) {
      auto transaction = database->begin();
      ASSERT_TRUE(transaction) << transaction.error().message();
      int64_t seen = 0;
      {
        auto select = database->prepare("SELECT count(*) FROM t");
        ASSERT_TRUE(*select->step());
        seen = select->integer(0);
      }
      auto insert = database->prepare("INSERT INTO t VALUES(?)");
      ASSERT_TRUE(insert->bind(seen).run());
      ASSERT_TRUE(transaction->commit());
    }
  };
  {
    std::jthread a(work);
    std::jthread b(work);
  }
  auto select = database->prepare("SELECT count(DISTINCT a) FROM t");
  ASSERT_TRUE(*select->step());
  EXPECT_EQ(select->integer(0), 100);
}

}  // namespace
}  // namespace berth::storage
