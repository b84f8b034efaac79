// LambdaApi: the port of the functions. Tells the services that share it apart (Lambda, function URLs, STS,
// IAM, CloudWatch Logs, S3, and those the composition root adds), checks signatures and answers errors in
// each one's form. Give handle() to an io::HttpServer.
#pragma once

#include <string>
#include <string_view>

#include "api/lambda/services.h"
#include "io/http_server.h"
#include "io/task.h"

namespace berth::api {

class LambdaApi {
 public:
  /// `services` must outlive the object, and the object every exchange.
  explicit LambdaApi(FunctionServices& services) : services_(services) {}

  io::Task<void> handle(io::Exchange& exchange);
  /// Whether a request on another listener is meant for this API: a dated path, or the host
  /// "functions.berth.internal".
  static bool is_for_functions(const io::Exchange& exchange);

 private:
  io::Task<void> handle_lambda(io::Exchange& exchange, AwsCaller caller);
  io::Task<void> serve_code(io::Exchange& exchange);
  FunctionServices& services_;
};

}  // namespace berth::api
