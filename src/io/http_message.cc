// Parsing of HTTP/1.1 messages.
#include "io/http_message.h"

#include <algorithm>
#include <array>

namespace berth::io {
namespace {

constexpr size_t kMaxExtension = 4096;
constexpr size_t kMaxTrailers = 16 << 10;
constexpr size_t kMaxMethod = 32;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool is_token_char(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::unexpected<HttpParseError> bad(std::string_view text, int status = 400) {
  return std::unexpected(HttpParseError{status, text});
}

std::expected<void, HttpParseError> parse_target(std::string_view target, HttpRequestHead& head) {
  for (char c : target) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return bad("malformed request target");
  }
  for (std::string_view scheme : {"http://", "https://"}) {
    if (target.size() > scheme.size() && equals_ignoring_case(target.substr(0, scheme.size()), scheme)) {
      size_t slash = target.find('/', scheme.size());
      target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
    }
  }
  if (target.empty() || (target.front() != '/' && target != "*")) return bad("malformed request target");
  head.target = target;
  std::string_view query;
  if (size_t mark = target.find('?'); mark != std::string_view::npos) {
    query = target.substr(mark + 1);
    target = target.substr(0, mark);
  }
  auto path = percent_decode(target);
  if (!path || path->find('\0') != std::string::npos) return bad("malformed escape in request path");
  head.path = std::move(*path);
  auto parsed = HttpQuery::parse(query);
  if (!parsed) return bad("malformed escape in query");
  head.query = std::move(*parsed);
  return {};
}

std::expected<void, HttpParseError> parse_request_line(std::string_view line, HttpRequestHead& head) {
  size_t first = line.find(' ');
  size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return bad("malformed request line");
  std::string_view method = line.substr(0, first);
  std::string_view version = line.substr(last + 1);
  if (!is_token(method) || method.size() > kMaxMethod) return bad("malformed method");
  if (version == "HTTP/1.1") {
    head.minor_version = 1;
  } else if (version == "HTTP/1.0") {
    head.minor_version = 0;
  } else if (version.starts_with("HTTP/")) {
    return bad("HTTP version not supported", 505);
  } else {
    return bad("malformed request line");
  }
  head.method = method;
  return parse_target(line.substr(first + 1, last - first - 1), head);
}

std::expected<void, HttpParseError> parse_field(std::string_view line, HttpRequestHead& head) {
  size_t colon = line.find(':');
  // A space before the colon, or a line that continues the one before, is read differently by different
  // parsers.
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
    return bad("malformed header field");
  std::string_view value = trim(line.substr(colon + 1));
  for (char c : value) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f)
      return bad("malformed header field");
  }
  head.headers.add(std::string(line.substr(0, colon)), std::string(value));
  return {};
}

std::expected<void, HttpParseError> parse_body_framing(HttpRequestHead& head) {
  auto lengths = head.headers.all("Content-Length");
  auto codings = head.headers.all("Transfer-Encoding");
  if (!codings.empty()) {
    if (!lengths.empty()) return bad("both Content-Length and Transfer-Encoding");
    if (head.minor_version == 0) return bad("Transfer-Encoding in HTTP/1.0");
    if (codings.size() != 1 || !equals_ignoring_case(codings[0], "chunked")) {
      return bad("unsupported transfer encoding", 501);
    }
    head.body = HttpRequestHead::Body::Chunked;
    return {};
  }
  if (lengths.empty()) return {};
  if (lengths.size() > 1) return bad("repeated Content-Length");
  std::string_view text = lengths[0];
  if (text.empty() || text.size() > 18) return bad("malformed Content-Length");
  for (char c : text) {
    if (c < '0' || c > '9') return bad("malformed Content-Length");
    head.content_length = head.content_length * 10 + static_cast<uint64_t>(c - '0');
  }
  if (head.content_length > 0) head.body = HttpRequestHead::Body::Length;
  return {};
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::string> percent_decode(std::string_view text, PlusSign plus) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      int high = hex_value(text[i + 1]);
      int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      decoded.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else if (text[i] == '+' && plus == PlusSign::Space) {
      decoded.push_back(' ');
    } else {
      decoded.push_back(text[i]);
    }
  }
  return decoded;
}

std::optional<std::string_view> HttpHeaders::get(std::string_view name) const {
  for (const auto& [field, value] : fields_) {
    if (equals_ignoring_case(field, name)) return value;
  }
  return std::nullopt;
}

std::vector<std::string_view> HttpHeaders::all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [field, value] : fields_) {
    if (equals_ignoring_case(field, name)) values.push_back(value);
  }
  return values;
}

bool HttpHeaders::has_token(std::string_view name, std::string_view token) const {
  for (std::string_view list : all(name)) {
    while (!list.empty()) {
      size_t comma = list.find(',');
      if (equals_ignoring_case(trim(list.substr(0, comma)), token)) return true;
      list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    }
  }
  return false;
}

