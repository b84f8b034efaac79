// Threads that meet at a queue: one of them works for those who wait.
#include "base/sha256_together.h"

// Its chaining value is needed, which the newer interface does not show.
#define OPENSSL_API_COMPAT 0x10100000L
#include <openssl/sha.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "base/sha256_lanes.h"

namespace berth {
namespace sha256_lanes {

Method best() {
#ifdef __x86_64__
  __builtin_cpu_init();
  // GCC 12 has no name for the SHA extensions: leaf 7, EBX bit 29.
  unsigned leaf = 7, count = 0, features = 0, data = 0;
  __asm__("cpuid" : "+a"(leaf), "=b"(features), "+c"(count), "=d"(data));
  constexpr unsigned kSha = 1u << 29;
  if ((features & kSha) != 0) return {};
  if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")) return {compress_avx512, 2};
  if (__builtin_cpu_supports("avx2")) return {compress_avx2, 3};
#endif
  return {};
}

}  // namespace sha256_lanes

namespace {

using sha256_lanes::kBlock;
using sha256_lanes::kLanes;
using sha256_lanes::Method;

struct Job {
  uint32_t* state;
  const uint8_t* message;
  size_t blocks;
  bool taken = false;  ///< it is in somebody's lanes
};

/// Blocks that are worked on before those who have come meanwhile may join.
constexpr size_t kSlice = 1024;

void hash_alone(uint32_t* state, const uint8_t* message, size_t blocks) {
  SHA256_CTX context{};
  std::copy_n(state, 8, context.h);
  SHA256_Update(&context, message, blocks * kBlock);
  std::copy_n(context.h, 8, state);
}

/// As many blocks of each as all have, at most a slice.
void hash_slice(const Method& method, const std::vector<Job*>& jobs) {
  size_t blocks = kSlice;
  for (const Job* job : jobs) blocks = std::min(blocks, job->blocks);
  if (jobs.size() < method.fewest) {
    for (Job* job : jobs) hash_alone(job->state, job->message, blocks);
  } else {
    uint32_t states[8][kLanes];
    const uint8_t* messages[kLanes];
    // A lane too many works for nothing.
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const Job& job = *jobs[std::min(lane, jobs.size() - 1)];
      for (size_t word = 0; word < 8; ++word) states[word][lane] = job.state[word];
      messages[lane] = job.message;
    }
    method.compress(states, messages, blocks);
    for (size_t lane = 0; lane < jobs.size(); ++lane) {
      for (size_t word = 0; word < 8; ++word) jobs[lane]->state[word] = states[word][lane];
    }
  }
  for (Job* job : jobs) {
    job->message += blocks * kBlock;
    job->blocks -= blocks;
  }
}

/// Work is put off while others that lately were there may come: one thread lets the processor's other
/// threads go first, so that lanes are full where processors are busy; where nothing else is to be done that
/// takes no time. Whoever works takes in those who come meanwhile, and leaves what is not done to the next
/// one when its own is.
class Meeting {
 public:
  explicit Meeting(Method method)
      : method_(method), processors_(std::max(1u, std::thread::hardware_concurrency())) {}

  void hash(Job& job) {
    std::unique_lock lock(mutex_);
    waiting_.push_back(&job);
    expected_ = std::clamp(in_work_ + waiting_.size(), expected_, kLanes);
    while (job.taken || job.blocks > 0) {
      if (job.taken || gathering_ || working_ == processors_) {
        changed_.wait(lock);
        continue;
      }
      gather(lock);
      if (!job.taken && job.blocks > 0) work_until_done(job, lock);
    }
  }

 private:
  void gather(std::unique_lock<std::mutex>& lock) {
    constexpr unsigned kPatience = 16;
    gathering_ = true;
    for (unsigned turn = 0; waiting_.size() < expected_ && turn < kPatience; ++turn) {
      lock.unlock();
      std::this_thread::yield();
      lock.lock();
    }
    gathering_ = false;
    expected_ = std::clamp<size_t>(waiting_.size(), 1, expected_);
    changed_.notify_all();
  }

  void work_until_done(Job& own, std::unique_lock<std::mutex>& lock) {
    std::vector<Job*> lanes{&own};
    own.taken = true;
    std::erase(waiting_, &own);
    ++working_;
    ++in_work_;
    while (own.blocks > 0) {
      while (lanes.size() < kLanes && !waiting_.empty()) {
        lanes.push_back(waiting_.front());
        waiting_.front()->taken = true;
        waiting_.erase(waiting_.begin());
        ++in_work_;
      }
      lock.unlock();
      hash_slice(method_, lanes);
      lock.lock();
      size_t before = lanes.size();
      for (Job* job : lanes) job->taken = job->blocks > 0;
      std::erase_if(lanes, [](const Job* job) { return !job->taken; });
      in_work_ -= before - lanes.size();
      if (lanes.size() < before) changed_.notify_all();
    }
    --working_;
    in_work_ -= lanes.size();
    for (Job* job : lanes) job->taken = false;
    waiting_.insert(waiting_.begin(), lanes.begin(), lanes.end());
    changed_.notify_all();
  }

  const Method method_;
  const unsigned processors_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Job*> waiting_;
  bool gathering_ = false;  ///< a thread lets others go first
  size_t expected_ = 1;     ///< how many are worth waiting for
  size_t in_work_ = 0;      ///< jobs
  unsigned working_ = 0;    ///< threads
};

}  // namespace

bool hashing_together_helps() {
  static const bool helps = sha256_lanes::best().compress != nullptr;
  return helps;
}

void hash_together(uint32_t (&state)[8], const uint8_t* message, size_t blocks) {
  if (!hashing_together_helps()) return hash_alone(state, message, blocks);
  Job job{.state = state, .message = message, .blocks = blocks};
  static Meeting meeting(sha256_lanes::best());
  meeting.hash(job);
}

}  // namespace berth
