// The namespace host: a small process that an ordinary user's daemon leaves beside itself. It holds the user,
// mount and network namespace in which daemon and containers live, so that they outlast the daemon, and it is
// the one part that stayed in the host's network namespace: it binds published ports there and hands the
// sockets in. It has one thread and ends when the daemon says that nothing runs any more.
#pragma once

#include <string>

namespace berth::berthd::rootless {

/// The word on the command line: berthd rootless-host EXEC_ROOT UPLINK
inline constexpr char kHostVerb[] = "rootless-host";
/// Where the new process finds the socket to whoever starts it.
inline constexpr int kStarterFd = 3;
/// Below the exec root.
inline constexpr char kHostSocket[] = "/rootless/host.sock";

/// What it tells its starter, one packet each; the first letter says which.
inline constexpr char kSaysMapMe = 'M';  ///< then its process id; answered by any packet once maps are set
inline constexpr char kSaysReady = 'R';
inline constexpr char kSaysFailed = 'F';  ///< then the reason

/// The process's whole life; returns its exit code.
int run_host_process(const std::string& exec_root, const std::string& uplink);

}  // namespace berth::berthd::rootless
