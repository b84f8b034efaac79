// Error: what went wrong, as a closed kind plus the words a user needs. Every fallible function of
// berth returns Result<T> (result.h); nothing throws across a folder boundary. Callers branch on
// kind() or errno_value(), never on text.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace berth {

/// The closed set of failure kinds. One table maps them to HTTP status codes (api/), another to exit codes.
enum class Kind {
  NotFound,          ///< the named thing does not exist
  AlreadyExists,     ///< the name is taken
  InvalidArgument,   ///< malformed or contradictory input
  WrongState,        ///< legal request, but not now (container is not running, ...)
  NotModified,       ///< nothing to do (start of a started container)
  Forbidden,         ///< policy or permission
  Unauthenticated,   ///< credentials missing or refused
  Unavailable,       ///< a needed peer or service does not answer
  Cancelled,         ///< the caller went away
  DeadlineExceeded,  ///< a time limit passed
  Exhausted,         ///< no space, memory, descriptors, addresses or quota
  Unsupported,       ///< this host or this version cannot do it
  Corrupt,           ///< stored or received bytes fail verification
  Internal,          ///< a defect in berth
};

std::string_view to_string(Kind kind);

class Error {
 public:
  /// A failure described in words: they name the thing, the cause and the way out.
  Error(Kind kind, std::string message);

  /// A failed system call: `operation` ("mount overlay"), `subject` (path, name), errno value.
  /// The kind follows from errno: ENOENT is NotFound, EEXIST AlreadyExists, ENOSPC Exhausted, ...
  static Error from_errno(std::string_view operation, std::string_view subject, int errno_value);

  /// The same error seen from further up: "operation subject: <cause>". Keeps kind and errno.
  Error in(std::string_view operation, std::string_view subject = {}) &&;

  Kind kind() const { return kind_; }
  /// 0 when the failure did not come from a system call.
  int errno_value() const { return errno_; }
  /// One line, without trailing newline, fit for a user.
  const std::string& message() const { return message_; }

 private:
  Kind kind_;
  int errno_ = 0;
  std::string message_;
};

/// The kind that an errno value stands for.
Kind kind_of_errno(int errno_value);

}  // namespace berth
