// Watching: source files that change are brought into running containers, as develop.watch says.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/berth/compose/session.h"

namespace berth::cli::compose {

class Watching {
 public:
  /// `services`: those to watch; empty: all that have rules. None has any: a failure.
  static Outcome<std::unique_ptr<Watching>> prepare(Session& session,
                                                    const std::vector<std::string>& services);
  ~Watching();

  /// Watches on this thread, until stopped or interrupted.
  Outcome<void> run();
  /// Watches on a thread of its own.
  void begin();
  /// No further change is acted on. From any thread.
  void stop();
  /// Whether nothing is being done about a change just now.
  bool is_idle() const;

 private:
  struct State;
  explicit Watching(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Whether `relative` (a path below the watched one) is left out by .dockerignore-style patterns. Pure.
bool is_ignored(const std::vector<std::string>& patterns, const std::string& relative);

}  // namespace berth::cli::compose
