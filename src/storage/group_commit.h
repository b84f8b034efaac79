// GroupCommit: work on a database asked for by coroutines of the loop thread and done by a worker thread,
// many pieces in one transaction, so that they share one fsync. Whoever awaits a piece knows afterwards that
// it is on disk (with synchronous=FULL). Pieces run one after the other, in the order in which they were
// asked for.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/sync.h"
#include "io/task_group.h"
#include "storage/database.h"

namespace berth::storage {

class GroupCommit {
 public:
  /// `database` must be used through this object alone once the first piece of work has been handed in.
  GroupCommit(io::EventLoop& loop, Database& database) : loop_(loop), database_(database) {}
  GroupCommit(const GroupCommit&) = delete;

  /// Runs `work(Database&)`, which returns a Result, on a worker. If it returns an error, what it did is
  /// undone and the other pieces of the same transaction stay. `work` may run although nobody waits any more,
  /// so it owns what it uses. (Name lambdas that capture strings before the co_await: g++ 12.)
  template <class F>
  auto run(F work) -> io::Task<std::invoke_result_t<F&, Database&>>;

  /// The same for whom nobody waits; errors are dropped.
  template <class F>
  void post(F work);

  /// Returns when all that has been handed in so far is done.
  io::Task<void> settled();

 private:
  class Job {
   public:
    virtual ~Job() = default;
    virtual bool perform(Database& database) = 0;
    virtual void fail(const Error& error) = 0;
    io::Event done;
  };
  template <class F>
  class JobOf;
  using Batch = std::vector<std::shared_ptr<Job>>;

  void submit(std::shared_ptr<Job> job);
  io::Task<void> work_off();
  static void commit(Database& database, const Batch& batch);

  io::EventLoop& loop_;
  Database& database_;
  std::deque<std::shared_ptr<Job>> pending_;
  bool working_ = false;
  io::Condition idle_;
  io::TaskGroup tasks_;
};

template <class F>
class GroupCommit::JobOf final : public Job {
 public:
  using R = std::invoke_result_t<F&, Database&>;
  explicit JobOf(F work) : work_(std::move(work)) {}
  bool perform(Database& database) override {
    result.emplace(work_(database));
    return result->has_value();
  }
  void fail(const Error& error) override {
    if (!result || result->has_value()) result.emplace(error);
  }
  std::optional<R> result;

 private:
  F work_;
};

template <class F>
auto GroupCommit::run(F work) -> io::Task<std::invoke_result_t<F&, Database&>> {
  auto job = std::make_shared<JobOf<F>>(std::move(work));
  submit(job);
  co_await job->done.wait();
  co_return std::move(*job->result);
}

template <class F>
void GroupCommit::post(F work) {
  submit(std::make_shared<JobOf<F>>(std::move(work)));
}

}  // namespace berth::storage
