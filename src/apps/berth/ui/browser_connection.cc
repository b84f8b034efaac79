// Reading requests, writing answers.
#include "apps/berth/ui/browser_connection.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>

#include "base/format.h"

namespace berth::cli::ui {
namespace {

constexpr size_t max_head = 16 * 1024;
constexpr int idle_seconds = 120;
/// Between two pieces of one request, and for a peer that does not read.
constexpr int stall_seconds = 30;

/// Sent with every answer. The page is made of its own files alone: no inline script or style, no frames, and
/// no string ever becomes markup (trusted types).
constexpr std::string_view security_fields =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Cache-Control: no-store\r\n";

bool wait_for(int fd, short events, int seconds) {
  pollfd wait{fd, events, 0};
  int ready;
  do {
    ready = ::poll(&wait, 1, seconds * 1000);
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

std::string fields_text(const BrowserConnection::Fields& fields) {
  std::string text;
  for (const auto& [name, value] : fields) text += fmt::format("{}: {}\r\n", name, value);
  return text;
}

}  // namespace

Result<bool> BrowserConnection::fill(int seconds) {
  if (!wait_for(fd_.get(), POLLIN, seconds)) return false;
  std::array<char, 16 * 1024> piece;
  ssize_t got;
  do {
    got = ::recv(fd_.get(), piece.data(), piece.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == ECONNRESET) return false;
  if (got < 0) return Error::from_errno("receive from", "the browser", errno);
  buffer_.append(piece.data(), static_cast<size_t>(got));
  return got > 0;
}

Result<std::optional<io::HttpRequestHead>> BrowserConnection::read_head() {
  std::optional<size_t> end = io::find_head_end(buffer_);
  while (!end && buffer_.size() <= max_head) {
    TRY(bool more, fill(buffer_.empty() ? idle_seconds : stall_seconds));
    if (!more) return std::optional<io::HttpRequestHead>();
    end = io::find_head_end(buffer_);
  }
  if (!end || *end > max_head) {
    CHECK(respond(431, "text/plain", "the request's head is too long\n", {}, After::Close));
    return std::optional<io::HttpRequestHead>();
  }
  auto head = io::parse_request_head(std::string_view(buffer_).substr(0, *end));
  buffer_.erase(0, *end);
  if (!head) {
    std::string words = fmt::format("{}\n", head.error().text);
    CHECK(respond(head.error().status, "text/plain", words, {}, After::Close));
    return std::optional<io::HttpRequestHead>();
  }
  return std::optional<io::HttpRequestHead>(std::move(*head));
}

Result<std::string> BrowserConnection::read_body(const io::HttpRequestHead& head, size_t limit) {
  using Body = io::HttpRequestHead::Body;
  if (head.body == Body::None) return std::string();
  if (head.body == Body::Chunked || head.content_length > limit) {
    return failure(Kind::Exhausted, "a request's body is at most {} bytes, of announced length", limit);
  }
  size_t length = static_cast<size_t>(head.content_length);
  while (buffer_.size() < length) {
    TRY(bool more, fill(stall_seconds));
    if (!more) return failure(Kind::Unavailable, "the request ended in the middle of its body");
  }
  std::string body = buffer_.substr(0, length);
  buffer_.erase(0, length);
  return body;
}

Result<void> BrowserConnection::respond(int status, std::string_view content_type, std::string_view body,
                                        const Fields& more, After after) {
  std::string answer = fmt::format("HTTP/1.1 {} {}\r\n{}{}", status, io::http_reason(status), security_fields,
                                   fields_text(more));
  if (!content_type.empty()) answer += fmt::format("Content-Type: {}\r\n", content_type);
  if (after == After::Close) answer += "Connection: close\r\n";
  if (status != 204) answer += fmt::format("Content-Length: {}\r\n", body.size());
  answer += "\r\n";
  answer += body;
  return send(answer);
}

Result<void> BrowserConnection::switch_protocols(const Fields& fields) {
  return send(fmt::format("HTTP/1.1 101 Switching Protocols\r\n{}\r\n", fields_text(fields)));
}

Result<void> BrowserConnection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      if (!wait_for(fd_.get(), POLLOUT, stall_seconds))
        return failure(Kind::DeadlineExceeded, "the browser takes nothing any more");
    } else if (errno != EINTR) {
      return Error::from_errno("send to", "the browser", errno);
    }
  }
  return {};
}

}  // namespace berth::cli::ui
