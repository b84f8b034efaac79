// A connection to a D-Bus: calls and signals, one after the other, within a deadline. For programs that may
// not load a library for it (berth-runtime is static, and linked against no libsystemd).
#pragma once

#include <chrono>
#include <deque>
#include <string>

#include "base/result.h"
#include "sys/dbus_message.h"
#include "sys/fd.h"

namespace berth::sys {

class DbusConnection {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  /// Connects to a socket ("/run/..."; "@..." is an abstract one) and says who we are, which the other end
  /// knows from the kernel. NotFound, Unavailable: nobody is there. Forbidden: not for us.
  static Result<DbusConnection> open(const std::string& socket, Deadline deadline);

  /// Calls a method and waits for the answer's body. An answer that is an error: its text, with the kind that
  /// the error's name stands for (NotFound, AlreadyExists, Forbidden, InvalidArgument, Unsupported, else
  /// Unavailable). Signals that arrive meanwhile are kept.
  Result<DbusMessage> call(const DbusCall& call, const DbusArguments& arguments, Deadline deadline);
  /// The next signal of that name. DeadlineExceeded.
  Result<DbusMessage> signal(std::string_view member, Deadline deadline);

 private:
  explicit DbusConnection(UniqueFd socket) : socket_(std::move(socket)) {}
  Result<void> authenticate(Deadline deadline);
  Result<std::string> read_line(Deadline deadline);
  Result<void> read_more(size_t wanted, Deadline deadline);
  Result<DbusMessage> receive(Deadline deadline);

  UniqueFd socket_;
  std::string pending_;
  std::deque<DbusMessage> signals_;
  uint32_t serial_ = 0;
};

}  // namespace berth::sys
