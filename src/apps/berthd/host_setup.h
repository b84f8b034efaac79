// What berthd does to its own process and to the host's directories before it serves: limits, memory
// settings, folders, the lock against a second instance, telling a supervisor that it is ready.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::berthd {

/// Raises RLIMIT_NOFILE, keeps malloc from holding on to memory, sets umask, and marks inherited descriptors
/// so that no program started later gets them.
void tune_process();
/// Gives memory that start-up needed back to the kernel.
void release_unused_memory();

/// Makes a directory and its parents.
Result<void> make_directory(const std::string& path, mode_t mode);

/// Locks <exec_root>/berthd.pid and writes the process id. The lock lasts as long as the descriptor. Another
/// berthd: WrongState that names its process.
Result<sys::UniqueFd> lock_instance(const std::string& exec_root);
Result<void> write_pid_file(const std::string& path);

/// The id of a group by name or number, from /etc/group (a static program has no NSS). NotFound.
Result<gid_t> find_group(const std::string& name);

/// A program of berth's own beside this one, or in ../libexec/berth. NotFound with both paths.
Result<std::string> find_helper(const std::string& name);
Result<std::string> find_keeper();

/// Writes "1" to the descriptor in BERTHD_READY_FD and closes it; tells systemd (NOTIFY_SOCKET) READY=1.
void announce_ready();
void announce_stopping();

/// Sockets that systemd passed (LISTEN_PID, LISTEN_FDS).
std::vector<sys::UniqueFd> take_activated_sockets();

}  // namespace berth::berthd
