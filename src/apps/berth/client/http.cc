// HTTP/1.1 parsing and writing.
#include "apps/berth/client/http.h"

#include <algorithm>
#include <charconv>

#include "base/format.h"

namespace berth::cli::client {
namespace {

constexpr size_t max_head = 256 * 1024;
constexpr size_t max_line = 16 * 1024;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

Error malformed(std::string_view what) {
  return failure(Kind::Corrupt, "malformed HTTP response: {}; is this the socket of a container engine?",
                 what);
}

bool has_token(std::string_view value, std::string_view token) {
  std::string text = lower(value);
  for (std::string_view rest = text; !rest.empty();) {
    size_t comma = rest.find(',');
    if (trim(rest.substr(0, comma)) == token) return true;
    if (comma == std::string_view::npos) return false;
    rest.remove_prefix(comma + 1);
  }
  return false;
}

bool unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

}  // namespace

std::string_view ResponseHead::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

Result<void> ResponseParser::parse_head(std::string_view text) {
  size_t end = text.find('\n');
  std::string_view status_line = trim(text.substr(0, end));
  // "HTTP/1.1 200 OK"
  if (!status_line.starts_with("HTTP/1.") || status_line.size() < 12) return malformed("no status line");
  keep_alive_ = status_line[7] != '0';
  std::string_view code = status_line.substr(9, 3);
  auto [digits_end, error] = std::from_chars(code.data(), code.data() + code.size(), head_.status);
  if (error != std::errc() || digits_end != code.data() + code.size() || head_.status < 100) {
    return malformed("bad status code");
  }
  while (end != std::string_view::npos) {
    text.remove_prefix(end + 1);
    end = text.find('\n');
    std::string_view line = trim(text.substr(0, end));
    if (line.empty()) break;
    size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) return malformed("bad header line");
    head_.headers.emplace_back(lower(trim(line.substr(0, colon))), trim(line.substr(colon + 1)));
  }
  if (has_token(head_.header("connection"), "close")) keep_alive_ = false;
  return {};
}

Result<void> ResponseParser::choose_body() {
  if (head_.status >= 100 && head_.status < 200 && head_.status != 101) {
    head_ = {};
    state_ = State::Head;  // an interim response: the real one follows
    return {};
  }
  bool raw = expected_ == Body::Raw && head_.status == 200;
  if (expected_ == Body::None || raw || head_.status == 101 || head_.status == 204 || head_.status == 304) {
    state_ = State::Done;
    return {};
  }
  if (has_token(head_.header("transfer-encoding"), "chunked")) {
    state_ = State::ChunkSize;
    return {};
  }
  std::string_view length = head_.header("content-length");
  if (length.empty()) {
    state_ = State::UntilClose;
    keep_alive_ = false;
    return {};
  }
  auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), remaining_);
  if (error != std::errc() || end != length.data() + length.size()) return malformed("bad Content-Length");
  state_ = remaining_ == 0 ? State::Done : State::Length;
  return {};
}

Result<void> ResponseParser::take_line(std::string_view line) {
  switch (state_) {
    case State::ChunkSize: {
      std::string_view digits = trim(line.substr(0, line.find(';')));
      auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), remaining_, 16);
      if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) {
        return malformed("bad chunk size");
      }
      state_ = remaining_ == 0 ? State::Trailer : State::ChunkData;
      return {};
    }
    case State::ChunkEnd:
      if (!trim(line).empty()) return malformed("chunk longer than announced");
      state_ = State::ChunkSize;
      return {};
    case State::Trailer:
      if (trim(line).empty()) state_ = State::Done;
      return {};
    default:
      return {};
  }
}

Result<void> ResponseParser::feed_line(std::string_view& bytes) {
  size_t end = bytes.find('\n');
  size_t take = end == std::string_view::npos ? bytes.size() : end + 1;
  if (pending_.size() + take > max_line) return malformed("line too long");
  pending_.append(bytes.substr(0, take));
  bytes.remove_prefix(take);
  if (end == std::string_view::npos) return {};
  std::string line = std::exchange(pending_, {});
  line.pop_back();
  return take_line(line);
}

Result<void> ResponseParser::feed(std::string_view& bytes, std::string& body) {
  while (!bytes.empty() && state_ != State::Done) {
    switch (state_) {
      case State::Head: {
        size_t line_end = bytes.find('\n');
        size_t take = line_end == std::string_view::npos ? bytes.size() : line_end + 1;
        if (pending_.size() + take > max_head) return malformed("head too long");
        pending_.append(bytes.substr(0, take));
        bytes.remove_prefix(take);
        if (!pending_.ends_with("\n\r\n") && !pending_.ends_with("\n\n")) break;
        std::string head = std::exchange(pending_, {});
        CHECK(parse_head(head));
        CHECK(choose_body());
        break;
      }
      case State::Length:
      case State::ChunkData: {
        size_t take = static_cast<size_t>(std::min<uint64_t>(remaining_, bytes.size()));
        body.append(bytes.substr(0, take));
        bytes.remove_prefix(take);
        remaining_ -= take;
        if (remaining_ == 0) state_ = state_ == State::Length ? State::Done : State::ChunkEnd;
        break;
      }
      case State::UntilClose:
        body.append(bytes);
        bytes = {};
        break;
      default:
        CHECK(feed_line(bytes));
    }
  }
  return {};
}

Result<void> ResponseParser::end_of_stream() {
  if (state_ == State::UntilClose) state_ = State::Done;
  if (state_ == State::Done) return {};
  if (state_ == State::Head) {
    return failure(Kind::Unavailable, "the engine closed the connection without an answer");
  }
  return failure(Kind::Unavailable,
                 "unexpected EOF: the engine closed the connection in the middle of its answer");
}

std::string percent_encode(std::string_view text, std::string_view keep) {
  std::string result;
  result.reserve(text.size());
  for (char c : text) {
    if (unreserved(c) || keep.find(c) != std::string_view::npos) {
      result += c;
    } else {
      result += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return result;
}

Query& Query::add(std::string_view key, std::string_view value) {
  text_ += text_.empty() ? '?' : '&';
  text_ += percent_encode(key);
  text_ += '=';
  text_ += percent_encode(value);
  return *this;
}

Query& Query::flag(std::string_view key, bool condition) {
  return condition ? add(key, "1") : *this;
}

Query& Query::add_unless_empty(std::string_view key, std::string_view value) {
  return value.empty() ? *this : add(key, value);
}

std::string request_head(std::string_view method, std::string_view target, const Headers& headers,
                         Framing framing, uint64_t length, std::string_view content_type) {
  std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: api.berth.localhost\r\nUser-Agent: berth/{}\r\n",
                                 method, target, BERTH_VERSION);
  for (const auto& [name, value] : headers) {
    std::string clean = value;
    std::erase_if(clean, [](char c) { return c == '\r' || c == '\n'; });
    head += fmt::format("{}: {}\r\n", name, clean);
  }
  if (!content_type.empty()) head += fmt::format("Content-Type: {}\r\n", content_type);
  if (framing == Framing::Upgrade) head += "Connection: Upgrade\r\nUpgrade: tcp\r\n";
  if (framing == Framing::Chunked) head += "Transfer-Encoding: chunked\r\n";
  bool empty_post = framing == Framing::None && method == "POST";
  if (framing == Framing::Length || (framing == Framing::Upgrade && length > 0) || empty_post) {
    head += fmt::format("Content-Length: {}\r\n", length);
  }
  return head + "\r\n";
}

}  // namespace berth::cli::client
