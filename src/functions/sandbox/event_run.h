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

  void fail(Error why) {
    if (done.is_set()) return;
    error = std::move(why);
    done.set();
  }
};
using EventPtr = std::shared_ptr<EventRun>;

}  // namespace berth::functions
