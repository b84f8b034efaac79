// Challenges, tokens and errors.
#include "registry/client/challenge.h"

#include <algorithm>

#include "base/format.h"
#include "base/json.h"

namespace berth::registry {
namespace {

constexpr size_t max_header = 16384;
constexpr size_t max_challenges = 8;
constexpr size_t max_parameters = 16;
constexpr size_t max_token = 65536;
constexpr size_t max_answer = 1u << 20;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return result;
}

bool is_token_character(char c) {
  return c > 0x20 && c < 0x7f && std::string_view("()<>@,;:\\\"/[]?={}").find(c) == std::string_view::npos;
}

/// Reads RFC 9110's grammar of challenges, one piece at a time.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}
  bool at_end() const { return next_ == text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[next_]; }
  void skip_spaces() {
    while (!at_end() && (peek() == ' ' || peek() == '\t')) ++next_;
  }
  void skip_commas() {
    while (!at_end() && (peek() == ' ' || peek() == '\t' || peek() == ',')) ++next_;
  }
  void skip_one() {
    if (!at_end()) ++next_;
  }
  std::string_view token() {
    size_t start = next_;
    while (!at_end() && is_token_character(peek())) ++next_;
    return text_.substr(start, next_ - start);
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++next_;
    return true;
  }
  /// token or quoted-string
  std::string value() {
    if (!take('"')) {
      // Servers leave URLs unquoted now and then.
      size_t start = next_;
      while (!at_end() && peek() != ',' && peek() != ' ' && peek() != '\t') ++next_;
      return std::string(text_.substr(start, next_ - start));
    }
    std::string result;
    while (!at_end() && peek() != '"') {
      if (peek() == '\\' && next_ + 1 < text_.size()) ++next_;
      result += text_[next_++];
    }
    skip_one();
    return result;
  }
  size_t position() const { return next_; }
  void back_to(size_t position) { next_ = position; }

 private:
  std::string_view text_;
  size_t next_ = 0;
};

void read_parameters(Scanner& scanner, Challenge& challenge) {
  while (challenge.parameters.size() < max_parameters) {
    size_t start = scanner.position();
    scanner.skip_commas();
    std::string name = lower(scanner.token());
    scanner.skip_spaces();
    if (name.empty() || !scanner.take('=')) {
      // The next challenge's scheme, or what is none of the grammar.
      scanner.back_to(start);
      return;
    }
    scanner.skip_spaces();
    challenge.parameters.emplace(std::move(name), scanner.value());
  }
}

std::string code_of_status(long status) {
  switch (status) {
    case 401:
      return "UNAUTHORIZED";
    case 403:
      return "DENIED";
    case 429:
      return "TOOMANYREQUESTS";
    case 503:
      return "UNAVAILABLE";
    default:
      return {};
  }
}

std::string default_message(std::string_view code) {
  if (code == "UNAUTHORIZED") return "authentication required";
  if (code == "DENIED") return "requested access to the resource is denied";
  if (code == "TOOMANYREQUESTS") return "too many requests";
  if (code == "UNAVAILABLE") return "service unavailable";
  return {};
}

bool is_code(std::string_view code) {
  return !code.empty() && code.size() <= 64 &&
         code.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == std::string_view::npos;
}

RegistryError from_body(std::string_view body) {
  auto json = parse_json(body, {.max_bytes = max_answer, .max_depth = 32});
  if (!json || !json->is_object()) return {};
  auto list = json->find("errors");
  if (list != json->end() && list->is_array()) {
    for (const Json& entry : *list) {
      if (!entry.is_object()) continue;
      RegistryError error{json_string(entry, "code").value_or(""), {}};
      error.message = one_line(json_string(entry, "message").value_or(""));
      if (is_code(error.code)) return error;
    }
  }
  RegistryError error;
  for (const char* key : {"details", "message", "error_description", "error"}) {
    if (auto text = json_string(*json, key); text && error.message.empty()) error.message = one_line(*text);
  }
  return error;
}

}  // namespace

