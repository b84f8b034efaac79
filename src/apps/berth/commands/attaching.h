// Attaching: the requests around a session with a container, shared by run, start and attach.
#pragma once

#include <string>

#include "apps/berth/context.h"
#include "apps/berth/terminal/session.h"

namespace berth::cli::commands {

struct Attach {
  std::string container;
  bool tty = false;
  bool attach_stdin = false;
  bool attach_stdout = true;
  bool attach_stderr = true;
  std::string detach_keys = {};  ///< as the user wrote them
};

/// POST /containers/ID/attach, as a raw stream.
Outcome<client::Upgraded> attach_stream(Context& context, const Attach& attach);
/// Options of the session: detach keys, passing on of signals (`proxy`), changes of size.
Outcome<terminal::SessionOptions> session_options(Context& context, const Attach& attach, bool proxy);
/// The detach keys of the flag, else of the configuration, else empty (the engine's default).
std::string detach_keys(Context& context, const std::string& from_flag);
void resize_container(Context& context, const std::string& id, terminal::Size size);

/// POST /containers/ID/wait; `condition`: "next-exit", "removed" or "not-running".
Outcome<client::Pending> begin_wait(Context& context, const std::string& id, std::string_view condition);
/// The exit code that the wait brings. When the engine went away meanwhile, it is asked again.
Outcome<int> exit_code_of(Context& context, const std::string& id, client::Pending& wait);

/// Calls until the engine, which may be restarting, answers; gives up after half a minute.
Outcome<client::Reply> call_patiently(Context& context, const client::Request& request);

}  // namespace berth::cli::commands