Result<HttpQuery> HttpQuery::parse(std::string_view text) {
  HttpQuery query;
  while (!text.empty()) {
    size_t end = text.find('&');
    std::string_view pair = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (pair.empty()) continue;
    size_t equals = pair.find('=');
    auto name = percent_decode(pair.substr(0, equals), PlusSign::Space);
    auto value = percent_decode(
        equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1), PlusSign::Space);
    if (!name || !value) return Error(Kind::InvalidArgument, "invalid URL escape in query");
    query.parameters_.emplace_back(std::move(*name), std::move(*value));
  }
  return query;
}

std::optional<std::string_view> HttpQuery::get(std::string_view name) const {
  for (const auto& [parameter, value] : parameters_) {
    if (parameter == name) return value;
  }
  return std::nullopt;
}

std::vector<std::string_view> HttpQuery::all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [parameter, value] : parameters_) {
    if (parameter == name) values.push_back(value);
  }
  return values;
}

std::optional<size_t> find_head_end(std::string_view bytes) {
  size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  return end + 4;
}

std::expected<HttpRequestHead, HttpParseError> parse_request_head(std::string_view bytes) {
  HttpRequestHead head;
  bool first = true;
  while (true) {
    size_t end = bytes.find("\r\n");
    if (end == std::string_view::npos) return bad("malformed request");
    std::string_view line = bytes.substr(0, end);
    bytes.remove_prefix(end + 2);
    if (!first && line.empty()) break;
    if (line.find_first_of(std::string_view("\0\r\n", 3)) != std::string_view::npos)
      return bad("malformed request");
    auto parsed = first ? parse_request_line(line, head) : parse_field(line, head);
    if (!parsed) return std::unexpected(parsed.error());
    first = false;
  }
  size_t hosts = head.headers.all("Host").size();
  if (hosts > 1 || (hosts == 0 && head.minor_version == 1)) {
    return bad(hosts == 0 ? "missing required Host header" : "too many Host headers");
  }
  if (auto framing = parse_body_framing(head); !framing) return std::unexpected(framing.error());
  head.keep_alive = head.minor_version == 1 && !head.headers.has_token("Connection", "close");
  if (auto expectation = head.headers.get("Expect")) {
    if (!equals_ignoring_case(*expectation, "100-continue")) return bad("unknown expectation", 417);
    head.expects_continue = head.minor_version == 1;
  }
  return head;
}

ChunkedDecoder::Step ChunkedDecoder::step(std::string_view input) {
  auto fail = [this](size_t at) {
    phase_ = Phase::Bad;
    return Step{State::Bad, at, {}};
  };
  size_t i = 0;
  while (true) {
    if (phase_ == Phase::End) return {State::End, i, {}};
    if (phase_ == Phase::Bad) return {State::Bad, i, {}};
    if (i >= input.size()) return {State::NeedMore, i, {}};
    if (phase_ == Phase::Data) {
      size_t take = static_cast<size_t>(std::min<uint64_t>(left_, input.size() - i));
      left_ -= take;
      if (left_ == 0) phase_ = Phase::DataCr;
      return {State::Data, i + take, input.substr(i, take)};
    }
    char c = input[i++];
    switch (phase_) {
      case Phase::Size:
        if (int digit = hex_value(c); digit >= 0) {
          if (++digits_ > 15) return fail(i);
          left_ = left_ * 16 + static_cast<uint64_t>(digit);
        } else if (digits_ > 0 && c == '\r') {
          phase_ = Phase::SizeLf;
        } else if (digits_ > 0 && (c == ';' || c == ' ' || c == '\t')) {
          phase_ = Phase::Extension;
          overhead_ = 0;
        } else {
          return fail(i);
        }
        break;
      case Phase::Extension:
        if (c == '\r') {
          phase_ = Phase::SizeLf;
        } else if (c == '\n' || c == '\0' || ++overhead_ > kMaxExtension) {
          return fail(i);
        }
        break;
      case Phase::SizeLf:
        if (c != '\n') return fail(i);
        phase_ = left_ == 0 ? Phase::Trailer : Phase::Data;
        digits_ = 0;
        overhead_ = 0;
        break;
      case Phase::DataCr:
        if (c != '\r') return fail(i);
        phase_ = Phase::DataLf;
        break;
      case Phase::DataLf:
        if (c != '\n') return fail(i);
        phase_ = Phase::Size;
        break;
      case Phase::Trailer:
        if (c == '\n') return fail(i);
        phase_ = c == '\r' ? Phase::EndLf : Phase::TrailerLine;
        break;
      case Phase::TrailerLine:
        if (c == '\r') {
          phase_ = Phase::TrailerLf;
        } else if (c == '\n' || ++overhead_ > kMaxTrailers) {
          return fail(i);
        }
        break;
      case Phase::TrailerLf:
        if (c != '\n') return fail(i);
        phase_ = Phase::Trailer;
        break;
      case Phase::EndLf:
        if (c != '\n') return fail(i);
        phase_ = Phase::End;
        break;
      case Phase::Data:
      case Phase::End:
      case Phase::Bad:
        break;
    }
  }
}

std::string_view http_reason(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Request Entity Too Large";
    case 414:
      return "Request URI Too Long";
    case 416:
      return "Requested Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

}  // namespace berth::io
