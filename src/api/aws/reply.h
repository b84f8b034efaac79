// What handlers of AWS's protocols return: a Reply, or an AwsError with the service's own type, status and
// words.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json_fwd.h"
#include "base/result.h"
#include "base/xml_text.h"

namespace berth::api::aws {

struct Reply {
  int status = 200;
  std::string body = {};
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers = {};
  bool sent = false;  ///< the handler has written to the exchange itself
};

struct AwsError {
  int status = 500;
  std::string type;  ///< "ResourceNotFoundException"
  std::string message;
  std::string reason = {};  ///< of TooManyRequestsException
};

/// A value or the AwsError. Engine errors turn into Lambda's by their kind.
template <class T>
class [[nodiscard]] AwsResult : public std::expected<T, AwsError> {
 public:
  using Base = std::expected<T, AwsError>;
  using Base::Base;
  AwsResult() = default;
  AwsResult(AwsError error) : Base(std::unexpect, std::move(error)) {}  // NOLINT: implicit by design
  AwsResult(Error error);                                               // NOLINT: implicit by design
};

/// ResourceNotFoundException, ResourceConflictException, InvalidParameterValueException, ...
AwsError from_error(const Error& error);

template <class T>
AwsResult<T>::AwsResult(Error error) : Base(std::unexpect, from_error(error)) {}

AwsError invalid_parameter(std::string message);
AwsError validation_exception(std::string message);
AwsError resource_not_found(std::string message);
AwsError resource_conflict(std::string message);

Reply json_reply(int status, const Json& value);
Reply empty_reply(int status);

/// Lambda's form: x-amzn-ErrorType, and a body with Type and "Message" or "message", as the type has it.
Reply lambda_error_reply(const AwsError& error);
/// The form of AWS JSON 1.1 services: {"__type": ..., "message": ...}.
Reply json_error_reply(const AwsError& error);
/// The form of AWS query services (STS, IAM).
Reply query_error_reply(const AwsError& error, std::string_view request_id, std::string_view xml_namespace);

using berth::xml_escape;

/// "2026-11-28T06:05:11.123+0000", as Lambda's configurations have it.
std::string lambda_time(int64_t unix_nanoseconds);
/// "2026-11-28T06:05:11.123Z"
std::string iso_milliseconds(int64_t unix_nanoseconds);

}  // namespace berth::api::aws
