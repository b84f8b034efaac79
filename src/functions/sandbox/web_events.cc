#include "functions/sandbox/web_events.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "base/utf8.h"
#include "io/http_message.h"

namespace berth::functions {
namespace {

constexpr std::array<std::string_view, 9> kHopByHop = {"connection", "content-length",    "expect",
                                                       "keep-alive", "proxy-connection",  "te",
                                                       "trailer",    "transfer-encoding", "upgrade"};

bool is_hop_by_hop(std::string_view name) {
  return std::any_of(kHopByHop.begin(), kHopByHop.end(),
                     [name](std::string_view each) { return io::equals_ignoring_case(each, name); });
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool is_field_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

/// What cannot stand in a request line is escaped.
std::string request_target(std::string_view path, std::string_view query) {
  std::string target = path.starts_with('/') ? "" : "/";
  auto add = [&target](std::string_view text) {
    for (char c : text) {
      auto byte = static_cast<unsigned char>(c);
      if (byte <= 0x20 || byte >= 0x7f) {
        target += fmt::format("%{:02X}", byte);
      } else {
        target += c;
      }
    }
  };
  add(path);
  if (!query.empty()) {
    target += '?';
    add(query);
  }
  return target;
}

std::string text_of(const Json& object, const char* name) {
  if (!object.is_object()) return {};
  auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const Json& member_or_null(const Json& object, const char* name) {
  static const Json null;
  if (!object.is_object()) return null;
  auto found = object.find(name);
  return found == object.end() ? null : *found;
}

std::string query_escape(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    bool plain = std::isalnum(byte) != 0 || std::string_view("-._~").find(c) != std::string_view::npos;
    if (plain) {
      escaped += c;
    } else {
      escaped += fmt::format("%{:02X}", byte);
    }
  }
  return escaped;
}

using Fields = std::vector<std::pair<std::string, std::string>>;

/// {"name": "value"}, and {"name": ["value", ...]} where there is that.
Fields pairs_of(const Json& single, const Json& multiple) {
  Fields fields;
  if (multiple.is_object() && !multiple.empty()) {
    for (const auto& [name, values] : multiple.items()) {
      if (!values.is_array()) continue;
      for (const Json& value : values) {
        if (value.is_string()) fields.emplace_back(name, value.get<std::string>());
      }
    }
  } else if (single.is_object()) {
    for (const auto& [name, value] : single.items()) {
      if (value.is_string()) fields.emplace_back(name, value.get<std::string>());
    }
  }
  return fields;
}

std::string assemble(std::string_view method, std::string_view target, const Fields& fields,
                     std::string_view body, const WebServer& server) {
  std::string bytes = fmt::format("{} {} HTTP/1.1\r\n", method, target);
  bool has_host = false;
  for (const auto& [name, value] : fields) {
    if (is_hop_by_hop(name) || !is_token(name) || !is_field_value(value)) continue;
    has_host = has_host || io::equals_ignoring_case(name, "host");
    bytes.append(name).append(": ").append(value).append("\r\n");
  }
  if (!has_host) bytes += fmt::format("Host: 127.0.0.1:{}\r\n", server.port);
  bytes += fmt::format("Content-Length: {}\r\nConnection: close\r\n\r\n", body.size());
  bytes.append(body);
  return bytes;
}

std::string body_of(const Json& event) {
  std::string body = text_of(event, "body");
  auto encoded = member_or_null(event, "isBase64Encoded");
  if (!encoded.is_boolean() || !encoded.get<bool>()) return body;
  auto decoded = from_base64(body);
  return decoded ? std::move(*decoded) : std::move(body);
}

constexpr std::string_view kRequestContext = "x-amzn-request-context";
constexpr std::string_view kLambdaContext = "x-amzn-lambda-context";
constexpr std::string_view kRequestId = "x-amzn-lambda-request-id";
constexpr std::string_view kTenant = "x-amz-tenant-id";

/// Servers trust these: they say what the engine knows, never what a client sent by their names.
void put_context(Fields& fields, const Json& request_context, const WebContext& context) {
  std::erase_if(fields, [](const auto& field) {
    for (std::string_view own : {kRequestContext, kLambdaContext, kRequestId, kTenant}) {
      if (io::equals_ignoring_case(field.first, own)) return true;
    }
    return false;
  });
  if (request_context.is_object()) fields.emplace_back(kRequestContext, to_json(request_context));
  if (!context.document.empty()) fields.emplace_back(kLambdaContext, context.document);
  fields.emplace_back(kRequestId, context.request_id);
  if (!context.tenant.empty()) fields.emplace_back(kTenant, context.tenant);
}

WebRequest format_2(const Json& event, const WebServer& server, const WebContext& context) {
  Fields fields = pairs_of(member_or_null(event, "headers"), Json());
  std::string cookies;
  if (const Json& list = member_or_null(event, "cookies"); list.is_array()) {
    for (const Json& cookie : list) {
      if (!cookie.is_string()) continue;
      if (!cookies.empty()) cookies += "; ";
      cookies += cookie.get<std::string>();
    }
  }
  if (!cookies.empty()) {
    std::erase_if(fields, [](const auto& field) { return io::equals_ignoring_case(field.first, "cookie"); });
    fields.emplace_back("cookie", cookies);
  }
  put_context(fields, member_or_null(event, "requestContext"), context);
  std::string method = text_of(member_or_null(member_or_null(event, "requestContext"), "http"), "method");
  std::string target = request_target(text_of(event, "rawPath"), text_of(event, "rawQueryString"));
  return {.kind = WebEventKind::Format2,
          .bytes = assemble(is_token(method) ? method : "GET", target, fields, body_of(event), server)};
}

WebRequest format_1(const Json& event, const WebServer& server, const WebContext& context) {
  Fields fields = pairs_of(member_or_null(event, "headers"), member_or_null(event, "multiValueHeaders"));
  put_context(fields, member_or_null(event, "requestContext"), context);
  std::string query;
  // A load balancer leaves them escaped, API Gateway does not.
  bool escaped = member_or_null(member_or_null(event, "requestContext"), "elb").is_object();
  for (const auto& [name, value] : pairs_of(member_or_null(event, "queryStringParameters"),
                                            member_or_null(event, "multiValueQueryStringParameters"))) {
    if (!query.empty()) query += '&';
    query += escaped ? fmt::format("{}={}", name, value)
                     : fmt::format("{}={}", query_escape(name), query_escape(value));
  }
  std::string method = text_of(event, "httpMethod");
  return {.kind = WebEventKind::Format1,
          .bytes = assemble(is_token(method) ? method : "GET", request_target(text_of(event, "path"), query),
                            fields, body_of(event), server)};
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return result;
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() ? std::optional(value)
                                                                                   : std::nullopt;
}

Result<std::string> unchunk(std::string_view bytes) {
  io::ChunkedDecoder decoder;
  std::string body;
  while (true) {
    auto step = decoder.step(bytes);
    bytes.remove_prefix(step.consumed);
    body.append(step.data);
    if (step.state == io::ChunkedDecoder::State::End) return body;
    if (step.state != io::ChunkedDecoder::State::Data)
      return Error(Kind::Corrupt, "the answer's chunks are cut short");
  }
}

/// The next line without its end; nullopt: it has none. A bare LF ends one too, as CGI programs write it.
std::optional<std::string_view> take_line(std::string_view& bytes) {
  size_t end = bytes.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view line = bytes.substr(0, end);
  bytes.remove_prefix(end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

struct AnswerHead {
  WebAnswer answer;
  std::optional<uint64_t> length;
  bool chunked = false;
};

Result<void> parse_field(std::string_view line, AnswerHead& head) {
  size_t colon = line.find(':');
  if (colon == std::string_view::npos) return Error(Kind::Corrupt, "a field of the answer has no colon");
  std::string name(line.substr(0, colon));
  line.remove_prefix(colon + 1);
  while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
  while (!line.empty() && (line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
  if (io::equals_ignoring_case(name, "content-length")) head.length = number_of<uint64_t>(line);
  if (io::equals_ignoring_case(name, "transfer-encoding")) head.chunked = lower(line).ends_with("chunked");
  head.answer.headers.emplace_back(std::move(name), std::string(line));
  return {};
}

Result<AnswerHead> take_head(std::string_view& bytes) {
  AnswerHead head;
  auto line = take_line(bytes);
  if (line && (!line->starts_with("HTTP/1.") || line->size() < 12))
    return Error(Kind::Corrupt, "the answer is no HTTP/1.1");
  if (line) {
    auto status = number_of<int>(line->substr(9, 3));
    if (!status || *status < 100) return Error(Kind::Corrupt, "the answer has no status");
    head.answer.status = *status;
  }
  while (line) {
    line = take_line(bytes);
    if (line && line->empty()) return head;
    if (line) CHECK(parse_field(*line, head));
  }
  return Error(Kind::Corrupt, "the answer's head is cut short");
}

}  // namespace

Result<WebServer> web_server_of(const std::map<std::string, std::string>& function_environment,
                                const std::vector<std::string>& image_environment,
                                const std::map<std::string, std::string>& image_labels) {
  auto variable = [&](std::string_view name) {
    if (auto found = function_environment.find(std::string(name)); found != function_environment.end())
      return found->second;
    std::string start = fmt::format("{}=", name);
    for (const std::string& each : image_environment) {
      if (each.starts_with(start)) return each.substr(start.size());
    }
    return std::string();
  };
  WebServer server;
  std::string port = variable("AWS_LWA_PORT");
  if (auto label = image_labels.find("io.berth.function.port"); port.empty() && label != image_labels.end())
    port = label->second;
  if (port.empty()) return server;
  auto number = number_of<uint16_t>(port);
  if (!number || *number == 0)
    return failure(Kind::InvalidArgument, "AWS_LWA_PORT: \"{}\" is no port",
                   std::string_view(port).substr(0, 64));
  server.port = *number;
  server.readiness_path = variable("AWS_LWA_READINESS_CHECK_PATH");
  if (std::string path = variable("AWS_LWA_PASS_THROUGH_PATH"); !path.empty()) server.pass_through = path;
  return server;
}

WebRequest web_request(std::string_view text, const WebServer& server, const WebContext& context) {
  auto event = parse_json(text);
  if (event && event->is_object()) {
    bool format2 = text_of(*event, "version") == "2.0" &&
                   member_or_null(member_or_null(*event, "requestContext"), "http").is_object();
    if (format2) return format_2(*event, server, context);
    if (!text_of(*event, "httpMethod").empty() && !text_of(*event, "path").empty())
      return format_1(*event, server, context);
  }
  Fields fields = {{"content-type", "application/json"}};
  put_context(fields, Json(), context);
  return {.kind = WebEventKind::PassThrough,
          .bytes = assemble("POST", request_target(server.pass_through, ""), fields, text, server)};
}

std::string readiness_request(const WebServer& server) {
  return assemble("GET", request_target(server.readiness_path, ""), {}, "", server);
}

std::string web_result(WebEventKind kind, const WebAnswer& answer) {
  bool text = is_utf8(answer.body);
  if (kind == WebEventKind::PassThrough) {
    if (answer.body.empty()) return "null";
    return Json::accept(answer.body) ? answer.body : to_json(Json(answer.body));
  }
  Json result{{"statusCode", answer.status},
              {"isBase64Encoded", !text},
              {"body", text ? answer.body : to_base64(answer.body)}};
  Json headers = Json::object(), multiple = Json::object(), cookies = Json::array();
  for (const auto& [sent_name, value] : answer.headers) {
    std::string name = lower(sent_name);
    if (is_hop_by_hop(name)) continue;
    if (kind == WebEventKind::Format2 && name == "set-cookie") {
      cookies.push_back(value);
      continue;
    }
    multiple[name].push_back(value);
    headers[name] = headers.contains(name) && kind == WebEventKind::Format2
                        ? fmt::format("{},{}", headers[name].get<std::string>(), value)
                        : value;
  }
  result["headers"] = std::move(headers);
  if (kind == WebEventKind::Format1) result["multiValueHeaders"] = std::move(multiple);
  if (!cookies.empty()) result["cookies"] = std::move(cookies);
  return to_json(result);
}

Result<WebAnswer> parse_web_answer(std::string_view bytes) {
  TRY(AnswerHead head, take_head(bytes));
  while (head.answer.status < 200) {  // 100 Continue and its like
    TRY(head, take_head(bytes));
  }
  WebAnswer& answer = head.answer;
  if (answer.status == 204 || answer.status == 304) return std::move(answer);
  if (head.chunked) {
    TRY(answer.body, unchunk(bytes));
  } else if (head.length) {
    if (*head.length > bytes.size()) return Error(Kind::Corrupt, "the answer's body is cut short");
    answer.body = bytes.substr(0, *head.length);
  } else {
    answer.body = bytes;
  }
  return std::move(answer);
}

}  // namespace berth::functions
