// For tests of what lies in queue.db: a clock that is moved by hand, and a database of its own with queues
// that can be closed and opened again, as a killed daemon would find it.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/clock.h"
#include "functions/queues/queues.h"
#include "io/event_loop.h"
#include "storage/database.h"
#include "storage/group_commit.h"

namespace berth::functions {

class HandClock final : public Clock {
 public:
  Timestamp now() const override { return from_unix_nanoseconds(ms * 1'000'000); }
  int64_t ms = 1'700'000'000'000;
};

/// A folder below /tmp, gone with the object.
class TestFolder {
 public:
  TestFolder() {
    char name[] = "/tmp/berth-functions.XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class QueueDatabase {
 public:
  QueueDatabase() { open(); }

  void open() {
    database = *storage::Database::open(folder.file("queue.db"));
    commits = std::make_unique<storage::GroupCommit>(loop, *database);
    queues = *queues::Queues::open(loop, *database, *commits, limits, clock);
  }
  void close() {
    queues.reset();
    commits.reset();
    database.reset();
  }
  /// Runs what is ready, and what follows from it.
  void settle() {
    auto turns = [](QueueDatabase& all) -> io::Task<void> {
      for (int i = 0; i < 20; ++i) {
        co_await all.loop.yield();
        co_await all.commits->settled();
      }
    };
    loop.run_until_complete(turns(*this));
  }
  std::vector<queues::Message> take(const std::string& queue, int64_t wait_seconds = 0) {
    return *loop.run_until_complete(
        queues->receive({{}, queue}, {.max_messages = 10, .wait_seconds = wait_seconds}));
  }

  io::EventLoop loop;
  HandClock clock;
  queues::QueueLimits limits;
  TestFolder folder;
  std::unique_ptr<storage::Database> database;
  std::unique_ptr<storage::GroupCommit> commits;
  std::unique_ptr<queues::Queues> queues;
};

}  // namespace berth::functions
