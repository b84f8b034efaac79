// Function URLs: an HTTP request to <id>.lambda-url.<region>.localhost (or /_berth/url/<id>/...) becomes an
// event of format 2.0, and what the function returns becomes the answer.
#pragma once

#include <optional>
#include <string>

#include "api/lambda/services.h"
#include "io/http_server.h"
#include "io/task.h"

namespace berth::api::lambda {

/// The URL's id, if the request's host or path is one of a function URL.
std::optional<std::string> function_url_id(const io::Exchange& exchange);
io::Task<void> serve_function_url(FunctionServices& services, io::Exchange& exchange, AwsCaller caller,
                                  std::string url_id);
/// "http://<id>.lambda-url.us-east-1.localhost:4566/"
std::string function_url(const io::Exchange& exchange, uint16_t default_port, const functions::Realm& realm,
                         const std::string& id);

}  // namespace berth::api::lambda
