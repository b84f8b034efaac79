// The worker's side of group commit.
#include "storage/group_commit.h"

#include <algorithm>

namespace berth::storage {
namespace {

/// Pieces of one transaction: enough to share the fsync, few enough that nobody waits long.
constexpr size_t kMaxBatch = 1024;

}  // namespace

void GroupCommit::submit(std::shared_ptr<Job> job) {
  pending_.push_back(std::move(job));
  if (working_) return;
  working_ = true;
  tasks_.spawn(work_off());
}

io::Task<void> GroupCommit::work_off() {
  while (!pending_.empty()) {
    size_t count = std::min(pending_.size(), kMaxBatch);
    Batch batch(std::make_move_iterator(pending_.begin()),
                std::make_move_iterator(pending_.begin() + static_cast<ptrdiff_t>(count)));
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(count));
    auto work = [this, &batch] { commit(database_, batch); };
    co_await loop_.on_worker(work);
    for (auto& job : batch) job->done.set();
  }
  working_ = false;
  idle_.notify_all();
}

void GroupCommit::commit(Database& database, const Batch& batch) {
  auto whole = database.begin();
  if (!whole) {
    for (auto& job : batch) job->fail(whole.error());
    return;
  }
  for (const auto& job : batch) {
    auto part = database.begin();
    if (!part) {
      job->fail(part.error());
      continue;
    }
    if (!job->perform(database)) continue;  // `part` rolls back
    if (auto kept = part->commit(); !kept) job->fail(kept.error());
  }
  if (auto committed = whole->commit(); !committed) {
    for (const auto& job : batch) job->fail(committed.error());
  }
}

io::Task<void> GroupCommit::settled() {
  while (working_) co_await idle_.wait();
}

}  // namespace berth::storage
