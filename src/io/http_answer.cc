// The answers of an HTTP/1.1 connection, and its end as one where the socket becomes somebody else's.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "base/format.h"
#include "io/http_connection.h"

namespace berth::io::detail {
namespace {

// What is still read of a peer that speaks no HTTP.
constexpr uint64_t kMaxRefusedBytes = 4 << 20;

/// The Date field, formatted once per second.
std::string_view date_field() {
  static time_t formatted = 0;
  static char text[64];
  static size_t length = 0;
  time_t now = ::time(nullptr);
  if (now != formatted) {
    tm parts;
    ::gmtime_r(&now, &parts);
    // C locale always: the daemon never calls setlocale.
    length = ::strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    formatted = now;
  }
  return {text, length};
}

bool has_no_body(int status) {
  return status < 200 || status == 204 || status == 304;
}

Error gone_error() {
  return Error(Kind::Cancelled, "the client closed the connection");
}

bool is_plain(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == text.npos;
}

}  // namespace

Task<void> HttpConnection::refuse(int status, std::string_view text) {
  std::string body = fmt::format("{{\"message\":\"{}\"}}\n", text);
  std::string answer = fmt::format(
      "HTTP/1.1 {} {}\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: "
      "close\r\n\r\n{}",
      status, http_reason(status), date_field(), body.size(), body);
  iovec part{answer.data(), answer.size()};
  expired_ = false;
  [[maybe_unused]] auto sent = co_await send(&part, 1);
  co_await linger(kMaxRefusedBytes);
}

void HttpConnection::set_header(std::string_view name, std::string_view value) {
  if (!is_plain(name) || !is_plain(value)) return;
  call_->answer_fields.append(name).append(": ").append(value).append("\r\n");
}

std::string HttpConnection::answer_head(int status, std::string_view content_type, std::string_view framing) {
  std::string head;
  head.reserve(192 + call_->answer_fields.size());
  fmt::format_to(std::back_inserter(head), "HTTP/1.1 {} {}\r\n", status, http_reason(status));
  head.append(call_->answer_fields).append(date_field());
  if (!content_type.empty() && is_plain(content_type)) {
    head.append("Content-Type: ").append(content_type).append("\r\n");
  }
  head.append(framing);
  // An unread body of unknown or great length will not be skipped: say so.
  if (call_->continue_due) call_->close_after = true;
  if (call_->close_after) head.append("Connection: close\r\n");
  head.append("\r\n");
  return head;
}

Task<Result<void>> HttpConnection::send(iovec* parts, int count) {
  while (count > 0) {
    if (!can_write_) {
      co_await writable_.wait();
      continue;
    }
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = static_cast<size_t>(count);
    ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        can_write_ = false;
        continue;
      }
      broken_ = true;
      note_gone();
      co_return gone_error();
    }
    size_t left = static_cast<size_t>(sent);
    while (count > 0 && left >= parts->iov_len) {
      left -= parts->iov_len;
      ++parts;
      --count;
    }
    if (count > 0) {
      parts->iov_base = static_cast<char*>(parts->iov_base) + left;
      parts->iov_len -= left;
    }
  }
  co_return Result<void>();
}

Task<Result<void>> HttpConnection::respond(int status, std::string_view content_type, std::string_view body) {
  if (call_->answer != Answer::None) co_return Error(Kind::Internal, "the answer has been sent already");
  call_->answer = Answer::Done;
  bool bodyless = has_no_body(status);
  std::string framing = bodyless ? std::string() : fmt::format("Content-Length: {}\r\n", body.size());
  std::string head = answer_head(status, bodyless ? std::string_view() : content_type, framing);
  iovec parts[2] = {{head.data(), head.size()}, {const_cast<char*>(body.data()), body.size()}};
  bool with_body = !bodyless && !body.empty() && call_->head.method != "HEAD";
  auto sent = co_await send(parts, with_body ? 2 : 1);
  co_return sent;
}

Task<Result<void>> HttpConnection::send_head(int status, std::string_view content_type,
                                             std::string_view framing) {
  std::string head = answer_head(status, content_type, framing);
  iovec part{head.data(), head.size()};
  auto sent = co_await send(&part, 1);
  co_return sent;
}

