// Attached: `up` in the foreground: prints what the containers write until they end or somebody interrupts.
#pragma once

#include <atomic>
#include <functional>
#include <set>
#include <string>
#include <thread>

#include "apps/berth/compose/follow.h"
#include "apps/berth/compose/project_events.h"
#include "apps/berth/compose/session.h"
#include "apps/berth/terminal/signals.h"

namespace berth::cli::compose {

struct AttachedOptions {
  bool abort_on_exit = false;
  bool abort_on_failure = false;
  std::string exit_code_from = {};  ///< service
  std::optional<int64_t> timeout = {};
  std::set<std::string> stopped = {};      ///< services that an end stops; empty: all
  bool stay = false;                       ///< until interrupted, also when no container runs
  std::function<void()> interrupted = {};  ///< called on some thread before the containers are stopped
};

/// Takes over SIGINT and SIGTERM when made (before any other thread): while containers are being made a
/// signal ends the program; afterwards the first one stops the containers and the second kills them.
class Attached {
 public:
  static Outcome<std::unique_ptr<Attached>> begin(Session& session, Follower& follower,
                                                  AttachedOptions options);
  ~Attached();

  /// Follows the events of the containers of `watched` until all have ended, and shows what those of `shown`
  /// write. The value is the exit code.
  Outcome<int> run(const std::set<std::string>& shown, const std::set<std::string>& watched);

  /// Whether output is still followed that nobody waits for: then this program ends at once.
  bool goes_on() const { return goes_on_; }

 private:
  Attached(Session& session, Follower& follower, AttachedOptions options, terminal::Signals signals,
           int pipe_read, int pipe_write);
  void watch_signals();
  /// Does it on a thread of its own.
  void beside(std::function<void()> work);
  /// Whether anything ran.
  bool stop_all(bool by_force);
  void look(const Observed& container);
  void started(const ContainerEvent& event);
  void ended(const ContainerEvent& event);
  void note_end(const Observed& container, int64_t code);
  void abort();
  Outcome<void> finish_output();

  Session& session_;
  Follower& follower_;
  AttachedOptions options_;
  terminal::Signals signals_;
  sys::UniqueFd done_read_, done_write_;
  std::atomic<int> interrupts_{0};
  std::atomic<bool> running_{false};
  std::set<std::string> shown_, watched_;
  int exit_code_ = 0;
  bool code_is_final_ = false;  ///< that of --exit-code-from is known
  bool aborting_ = false;
  bool goes_on_ = false;
  std::string first_end_;  ///< of those that had ended before anybody looked: whose code counts
  std::set<std::string> alive_;
  std::mutex stoppers_mutex_;
  std::vector<std::thread> stoppers_;
  std::thread watcher_;
};

}  // namespace berth::cli::compose
