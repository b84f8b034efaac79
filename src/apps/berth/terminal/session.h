// Session: standard streams joined to a raw stream of the engine until one side ends it.
#pragma once

#include <functional>
#include <string>

#include "apps/berth/client/client.h"
#include "apps/berth/failure.h"
#include "apps/berth/terminal/raw_mode.h"
#include "apps/berth/terminal/signals.h"

namespace berth::cli::terminal {

struct SessionOptions {
  bool tty = false;  ///< the other side is a terminal: bytes are not framed
  bool attach_stdin = false;
  bool attach_stdout = true;
  bool attach_stderr = true;
  std::string detach_keys = {};  ///< bytes; watched only with tty and standard input
  /// What to do with a signal that is to be passed on; empty: the program ends by it, with the terminal
  /// restored.
  std::function<void(int signal)> proxy = {};
  std::function<void(Size size)> resize = {};
};

enum class SessionEnd {
  Stream,    ///< the engine has closed the stream: the process has ended, or nothing is attached any more
  Detached,  ///< the detach keys were typed
  Waited,    ///< no output was attached, and the awaited request is complete
};

/// Joins the streams. `awaited`, if given, is advanced meanwhile; without attached output its completion ends
/// the session. Standard input at its end closes the sending side only. The terminal is raw while both
/// standard input and the other side are terminals.
Outcome<SessionEnd> run_session(client::Upgraded stream, const SessionOptions& options, Signals& signals,
                                client::Pending* awaited);

/// "the input device is not a TTY" when a terminal is asked for and standard input is none.
Outcome<void> check_tty(bool attach_stdin, bool tty);

}  // namespace berth::cli::terminal
