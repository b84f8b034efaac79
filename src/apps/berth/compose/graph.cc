#include "apps/berth/compose/graph.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace berth::cli::compose {
namespace {

class Run {
 public:
  Run(const Graph& graph, const std::function<Outcome<void>(const std::string&)>& work)
      : graph_(graph), work_(work) {
    for (const auto& [name, dependencies] : graph) waiting_.insert(name);
  }

  void worker() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return failure_ || waiting_.empty() || ready() != waiting_.end(); });
      if (failure_ || waiting_.empty()) return;
      std::string name = *ready();
      waiting_.erase(name);
      lock.unlock();
      auto outcome = work_(name);
      lock.lock();
      done_.insert(name);
      if (!outcome && !failure_) failure_ = outcome.error();
      changed_.notify_all();
    }
  }

  Outcome<void> result() const {
    if (failure_) return *failure_;
    return {};
  }

 private:
  std::set<std::string>::const_iterator ready() const {
    return std::find_if(waiting_.begin(), waiting_.end(), [this](const std::string& name) {
      const auto& dependencies = graph_.at(name);
      return std::all_of(dependencies.begin(), dependencies.end(), [this](const std::string& other) {
        return done_.contains(other) || !graph_.contains(other);
      });
    });
  }

  const Graph& graph_;
  const std::function<Outcome<void>(const std::string&)>& work_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> waiting_, done_;
  std::optional<Failure> failure_;
};

}  // namespace

Outcome<void> run_graph(const Graph& graph, size_t limit,
                        const std::function<Outcome<void>(const std::string&)>& work) {
  Run run(graph, work);
  std::vector<std::thread> threads;
  size_t count = std::min(std::max<size_t>(limit, 1), graph.size());
  for (size_t i = 1; i < count; ++i) threads.emplace_back([&run] { run.worker(); });
  run.worker();
  for (std::thread& thread : threads) thread.join();
  return run.result();
}

Graph reversed(const Graph& graph) {
  Graph result;
  for (const auto& [name, dependencies] : graph) {
    result.try_emplace(name);
    for (const std::string& other : dependencies) {
      if (graph.contains(other)) result[other].insert(name);
    }
  }
  return result;
}

}  // namespace berth::cli::compose
