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
  /// Whether a request on the engine's own socket is meant for this API: a dated path, or one below /_berth/
  /// (POST
  /// /_berth/aws with X-Amz-Target reaches CloudWatch Logs and the other services that are told apart by it).
  static bool is_for_functions(std::string_view path);

 private:
  io::Task<void> handle_lambda(io::Exchange& exchange, AwsCaller caller);
  io::Task<void> serve_code(io::Exchange& exchange);
  FunctionServices& services_;
};

}  // namespace berth::api
