// Signals as something the loop can wait for. Handlers instead of a blocked mask, and a handler instead of
// SIG_IGN, because masks and ignored signals would be inherited by the programs that berthd starts.
#pragma once

#include "base/result.h"
#include "io/event_loop.h"
#include "io/task.h"

namespace berth::berthd {

enum class Signal { Stop, Reload };

/// One per process.
class Signals {
 public:
  /// Takes over SIGTERM, SIGINT (Stop), SIGHUP (Reload) and SIGPIPE (nothing).
  static Result<Signals> install();
  io::Task<Result<Signal>> next(io::EventLoop& loop);

 private:
  Signals() = default;
};

}  // namespace berth::berthd
