// EventRun: one event under way, from invoke() until its outcome is there. Shared by who waits for it, the
// pool that finds it a sandbox, and the sandbox that works on it. Private to sandbox/.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "functions/invocation.h"
#include "io/event_loop.h"
#include "io/sync.h"

namespace berth::functions {

struct EventRun {
  Invocation invocation;
  InvocationOutcome outcome;
  std::optional<Error> error;  ///< instead of an outcome: the service's own failure
  io::Event done;

  io::SteadyTime asked{};    ///< when invoke() was called
  io::SteadyTime started{};  ///< when its time began to count
  io::SteadyTime deadline{};
  Timestamp started_at{};
  bool counting = false;     ///< START has been written
  bool init_within = false;  ///< an init failed for it: the next one runs on its own time
  uint64_t cpu_before_us = 0;
  uint64_t init_us = 0;  ///< of the init that it waited for
  InvocationRecord::ColdStart cold;
  std::string tail;                 ///< of its log, while it is collected
  std::shared_ptr<void> admission;  ///< gives its place among the function's concurrent events back

  /// The outcome stands. Whoever waits is told once no write to its stream is under way, which it owns.
  void finish() {
    over = true;
    if (writers == 0) done.set();
  }
  void fail(Error why) {
    if (over) return;
    error = std::move(why);
    finish();
  }

  bool over = false;
  int writers = 0;

  /// Lives while a write to the event's stream is under way, also when the writer is destroyed within it.
  class Writing {
   public:
    explicit Writing(std::shared_ptr<EventRun> event) : event_(std::move(event)) { ++event_->writers; }
    Writing(const Writing&) = delete;
    ~Writing() {
      if (--event_->writers == 0 && event_->over) event_->done.set();
    }

   private:
    std::shared_ptr<EventRun> event_;
  };
};
using EventPtr = std::shared_ptr<EventRun>;

/// As handlers are told it: since 1970.
inline int64_t deadline_milliseconds(const EventRun& event) {
  auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(event.deadline - event.started);
  return to_unix_nanoseconds(event.started_at + left) / 1'000'000;
}

}  // namespace berth::functions
