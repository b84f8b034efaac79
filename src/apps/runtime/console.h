// Terminals: handed over to the caller's console socket, or relayed between the caller's own terminal and the
// container's.
#pragma once

#include <string>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::runtime {

/// Connects to the unix socket and sends the master by SCM_RIGHTS, as --console-socket asks.
Result<void> send_console(const std::string& socket_path, int master);
/// Connects and sends one message with a descriptor (seccomp agents).
Result<void> send_with_descriptor(const std::string& socket_path, std::string_view message, int fd);

/// Before the program writes its first byte: what it writes comes out as it was written ("\n" stays "\n"),
/// and the terminal is as large as our own, where we have one.
void prepare_relay(int master);

/// Relays stdin to the master and the master to stdout until the process of `pidfd` has ended and its output
/// is through. Our own terminal, if one of our streams is one, is raw meanwhile, and its size is the
/// container's.
Result<void> relay_terminal(int master, int pidfd);

/// Passes signals that we get on to the process until it has ended.
Result<void> relay_signals(int pidfd);

}  // namespace berth::runtime
