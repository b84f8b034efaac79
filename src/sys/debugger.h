// Whether somebody debugs a process: by ptrace, or over a connection to a debugger that listens within its
// network namespace (debugpy, node --inspect, JDWP).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace berth::sys {

/// Of /proc/PID/status: the process has a tracer.
bool has_tracer(std::string_view status);

/// Of /proc/PID/net/tcp or tcp6: a connection from outside the namespace to a port that is listened on,
/// `except` aside. Connections over loopback do not count: debuggers hold some to themselves.
bool has_client(std::string_view connections, std::span<const uint16_t> except);

/// One of the processes is traced, or their network namespace (that of the first) has a client. What cannot
/// be read is not debugged. Reads some files of /proc: microseconds each.
bool is_debugged(std::span<const pid_t> processes, std::span<const uint16_t> except_ports);

}  // namespace berth::sys
