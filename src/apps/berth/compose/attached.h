// Attached: `up` in the foreground: prints what the containers write until they end or somebody interrupts.
#pragma once

#include <atomic>
#include <functional>
#include <set>
#include <string>
#include <thread>

#include "apps/berth/compose/follow.h"
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

  /// Follows the events of these containers until all have ended. The value is the exit code.
  Outcome<int> run(const std::set<std::string>& services);

 private:
  Attached(Session& session, Follower& follower, AttachedOptions options, terminal::Signals signals,
           int pipe_read, int pipe_write);
  void watch_signals();
  /// Whether anything ran.
  bool stop_all(bool by_force);
  Outcome<bool> ended(const Json& event, const std::set<std::string>& services);

  Session& session_;
  Follower& follower_;
  AttachedOptions options_;
  terminal::Signals signals_;
  sys::UniqueFd done_read_, done_write_;
  std::atomic<int> interrupts_{0};
  std::atomic<bool> running_{false};
  int exit_code_ = 0;
  bool aborting_ = false;
  std::set<std::string> alive_;
  std::thread watcher_, stopper_;
};

}  // namespace berth::cli::compose
