// FunctionClient: AWS's APIs of the engine's functions, over the engine's own endpoint, so that whoever may
// use the engine may use its functions and no port needs to be known.
#pragma once

#include <string>
#include <string_view>

#include "apps/berth/client/client.h"
#include "apps/berth/context.h"
#include "base/json_fwd.h"

namespace berth::cli::client {

struct FunctionRequest {
  std::string_view method = "GET";
  std::string path;  ///< with query, percent-encoded: "/2015-03-31/functions/"
  std::string body = {};
  Headers headers = {};
  std::string_view content_type = "application/json";
};

class FunctionClient {
 public:
  explicit FunctionClient(Context& context) : context_(context) {}

  Context& context() { return context_; }
  /// Status 400 and above is a Failure with AWS's type and words; http_status says which.
  Outcome<Reply> call(const FunctionRequest& request);
  /// The JSON of the answer; null for an empty body.
  Outcome<Json> json(const FunctionRequest& request);
  /// An operation of a JSON 1.1 service: "Logs_20140328.FilterLogEvents".
  Outcome<Json> target(std::string_view operation, const Json& input);
  /// An operation of a query service (SQS's CreateQueue and its like).
  Outcome<Json> sqs(std::string_view operation, const Json& input);

 private:
  Context& context_;
};

/// "/2015-03-31/functions/<name>/<rest>"
std::string function_path(std::string_view name, std::string_view rest = {},
                          std::string_view generation = "2015-03-31");

}  // namespace berth::cli::client
