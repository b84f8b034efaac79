// HTTP/1.1 as a client needs it: a push parser for responses and a writer for requests. The bytes come from a
// peer that may be anything that listens on the socket: every length is bounded. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::cli::client {

struct ResponseHead {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case

  /// Value of a header by its lower-case name, or empty.
  std::string_view header(std::string_view name) const;
};

/// Takes the bytes of a connection in pieces of any size and separates head and body.
class ResponseParser {
 public:
  enum class Body {
    Expected,  ///< by Content-Length, chunks or until the peer closes
    None,      ///< the request was HEAD
    Raw,       ///< the request asked for an upgrade: after 101 or 200 the connection is a raw stream
  };
  explicit ResponseParser(Body body = Body::Expected) : expected_(body) {}

  /// Consumes from the front of `bytes` and appends body bytes to `body`. Stops at the end of the response
  /// (or, for 101, after the head): what stays in `bytes` belongs to what follows on the connection.
  Result<void> feed(std::string_view& bytes, std::string& body);
  /// The peer has closed: complete for bodies that end so, else an error.
  Result<void> end_of_stream();

  bool head_done() const { return state_ != State::Head; }
  bool complete() const { return state_ == State::Done; }
  const ResponseHead& head() const { return head_; }
  /// Whether the connection can carry another request after this response.
  bool keep_alive() const { return keep_alive_; }

 private:
  enum class State { Head, Length, UntilClose, ChunkSize, ChunkData, ChunkEnd, Trailer, Done };

  Result<void> parse_head(std::string_view text);
  Result<void> choose_body();
  Result<void> feed_line(std::string_view& bytes);
  Result<void> take_line(std::string_view line);

  Body expected_;
  bool keep_alive_ = true;
  State state_ = State::Head;
  ResponseHead head_;
  std::string pending_;  ///< unfinished head, chunk size line or trailer
  uint64_t remaining_ = 0;
};

/// key=value pairs of a request's query, percent-encoded when written.
class Query {
 public:
  Query& add(std::string_view key, std::string_view value);
  /// Adds key=1 when `condition` holds.
  Query& flag(std::string_view key, bool condition);
  /// Adds the pair unless the value is empty.
  Query& add_unless_empty(std::string_view key, std::string_view value);
  /// "?a=1&b=2", or empty.
  std::string str() const { return text_; }

 private:
  std::string text_;
};

/// Percent-encodes everything but unreserved characters; `keep` lists further characters that stay ("/:").
std::string percent_encode(std::string_view text, std::string_view keep = {});

using Headers = std::vector<std::pair<std::string, std::string>>;

/// How a request announces its body.
enum class Framing {
  None,     ///< no body, no Content-Length
  Length,   ///< Content-Length with `length`
  Chunked,  ///< unknown length
  Upgrade,  ///< asks to turn the connection into a raw stream; Content-Length when length > 0
};

/// The head of a request, ended by the blank line. Header values lose CR and LF.
std::string request_head(std::string_view method, std::string_view target, const Headers& headers,
                         Framing framing, uint64_t length, std::string_view content_type);

}  // namespace berth::cli::client
