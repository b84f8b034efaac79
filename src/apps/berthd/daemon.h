// Daemon: berthd's composition root: loop, engine, builder, API and sockets, put together and taken apart in
// order.
#pragma once

#include <span>

#include "apps/berthd/options.h"
#include "base/result.h"

namespace berth::berthd {

/// Serves until a signal asks to stop. Containers go on running afterwards. As an ordinary user it first
/// enters a user namespace (rootless/enter.h), and is root there. `arguments` are read again, with the
/// configuration file, when SIGHUP asks for it.
Result<void> run_daemon(Options options, std::span<const char* const> arguments);

/// What --validate looks at beyond the flags' own forms.
Result<void> check_options(const Options& options);

}  // namespace berth::berthd
