// RegistryJobs: work with registries, which blocks for as long as a line takes, on threads of its own, so
// that it stands in no other work's way. Whoever asks for what is under way already joins it; it ends early
// only when nobody waits any more. Internal to engine/; all but the threads' work belongs to the loop thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "io/event_loop.h"
#include "io/sync.h"
#include "io/task.h"
#include "registry/client/client.h"

namespace berth::engine {

class RegistryJobs {
 public:
  RegistryJobs(io::EventLoop& loop, registry::Settings settings, storage::ImageStore& images);
  /// Stops and awaits what is under way.
  ~RegistryJobs();
  RegistryJobs(const RegistryJobs&) = delete;

  /// For what begins from now on: hold it no longer than a job lasts.
  registry::Client& client() { return *client_; }
  /// What is under way goes on as it began.
  void replace_settings(registry::Settings settings);

  template <class T>
  using Work = std::function<Result<T>(const registry::MessageCallback& tell, std::stop_token stop)>;

  /// Runs `work`, or joins the one of the same key (empty: none). `tell` is called on the loop thread.
  template <class T>
  io::Task<Result<T>> run(std::string key, registry::MessageCallback tell, Work<T> work) {
    std::shared_ptr<Job> job = find(key);
    if (!job) {
      auto result = std::make_shared<std::optional<Result<T>>>();
      job = start(
          key, result,
          [result, work = std::move(work)](const registry::MessageCallback& told, std::stop_token stop) {
            result->emplace(work(told, std::move(stop)));
          });
    }
    io::Task<void> ended = wait_for(job, std::move(tell));
    co_await std::move(ended);
    co_return **static_cast<std::optional<Result<T>>*>(job->result.get());
  }

  /// Asks everything that is under way to end.
  void stop_all();

 private:
  using Body = std::function<void(const registry::MessageCallback& tell, std::stop_token stop)>;
  struct Job {
    std::string key;
    std::shared_ptr<void> result;
    std::stop_source stop;
    bool ended = false;
    io::Condition changed;
    uint64_t next_listener = 1;
    std::map<uint64_t, registry::MessageCallback> listeners;
    /// The latest message of each id in the order of their first, for those who join later.
    std::vector<registry::Message> latest;
    std::map<std::string, size_t> places;
  };
  class Listening;
  struct Alive {};

  std::shared_ptr<Job> find(const std::string& key) const;
  std::shared_ptr<Job> start(const std::string& key, std::shared_ptr<void> result, Body body);
  io::Task<void> wait_for(std::shared_ptr<Job> job, registry::MessageCallback tell);
  void heard(Job& job, const registry::Message& message);
  void ended(const std::shared_ptr<Job>& job, uint64_t thread);
  void leave(const std::shared_ptr<Job>& job);

  io::EventLoop& loop_;
  storage::ImageStore& images_;
  std::unique_ptr<registry::Client> client_;
  std::vector<std::unique_ptr<registry::Client>> retired_;  ///< while threads may use them
  std::map<std::string, std::shared_ptr<Job>> shared_;
  std::map<uint64_t, std::pair<std::shared_ptr<Job>, std::thread>> threads_;
  uint64_t next_thread_ = 1;
  /// What threads hold weakly: gone once this is.
  std::shared_ptr<Alive> alive_ = std::make_shared<Alive>();
};

}  // namespace berth::engine