Task<Result<void>> HttpConnection::begin(int status, std::string_view content_type) {
  if (call_->answer != Answer::None) co_return Error(Kind::Internal, "the answer has been sent already");
  std::string_view framing;
  if (call_->head.minor_version == 0) {
    call_->answer = Answer::UntilClose;
    call_->close_after = true;
  } else {
    call_->answer = Answer::Chunked;
    framing = "Transfer-Encoding: chunked\r\n";
  }
  auto sent = co_await send_head(status, content_type, framing);
  co_return sent;
}

Task<Result<void>> HttpConnection::begin_sized(int status, std::string_view content_type, uint64_t length) {
  if (call_->answer != Answer::None) co_return Error(Kind::Internal, "the answer has been sent already");
  call_->answer = Answer::Sized;
  call_->answer_left = length;
  std::string framing = fmt::format("Content-Length: {}\r\n", length);
  auto sent = co_await send_head(status, content_type, framing);
  co_return sent;
}

Task<Result<void>> HttpConnection::write(std::string_view bytes) {
  if (broken_) co_return gone_error();
  if (bytes.empty() || call_->head.method == "HEAD") co_return Result<void>();
  char size_line[20];
  iovec parts[3];
  int count = 0;
  if (call_->answer == Answer::Chunked) {
    auto end = fmt::format_to(size_line, "{:x}\r\n", bytes.size());
    parts[count++] = {size_line, static_cast<size_t>(end - size_line)};
  } else if (call_->answer == Answer::Sized) {
    if (bytes.size() > call_->answer_left)
      co_return Error(Kind::Internal, "the body is longer than announced");
    call_->answer_left -= bytes.size();
  } else if (call_->answer != Answer::UntilClose) {
    co_return Error(Kind::Internal, "no answer has been begun");
  }
  parts[count++] = {const_cast<char*>(bytes.data()), bytes.size()};
  if (call_->answer == Answer::Chunked) parts[count++] = {const_cast<char*>("\r\n"), 2};
  auto sent = co_await send(parts, count);
  co_return sent;
}

Task<Result<void>> HttpConnection::finish() {
  Answer answer = std::exchange(call_->answer, Answer::Done);
  if (call_->head.method == "HEAD") co_return Result<void>();
  if (answer == Answer::Sized && call_->answer_left > 0) {
    call_->answer = Answer::Sized;
    co_return Error(Kind::Internal, "the body is shorter than announced");
  }
  if (answer != Answer::Chunked) co_return Result<void>();
  char text[] = "0\r\n\r\n";
  iovec part{text, sizeof text - 1};
  auto sent = co_await send(&part, 1);
  co_return sent;
}

Task<Result<HijackedSocket>> HttpConnection::hijack(std::string_view content_type) {
  std::string head;
  if (wants_upgrade()) {
    auto protocol = call_->head.headers.get("Upgrade").value_or("tcp");
    head = fmt::format("HTTP/1.1 101 UPGRADED\r\nContent-Type: {}\r\nConnection: Upgrade\r\nUpgrade: {}\r\n",
                       content_type, protocol);
  } else {
    head = fmt::format("HTTP/1.1 200 OK\r\nContent-Type: {}\r\n", content_type);
  }
  head.append(call_->answer_fields).append("\r\n");
  auto hijacked = co_await hijack_with(std::move(head));
  co_return hijacked;
}

Task<Result<HijackedSocket>> HttpConnection::hijack_silently() {
  auto hijacked = co_await hijack_with({});
  co_return hijacked;
}

Task<Result<HijackedSocket>> HttpConnection::hijack_with(std::string head) {
  if (call_->answer != Answer::None) co_return Error(Kind::Internal, "the answer has been sent already");
  call_->answer = Answer::Done;
  if (!head.empty()) {
    iovec part{head.data(), head.size()};
    CO_CHECK(co_await send(&part, 1));
  }
  service_.loop.unwatch(socket_.get(), *this);
  HijackedSocket hijacked;
  hijacked.already_read = std::string(input());
  consume(input().size());
  hijacked.socket = std::move(socket_);
  co_return hijacked;
}

}  // namespace berth::io::detail
