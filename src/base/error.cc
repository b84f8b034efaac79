// Error kinds, their names and their relation to errno.
#include "base/error.h"

#include <array>
#include <cerrno>
#include <cstring>

namespace berth {

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::NotFound:
      return "not found";
    case Kind::AlreadyExists:
      return "already exists";
    case Kind::InvalidArgument:
      return "invalid argument";
    case Kind::WrongState:
      return "wrong state";
    case Kind::NotModified:
      return "not modified";
    case Kind::Forbidden:
      return "forbidden";
    case Kind::Unauthenticated:
      return "unauthenticated";
    case Kind::Unavailable:
      return "unavailable";
    case Kind::Cancelled:
      return "cancelled";
    case Kind::DeadlineExceeded:
      return "deadline exceeded";
    case Kind::Exhausted:
      return "exhausted";
    case Kind::Unsupported:
      return "unsupported";
    case Kind::Corrupt:
      return "corrupt";
    case Kind::Internal:
      return "internal";
  }
  return "internal";
}

Kind kind_of_errno(int errno_value) {
  switch (errno_value) {
    case ENOENT:
    case ESRCH:
    case ENXIO:
    case ENODEV:
      return Kind::NotFound;
    case EEXIST:
    case EADDRINUSE:
      return Kind::AlreadyExists;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EXDEV:
      return Kind::InvalidArgument;
    case EBUSY:
    case ENOTEMPTY:
      return Kind::WrongState;
    case EPERM:
    case EACCES:
    case EROFS:
      return Kind::Forbidden;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return Kind::Unavailable;
    case ECANCELED:
      return Kind::Cancelled;
    case ETIMEDOUT:
      return Kind::DeadlineExceeded;
    case ENOSPC:
    case ENOMEM:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
      return Kind::Exhausted;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
      return Kind::Unsupported;
    case EBADMSG:
    case EILSEQ:
      return Kind::Corrupt;
    default:
      return Kind::Internal;
  }
}

Error::Error(Kind kind, std::string message) : kind_(kind), message_(std::move(message)) {}

Error Error::from_errno(std::string_view operation, std::string_view subject, int errno_value) {
  std::array<char, 128> buffer{};
  const char* text = ::strerror_r(errno_value, buffer.data(), buffer.size());
  std::string message(operation);
  if (!subject.empty()) message.append(" ").append(subject);
  message.append(": ").append(text);
  Error error(kind_of_errno(errno_value), std::move(message));
  error.errno_ = errno_value;
  return error;
}

Error Error::in(std::string_view operation, std::string_view subject) && {
  std::string message(operation);
  if (!subject.empty()) message.append(" ").append(subject);
  message.append(": ").append(message_);
  message_ = std::move(message);
  return std::move(*this);
}

}  // namespace berth
