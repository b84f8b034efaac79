// The event that a request to a function URL becomes (format 2.0), and the answer that a function's result
// means. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/http_message.h"

namespace berth::api::lambda {

struct UrlRequest {
  const io::HttpRequestHead& head;
  std::string_view target;  ///< path and query below the URL
  std::string_view body;
  std::string_view url_id, domain, request_id, source_ip;
  std::string_view account;     ///< empty: "anonymous"
  std::string_view access_key;  ///< of a signed request; empty: none
  int64_t time_ms = 0;
};
std::string url_event(const UrlRequest& request);

struct UrlResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;  ///< cookies among them as Set-Cookie
  std::string content_type = "application/json";
  std::string body;
};
/// {"statusCode", "headers", "body", "cookies", "isBase64Encoded"}, or anything else as a body.
UrlResponse url_response(std::string_view payload);
/// A streamed response's prelude: the same members without body. nullopt: not an object.
std::optional<UrlResponse> url_prelude(std::string_view json);

}  // namespace berth::api::lambda
