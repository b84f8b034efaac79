// The words of HTTP/1.1 (RFC 9110, 9112): request heads, header fields, queries, chunked coding. Pure
// functions over bytes that came from outside. Strict: what two parsers could read in two ways is refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::io {

/// Fields in the order of arrival; names compare without case.
class HttpHeaders {
 public:
  void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  /// The first field of that name.
  std::optional<std::string_view> get(std::string_view name) const;
  std::vector<std::string_view> all(std::string_view name) const;
  /// Whether the comma-separated lists in the fields of that name hold the token (Connection: Upgrade).
  bool has_token(std::string_view name, std::string_view token) const;
  const std::vector<std::pair<std::string, std::string>>& fields() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

/// The parameters behind '?'. Absent and empty are different things.
class HttpQuery {
 public:
  /// "a=1&b&c=x+y%20z". A malformed escape: InvalidArgument.
  static Result<HttpQuery> parse(std::string_view text);
  /// The first value of that name; names are case-sensitive.
  std::optional<std::string_view> get(std::string_view name) const;
  std::string_view get_or(std::string_view name, std::string_view fallback) const {
    return get(name).value_or(fallback);
  }
  std::vector<std::string_view> all(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& parameters() const { return parameters_; }

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
};

struct HttpRequestHead {
  std::string method;
  std::string target;  ///< as sent, after the scheme and authority of an absolute form
  std::string path;    ///< percent-decoded; never holds NUL
  HttpQuery query;
  HttpHeaders headers;
  int minor_version = 1;  ///< HTTP/1.<minor>
  /// How the body is delimited.
  enum class Body { None, Length, Chunked };
  Body body = Body::None;
  uint64_t content_length = 0;
  bool keep_alive = true;
  bool expects_continue = false;
};

/// What is wrong with a request, as the status to answer.
struct HttpParseError {
  int status;
  std::string_view text;
};

/// The length of the head including its empty line; nullopt while that has not arrived.
std::optional<size_t> find_head_end(std::string_view bytes);
/// Parses a complete head (as find_head_end delimits it).
std::expected<HttpRequestHead, HttpParseError> parse_request_head(std::string_view head);

/// "%41%2f" -> "A/"; malformed escapes: nullopt. `plus_is_space` for queries.
enum class PlusSign { Literal, Space };
std::optional<std::string> percent_decode(std::string_view text, PlusSign plus = PlusSign::Literal);

bool equals_ignoring_case(std::string_view a, std::string_view b);

/// Takes the chunked coding apart. Feed it bytes; it hands back body bytes in place.
class ChunkedDecoder {
 public:
  enum class State { NeedMore, Data, End, Bad };
  struct Step {
    State state;
    size_t consumed;        ///< bytes of the input that are used up
    std::string_view data;  ///< part of the input that is body (State::Data)
  };
  /// One step: at most one run of body bytes.
  Step step(std::string_view input);

 private:
  enum class Phase {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerLine,
    TrailerLf,
    EndLf,
    End,
    Bad
  };
  Phase phase_ = Phase::Size;
  uint64_t left_ = 0;
  unsigned digits_ = 0;
  size_t overhead_ = 0;  // bytes of the current extension or of the trailers
};

std::string_view http_reason(int status);

}  // namespace berth::io
