#include "api/aws/reply.h"

#include <array>
#include <ctime>

#include "base/format.h"
#include "base/json.h"

namespace berth::api::aws {
namespace {

/// Shapes whose text is in "Message"; all others have "message".
constexpr std::string_view capital_message[] = {"ResourceNotFoundException",
                                                "ServiceException",
                                                "CodeSigningConfigNotFoundException",
                                                "EC2AccessDeniedException",
                                                "KMSDisabledException",
                                                "RecursiveInvocationException",
                                                "InvalidRuntimeException",
                                                "SnapStartException",
                                                "InvalidZipFileException",
                                                "CallbackTimeoutException",
                                                "DurableExecutionAlreadyStartedException"};

std::string formatted(int64_t unix_nanoseconds, const char* zone) {
  int64_t milliseconds = unix_nanoseconds / 1'000'000;
  time_t seconds = static_cast<time_t>(milliseconds / 1000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:03}{}", std::string_view(text.data(), size), milliseconds % 1000, zone);
}

}  // namespace

AwsError invalid_parameter(std::string message) {
  return {400, "InvalidParameterValueException", std::move(message)};
}
AwsError validation_exception(std::string message) {
  return {400, "ValidationException", std::move(message)};
}
AwsError resource_not_found(std::string message) {
  return {404, "ResourceNotFoundException", std::move(message)};
}
AwsError resource_conflict(std::string message) {
  return {409, "ResourceConflictException", std::move(message)};
}

AwsError from_error(const Error& error) {
  switch (error.kind()) {
    case Kind::NotFound:
      return resource_not_found(error.message());
    case Kind::AlreadyExists:
    case Kind::WrongState:
      return resource_conflict(error.message());
    case Kind::InvalidArgument:
    case Kind::Unsupported:
      return invalid_parameter(error.message());
    case Kind::Exhausted:
      return {429, "TooManyRequestsException", error.message()};
    case Kind::Forbidden:
    case Kind::Unauthenticated:
      return {403, "AccessDeniedException", error.message()};
    case Kind::Unavailable:
    case Kind::DeadlineExceeded:
      return {503, "ServiceUnavailableException", error.message()};
    default:
      return {500, "ServiceException", error.message()};
  }
}

Reply json_reply(int status, const Json& value) {
  return {.status = status, .body = to_json(value)};
}
Reply empty_reply(int status) {
  return {.status = status, .body = {}, .content_type = {}};
}

Reply lambda_error_reply(const AwsError& error) {
  bool capital = false;
  for (std::string_view type : capital_message) capital = capital || type == error.type;
  Json body{{"Type", error.status >= 500 ? "Service" : "User"}};
  if (error.type == "ValidationException" || error.type == "AccessDeniedException") body = Json::object();
  body[capital ? "Message" : "message"] = error.message;
  if (!error.reason.empty()) body["Reason"] = error.reason;
  Reply reply = json_reply(error.status, body);
  reply.headers.emplace_back("x-amzn-ErrorType", error.type);
  return reply;
}

Reply json_error_reply(const AwsError& error) {
  Reply reply = json_reply(error.status, {{"__type", error.type}, {"message", error.message}});
  reply.content_type = "application/x-amz-json-1.1";
  reply.headers.emplace_back("x-amzn-ErrorType", error.type);
  return reply;
}

Reply query_error_reply(const AwsError& error, std::string_view request_id, std::string_view xml_namespace) {
  std::string body = fmt::format(
      "<ErrorResponse xmlns=\"{}\"><Error><Type>{}</Type><Code>{}</Code><Message>{}</Message></Error>"
      "<RequestId>{}</RequestId></ErrorResponse>",
      xml_namespace, error.status >= 500 ? "Receiver" : "Sender", xml_escape(error.type),
      xml_escape(error.message), request_id);
  return {.status = error.status, .body = std::move(body), .content_type = "text/xml"};
}

std::string lambda_time(int64_t unix_nanoseconds) {
  return formatted(unix_nanoseconds, "+0000");
}
std::string iso_milliseconds(int64_t unix_nanoseconds) {
  return formatted(unix_nanoseconds, "Z");
}

}  // namespace berth::api::aws
