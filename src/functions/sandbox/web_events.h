// Events as HTTP requests and HTTP answers as results, for images whose program is a web server and no Lambda
// runtime. Requests of function URLs and API Gateway (format 2.0 and 1.0, ALB's among them) become what they
// were; any other event is posted as it is. Pure; events come from callers and answers from functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::functions {

/// What is known of an image's web server.
struct WebServer {
  uint16_t port = 0;                     ///< 0: the image has a Lambda runtime
  std::string readiness_path = {};       ///< empty: whoever accepts connections is ready
  std::string pass_through = "/events";  ///< where other events are posted
};

/// From AWS_LWA_PORT, AWS_LWA_READINESS_CHECK_PATH and AWS_LWA_PASS_THROUGH_PATH of the function's
/// environment, else of the image's ("NAME=value"); the port else from the image's label
/// `io.berth.function.port`. InvalidArgument: a port that is none.
Result<WebServer> web_server_of(const std::map<std::string, std::string>& function_environment,
                                const std::vector<std::string>& image_environment,
                                const std::map<std::string, std::string>& image_labels);

/// What an answer has to look like.
enum class WebEventKind { Format2, Format1, PassThrough };

struct WebRequest {
  WebEventKind kind = WebEventKind::PassThrough;
  std::string bytes;  ///< the whole request; "Connection: close"
};
/// What a request tells of its invocation, beside the event. A client's own fields of these names are left
/// out.
struct WebContext {
  std::string request_id;
  std::string tenant = {};    ///< `x-amz-tenant-id`; empty: none
  std::string document = {};  ///< `x-amzn-lambda-context`, as AWS's adapter has it; empty: none
};
WebRequest web_request(std::string_view event, const WebServer& server, const WebContext& context);
/// GET of the readiness path.
std::string readiness_request(const WebServer& server);

struct WebAnswer {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};
/// The function's result: {"statusCode", "headers", "body", "isBase64Encoded", ...}, or the body alone for
/// events that were passed through (what is no JSON becomes a JSON string).
std::string web_result(WebEventKind kind, const WebAnswer& answer);

/// Takes an answer apart that ends with its connection. Corrupt: it is no HTTP, or is cut short.
Result<WebAnswer> parse_web_answer(std::string_view bytes);

}  // namespace berth::functions