std::string one_line(std::string_view text, size_t longest) {
  std::string result(text.substr(0, longest));
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  while (result.ends_with(' ')) result.pop_back();
  return result;
}

const std::string& Challenge::parameter(const std::string& name) const {
  static const std::string none;
  auto it = parameters.find(name);
  return it == parameters.end() ? none : it->second;
}

std::vector<Challenge> parse_challenges(std::string_view header) {
  std::vector<Challenge> challenges;
  if (header.size() > max_header) return challenges;
  Scanner scanner(header);
  while (!scanner.at_end() && challenges.size() < max_challenges) {
    scanner.skip_commas();
    std::string scheme = lower(scanner.token());
    if (scheme.empty()) {
      scanner.skip_one();
      continue;
    }
    Challenge challenge{.scheme = std::move(scheme), .parameters = {}};
    if (scanner.peek() == ' ' || scanner.peek() == '\t') read_parameters(scanner, challenge);
    challenges.push_back(std::move(challenge));
  }
  return challenges;
}

Result<Token> parse_token(std::string_view body) {
  TRY(Json json, parse_json(body, {.max_bytes = max_answer, .max_depth = 32}));
  if (!json.is_object()) return Error(Kind::InvalidArgument, "the token server's answer is no JSON object");
  Token token;
  TRY(token.value, json_string(json, "token"));
  if (token.value.empty()) {
    TRY(token.value, json_string(json, "access_token"));
  }
  bool usable =
      !token.value.empty() && token.value.size() <= max_token &&
      std::all_of(token.value.begin(), token.value.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!usable)
    return Error(Kind::InvalidArgument, "authorization server did not include a token in the response");
  TRY(token.refresh_token, json_string(json, "refresh_token"));
  if (token.refresh_token.size() > max_token) token.refresh_token.clear();
  auto lifetime = json.find("expires_in");
  if (lifetime != json.end() && lifetime->is_number()) {
    double seconds = std::clamp(lifetime->get<double>(), 0.0, 86400.0);
    // distribution's clients take nothing shorter than a minute.
    token.lifetime = std::chrono::seconds(std::max<int64_t>(60, static_cast<int64_t>(seconds)));
  }
  return token;
}

std::string RegistryError::str() const {
  std::string words;
  for (char c : code) words += c == '_' ? ' ' : static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  std::string text = message.empty() ? default_message(code) : message;
  if (words.empty()) return text;
  return text.empty() ? words : words + ": " + text;
}

RegistryError parse_registry_error(long status, std::string_view body, std::string_view www_authenticate) {
  for (const Challenge& challenge : parse_challenges(www_authenticate)) {
    if (challenge.scheme != "bearer") continue;
    const std::string& reason = challenge.parameter("error");
    RegistryError error;
    if (reason == "invalid_token") error.code = "UNAUTHORIZED";
    if (reason == "insufficient_scope") error.code = "DENIED";
    if (error.code.empty()) continue;
    error.message = one_line(challenge.parameter("error_description"));
    if (error.message.empty()) error.message = default_message(error.code);
    return error;
  }
  RegistryError error = from_body(body);
  if (error.code.empty()) error.code = code_of_status(status);
  // {"error": "unauthorized"} says what the status says.
  if (error.code == "UNAUTHORIZED" && error.message == "unauthorized") error.message.clear();
  // Who stands between, a proxy say, has its reasons in words of its own.
  if (status == 403 && error.message.empty() && !body.empty())
    error.message = fmt::format("error parsing HTTP 403 response body: it is no JSON: \"{}\"",
                                one_line(body.substr(0, 200)));
  if (error.message.empty()) error.message = default_message(error.code);
  if (error.code.empty() && error.message.empty())
    error.message = fmt::format("received unexpected HTTP status: {}", status);
  return error;
}

}  // namespace berth::registry
