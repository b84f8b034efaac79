// Parameters, bodies and answers.
#include "api/docker/context.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/format.h"
#include "base/json.h"

namespace berth::api {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return result;
}

}  // namespace

int http_status(const Error& error) {
  switch (error.kind()) {
    case Kind::NotFound:
      return 404;
    case Kind::AlreadyExists:
    case Kind::WrongState:
      return 409;
    case Kind::NotModified:
      return 304;
    case Kind::InvalidArgument:
      return 400;
    case Kind::Forbidden:
      return 403;
    case Kind::Unauthenticated:
      return 401;
    case Kind::Unsupported:
      return 501;
    // What does not answer is a registry, a plugin or a server of logs: docker says 500, and its clients take
    // that for the last word. 503 is what a node outside of a swarm says (swarm_answer.h), and clients try
    // again.
    case Kind::Unavailable:
    case Kind::Cancelled:
    case Kind::DeadlineExceeded:
    case Kind::Exhausted:
    case Kind::Corrupt:
    case Kind::Internal:
      break;
  }
  return 500;
}

std::string error_body(const Error& error) {
  return to_json(Json{{"message", error.message()}}) + "\n";
}

std::string Context::text(std::string_view name, std::string_view fallback) const {
  return std::string(exchange_.query().get_or(name, fallback));
}

bool Context::flag(std::string_view name, bool fallback) const {
  auto value = exchange_.query().get(name);
  if (!value) return fallback;
  std::string word = lower(*value);
  return !(word.empty() || word == "0" || word == "no" || word == "false" || word == "none");
}

Result<std::optional<int64_t>> Context::integer(std::string_view name) const {
  auto value = exchange_.query().get(name);
  if (!value || value->empty()) return std::optional<int64_t>();
  int64_t number = 0;
  auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (error != std::errc{} || end != value->data() + value->size()) {
    return failure(Kind::InvalidArgument, "invalid value \"{}\" for {}: expected a number",
                   value->substr(0, 64), name);
  }
  return std::optional<int64_t>(number);
}

Result<uint16_t> Context::terminal_size(std::string_view name) const {
  std::string_view value = exchange_.query().get_or(name, "");
  uint32_t number = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (value.empty() || error != std::errc{} || end != value.data() + value.size()) {
    // Go's words for what is no number, and for what is none of 32 bits.
    std::string_view digits = value.substr(value.starts_with('-') ? 1 : 0);
    bool number_like = !digits.empty() && digits.find_first_not_of("0123456789") == digits.npos;
    return failure(Kind::InvalidArgument, "invalid resize {} \"{}\": {}", name == "h" ? "height" : "width",
                   value.substr(0, 64), number_like ? "value out of range" : "invalid syntax");
  }
  return static_cast<uint16_t>(std::min<uint32_t>(number, UINT16_MAX));
}

Result<engine::Filters> parse_filters(std::string_view text) {
  engine::Filters filters;
  if (text.empty()) return filters;
  auto object = parse_json(text);
  bool shaped = object && (object->is_object() || object->is_null());
  if (!shaped)
    return failure(Kind::InvalidArgument, "invalid filter: \"{}\" is not a JSON object", text.substr(0, 200));
  for (const auto& [name, values] : object->items()) {
    std::vector<std::string>& list = filters[name];
    if (values.is_object()) {
      for (const auto& [value, wanted] : values.items()) {
        if (!wanted.is_boolean() || wanted.get<bool>()) list.push_back(value);
      }
    } else if (values.is_array()) {
      for (const Json& value : values) {
        if (!value.is_string())
          return failure(Kind::InvalidArgument, "invalid filter: values of \"{}\" must be strings", name);
        list.push_back(value.get<std::string>());
      }
    } else {
      return failure(Kind::InvalidArgument, "invalid filter: \"{}\" must be a map or a list of values", name);
    }
  }
  return filters;
}

Result<engine::Filters> Context::filters() const {
  return parse_filters(exchange_.query().get_or("filters", ""));
}

io::Task<Result<std::string>> Context::json_body() {
  CO_TRY(std::string body, co_await exchange_.read_body(max_json_body));
  if (body.empty()) co_return body;
  std::string_view type = exchange_.header("Content-Type").value_or("");
  std::string media = lower(type.substr(0, type.find(';')));
  while (!media.empty() && media.back() == ' ') media.pop_back();
  if (media != "application/json") {
    co_return failure(Kind::InvalidArgument,
                      "unsupported Content-Type header ({}): must be 'application/json'",
                      type.substr(0, 100));
  }
  co_return body;
}

io::Task<Result<void>> Context::json(int status, Json value) {
  std::string body = to_json(value);
  body.push_back('\n');
  co_return co_await exchange_.respond(status, "application/json", body);
}

io::Task<Result<void>> Context::empty(int status) {
  co_return co_await exchange_.respond(status, "", "");
}

}  // namespace berth::api
