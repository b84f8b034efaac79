#include "api/lambda/url_event.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api::lambda {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
  return out;
}

/// What the service passes on as text; everything else is encoded.
bool is_text(std::string_view content_type) {
  std::string type = lower(content_type.substr(0, content_type.find(';')));
  while (type.ends_with(' ')) type.pop_back();
  return type.starts_with("text/") || type == "application/json" || type == "application/xml" ||
         type == "application/javascript" || type == "application/x-javascript" || type.ends_with("+json") ||
         type.ends_with("+xml");
}

/// "28/Nov/2026:06:05:11 +0000"
std::string log_time(int64_t time_ms) {
  time_t seconds = static_cast<time_t>(time_ms / 1000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return fmt::format("{:02}/{}/{}:{:02}:{:02}:{:02} +0000", parts.tm_mday, months[parts.tm_mon],
                     parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

void join(Json& object, const std::string& name, std::string_view value) {
  auto found = object.find(name);
  if (found == object.end()) {
    object[name] = value;
  } else {
    found->get_ref<std::string&>().append(",").append(value);
  }
}

Json cookies_of(const io::HttpHeaders& headers) {
  Json cookies = Json::array();
  for (std::string_view line : headers.all("Cookie")) {
    while (!line.empty()) {
      size_t end = line.find(';');
      std::string_view cookie = line.substr(0, end);
      line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
      while (cookie.starts_with(' ')) cookie.remove_prefix(1);
      if (!cookie.empty()) cookies.push_back(cookie);
    }
  }
  return cookies;
}

Json context_json(const UrlRequest& request, std::string_view path) {
  Json context{{"accountId", request.account.empty() ? "anonymous" : request.account},
               {"apiId", request.url_id},
               {"domainName", request.domain},
               {"domainPrefix", request.url_id},
               {"http",
                {{"method", request.head.method},
                 {"path", path},
                 {"protocol", request.head.minor_version == 0 ? "HTTP/1.0" : "HTTP/1.1"},
                 {"sourceIp", request.source_ip},
                 {"userAgent", request.head.headers.get("User-Agent").value_or("")}}},
               {"requestId", request.request_id},
               {"routeKey", "$default"},
               {"stage", "$default"},
               {"time", log_time(request.time_ms)},
               {"timeEpoch", request.time_ms}};
  if (request.access_key.empty()) return context;
  std::string arn = fmt::format("arn:aws:iam::{}:root", request.account);
  context["authorizer"]["iam"] = {{"accessKey", request.access_key}, {"accountId", request.account},
                                  {"callerId", request.account},     {"cognitoIdentity", nullptr},
                                  {"principalOrgId", nullptr},       {"userArn", arn},
                                  {"userId", request.account}};
  return context;
}

/// Framing is the server's own business.
bool is_framing(std::string_view name) {
  for (std::string_view each :
       {"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade"}) {
    if (name == each) return true;
  }
  return false;
}

std::string scalar_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : to_json(value);
}

UrlResponse read_response(const Json& object) {
  UrlResponse response;
  const Json* status = json_member(object, "statusCode");
  if (status != nullptr && status->is_number_integer()) response.status = status->get<int>();
  if (status != nullptr && status->is_string())
    response.status = std::atoi(status->get<std::string>().c_str());
  if (const Json* headers = json_member(object, "headers"); headers != nullptr && headers->is_object()) {
    for (const auto& [name, value] : headers->items()) {
      std::string key = lower(name);
      if (is_framing(key)) continue;
      if (key == "content-type") {
        response.content_type = scalar_text(value);
      } else {
        response.headers.emplace_back(name, scalar_text(value));
      }
    }
  }
  if (const Json* cookies = json_member(object, "cookies"); cookies != nullptr && cookies->is_array()) {
    for (const Json& cookie : *cookies) response.headers.emplace_back("Set-Cookie", scalar_text(cookie));
  }
  return response;
}

}  // namespace

std::string url_event(const UrlRequest& request) {
  size_t question = request.target.find('?');
  std::string_view path = request.target.substr(0, question);
  std::string_view query =
      question == std::string_view::npos ? std::string_view() : request.target.substr(question + 1);
  Json event{{"version", "2.0"},
             {"routeKey", "$default"},
             {"rawPath", path.empty() ? "/" : path},
             {"rawQueryString", query},
             {"headers", Json::object()},
             {"requestContext", context_json(request, path.empty() ? "/" : path)},
             {"isBase64Encoded", false}};
  for (const auto& [name, value] : request.head.headers.fields()) {
    std::string key = lower(name);
    if (key != "cookie") join(event["headers"], key, value);
  }
  if (Json cookies = cookies_of(request.head.headers); !cookies.empty())
    event["cookies"] = std::move(cookies);
  if (!request.head.query.parameters().empty()) {
    Json parameters = Json::object();
    for (const auto& [name, value] : request.head.query.parameters()) join(parameters, name, value);
    event["queryStringParameters"] = std::move(parameters);
  }
  if (request.body.empty()) return to_json(event);
  bool text = is_text(request.head.headers.get("Content-Type").value_or(""));
  event["isBase64Encoded"] = !text;
  event["body"] = text ? std::string(request.body) : to_base64(request.body);
  return to_json(event);
}

UrlResponse url_response(std::string_view payload) {
  auto document = parse_json(payload, {.max_bytes = payload.size() + 1, .max_depth = 64});
  if (!document) return {.body = std::string(payload)};
  if (document->is_string()) return {.body = document->get<std::string>()};
  if (!document->is_object() || json_member(*document, "statusCode") == nullptr) {
    return {.body = std::string(payload)};
  }
  UrlResponse response = read_response(*document);
  if (response.status < 100 || response.status > 599) return {.status = 502, .body = "Internal Server Error"};
  if (const Json* body = json_member(*document, "body")) response.body = scalar_text(*body);
  const Json* encoded = json_member(*document, "isBase64Encoded");
  if (encoded != nullptr && encoded->is_boolean() && encoded->get<bool>()) {
    auto decoded = from_base64(response.body);
    if (!decoded) return {.status = 502, .body = "Internal Server Error"};
    response.body = std::move(*decoded);
  }
  return response;
}

std::optional<UrlResponse> url_prelude(std::string_view json) {
  auto document = parse_json(json);
  if (!document || !document->is_object()) return std::nullopt;
  UrlResponse response = read_response(*document);
  if (response.status < 100 || response.status > 599) return std::nullopt;
  return response;
}

}  // namespace berth::api::lambda
