// One HTTP/1.1 connection: its life, and reading requests. http_answer.cc writes the answers.
#include "io/http_connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/format.h"
#include "io/http_trailers.h"

namespace berth::io::detail {
namespace {

constexpr size_t kScratchBytes = 16 << 10;
constexpr size_t kMaxTrailerBytes = 64 << 10;  // what the decoder lets pass is less
// A body that the handler left unread is read off so that the connection can be kept, up to this much.
constexpr uint64_t kMaxSkippedBody = 256 << 10;
// After an answer that came before the body's end so much is still read, while it keeps coming.
constexpr uint64_t kMaxLingerBytes = 64 << 20;
constexpr std::chrono::milliseconds kLingerPause{500};
constexpr std::chrono::seconds kLingerTime{10};

}  // namespace

HttpConnection::HttpConnection(HttpService& service, sys::UniqueFd socket, Transport transport)
    : service_(service), socket_(std::move(socket)), transport_(transport) {
  place_ = service_.connections.insert(service_.connections.end(), this);
}

HttpConnection::~HttpConnection() {
  if (socket_) service_.loop.unwatch(socket_.get(), *this);
  service_.connections.erase(place_);
  service_.connection_changed.notify_all();
}

Result<void> HttpConnection::open() {
  return service_.loop.watch(socket_.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, *this);
}

void HttpConnection::on_events(uint32_t events) {
  constexpr uint32_t kBroken = EPOLLHUP | EPOLLERR;
  if (events & (EPOLLRDHUP | kBroken)) half_closed_ = true;
  if (events & kBroken) broken_ = true;
  if (events & (EPOLLIN | EPOLLRDHUP | kBroken)) {
    can_read_ = true;
    readable_.notify_all();
  }
  if (events & (EPOLLOUT | kBroken)) {
    can_write_ = true;
    writable_.notify_all();
  }
  note_gone();
}

void HttpConnection::note_gone() {
  if (call_ == nullptr || call_->gone.cancelled()) return;
  if (broken_ || (half_closed_ && transport_ == Transport::Tcp && call_->body_done)) call_->gone.cancel();
}

SteadyTime HttpConnection::sweep(SteadyTime now) {
  if (deadline_ > now) return deadline_;
  expired_ = true;
  deadline_ = SteadyTime::max();
  readable_.notify_all();
  return deadline_;
}

void HttpConnection::close_if_idle() {
  if (call_ != nullptr) return;
  expired_ = true;
  readable_.notify_all();
}

void HttpConnection::disconnect() {
  if (!socket_) return;
  ::shutdown(socket_.get(), SHUT_RDWR);
  on_events(EPOLLHUP);
}

void HttpConnection::consume(size_t count) {
  input_at_ += count;
  if (input_at_ < input_.size()) return;
  input_at_ = 0;
  // Memory goes back: an idle connection keeps no buffer.
  std::string().swap(input_);
}

HttpConnection::Fill HttpConnection::receive(std::span<char> into, size_t& count) {
  while (true) {
    ssize_t got = ::recv(socket_.get(), into.data(), into.size(), 0);
    if (got > 0) {
      count = static_cast<size_t>(got);
      // A short read has emptied the queue; the next arrival is a new edge. The end of file is not, if it was
      // reported together with these bytes.
      if (count < into.size() && !half_closed_) can_read_ = false;
      return Fill::Data;
    }
    count = 0;
    if (got == 0) return Fill::End;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) {
      broken_ = true;
      note_gone();
      return Fill::Broken;
    }
    can_read_ = false;
    return Fill::TimedOut;  // nothing there: the caller waits
  }
}

Task<HttpConnection::Fill> HttpConnection::wait_readable() {
  while (!can_read_ && !expired_) co_await readable_.wait();
  co_return expired_ ? Fill::TimedOut : Fill::Data;
}

Task<HttpConnection::Fill> HttpConnection::fill() {
  if (!service_.scratch) service_.scratch = std::make_unique<char[]>(kScratchBytes);
  while (true) {
    if (!can_read_ || expired_) {
      Fill waited = co_await wait_readable();
      if (waited == Fill::TimedOut) co_return waited;
    }
    size_t count = 0;
    Fill received = receive({service_.scratch.get(), kScratchBytes}, count);
    if (received == Fill::TimedOut) continue;
    if (received == Fill::Data) input_.append(service_.scratch.get(), count);
    co_return received;
  }
}

Task<bool> HttpConnection::read_head() {
  bool waiting_for_head = false;
  size_t searched = 0;
  auto set_deadline = [this](std::chrono::milliseconds limit) {
    deadline_ = std::chrono::steady_clock::now() + limit;
    service_.arm(deadline_);
  };
  set_deadline(service_.limits.idle_timeout);
  while (true) {
    // RFC 9112 2.2: empty lines before the request line are skipped.
    while (input().starts_with("\r\n")) {
      consume(2);
      searched = 0;
    }
    std::string_view bytes = input();
    auto size = find_head_end(bytes.substr(searched));
    if (size) {
      if (searched + *size > service_.limits.max_head_bytes) break;
      deadline_ = SteadyTime::max();
      bool parsed = co_await parse_head(searched + *size);
      co_return parsed;
    }
    if (bytes.size() > service_.limits.max_head_bytes) break;
    // A TLS greeting on a plain port: who speaks it first and plain HTTP then must not wait for a deadline.
    bool is_no_method = !bytes.empty() && static_cast<unsigned char>(bytes.front()) <= 0x20 && bytes != "\r";
    if (is_no_method) {
      co_await refuse(400, "this port speaks plain HTTP");
      co_return false;
    }
    searched = bytes.size() > 3 ? bytes.size() - 3 : 0;
    if (!bytes.empty() && !waiting_for_head) {
      waiting_for_head = true;
      set_deadline(service_.limits.head_timeout);
    }
    Fill filled = co_await fill();
    if (filled == Fill::Data) continue;
    if (filled == Fill::TimedOut && waiting_for_head)
      co_await refuse(408, "request header not received in time");
    co_return false;
  }
  co_await refuse(431, "request header too large");
  co_return false;
}

Task<bool> HttpConnection::parse_head(size_t head_size) {
  auto head = parse_request_head(input().substr(0, head_size));
  if (!head) {
    HttpParseError error = head.error();
    co_await refuse(error.status, error.text);
    co_return false;
  }
  consume(head_size);
  call_ = std::make_unique<Call>();
  call_->body_done = head->body == HttpRequestHead::Body::None;
  call_->body_left = head->content_length;
  call_->continue_due = head->expects_continue && !call_->body_done;
  call_->close_after = !head->keep_alive;
  call_->head = std::move(*head);
  note_gone();
  co_return true;
}

Task<void> HttpConnection::serve() {
  while (true) {
    bool have_request = co_await read_head();
    if (!have_request) co_return;
    co_await service_.handler(*this);
    if (!socket_) co_return;  // hijacked
    After after = co_await after_handler();
    call_.reset();
    service_.connection_changed.notify_all();
    if (after == After::Close) {
      co_await linger(kMaxLingerBytes);
      co_return;
    }
    if (service_.closing) co_return;
  }
}

Task<HttpConnection::After> HttpConnection::after_handler() {
  if (call_->answer == Answer::None && !broken_) {
    constexpr std::string_view kText = "{\"message\":\"the request was not answered\"}\n";
    [[maybe_unused]] auto sent = co_await respond(500, "application/json", kText);
  }
  // A body that was begun and not finished must look truncated.
  if (call_->answer != Answer::Done || broken_ || call_->close_after) co_return After::Close;
  if (!call_->body_done) {
    bool skipped = co_await skip_rest_of_body();
    if (!skipped) co_return After::Close;
  }
  co_return After::KeepAlive;
}

Task<bool> HttpConnection::skip_rest_of_body() {
  // The client may still be waiting for 100 Continue, or send the body all the same: only closing is clear.
  if (call_->continue_due) co_return false;
  if (call_->head.body == HttpRequestHead::Body::Length && call_->body_left > kMaxSkippedBody)
    co_return false;
  uint64_t skipped = 0;
  auto buffer = std::make_unique<char[]>(kScratchBytes);
  while (skipped <= kMaxSkippedBody) {
    auto count = co_await read_some({buffer.get(), kScratchBytes});
    if (!count) co_return false;
    if (*count == 0) co_return true;
    skipped += *count;
  }
  co_return false;
}

Task<void> HttpConnection::linger(uint64_t most) {
  // Closing with unread bytes would reset the connection and could cost the client the answer.
  if (broken_ || !socket_) co_return;
  ::shutdown(socket_.get(), SHUT_WR);
  input_.clear();
  input_at_ = 0;
  expired_ = false;
  const SteadyTime end = std::chrono::steady_clock::now() + kLingerTime;
  uint64_t read_off = 0;
  while (read_off < most) {
    deadline_ = std::min(end, std::chrono::steady_clock::now() + kLingerPause);
    service_.arm(deadline_);
    Fill filled = co_await fill();
    if (filled != Fill::Data) co_return;
    read_off += input_.size();
    input_.clear();
  }
}

const HttpRequestHead& HttpConnection::request() const {
  return call_->head;
}
CancelToken HttpConnection::client_gone() const {
  return call_->gone.token();
}
bool HttpConnection::begun() const {
  return call_->answer != Answer::None;
}
void HttpConnection::abort() {
  call_->close_after = true;
}

std::optional<ucred> HttpConnection::peer() const {
  if (transport_ != Transport::Unix) return std::nullopt;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return std::nullopt;
  return credentials;
}

/// Moves body bytes from the front of `input` into the buffer. `input` may be the buffer itself.
Result<size_t> HttpConnection::take_body(std::span<char> buffer, std::string_view input, size_t& consumed) {
  consumed = 0;
  if (call_->head.body == HttpRequestHead::Body::Length) {
    size_t take = static_cast<size_t>(std::min<uint64_t>({buffer.size(), input.size(), call_->body_left}));
    std::memmove(buffer.data(), input.data(), take);
    consumed = take;
    call_->body_left -= take;
    call_->body_done = call_->body_left == 0;
    return take;
  }
  size_t taken = 0;
  while (taken < buffer.size()) {
    // No more than fits: what the decoder hands out must be kept.
    std::string_view rest = input.substr(consumed, buffer.size() - taken);
    auto step = call_->decoder.step(rest);
    consumed += step.consumed;
    if (step.state == ChunkedDecoder::State::Data) {
      call_->framing.clear();
    } else if (call_->framing.size() + step.consumed <= kMaxTrailerBytes) {
      call_->framing.append(rest.substr(0, step.consumed));
    }
    if (step.state == ChunkedDecoder::State::Data) {
      std::memmove(buffer.data() + taken, step.data.data(), step.data.size());
      taken += step.data.size();
      continue;
    }
    if (step.state == ChunkedDecoder::State::End) {
      call_->body_done = true;
      break;
    }
    if (step.state == ChunkedDecoder::State::Bad) {
      call_->close_after = true;
      return Error(Kind::InvalidArgument, "malformed chunked request body");
    }
    if (consumed >= input.size()) break;
  }
  return taken;
}

Task<Result<size_t>> HttpConnection::read_some(std::span<char> buffer) {
  if (call_->body_done || buffer.empty()) co_return size_t{0};
  if (std::exchange(call_->continue_due, false) && input().empty()) {
    char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    iovec part{text, sizeof text - 1};
    CO_CHECK(co_await send(&part, 1));
  }
  while (true) {
    size_t consumed = 0;
    if (!input().empty()) {
      auto taken = take_body(buffer, input(), consumed);
      consume(consumed);
      if (!taken || *taken > 0 || call_->body_done) {
        if (call_->body_done) note_gone();
        co_return taken;
      }
    }
    if (!can_read_) {
      deadline_ = std::chrono::steady_clock::now() + service_.limits.body_timeout;
      service_.arm(deadline_);
      Fill waited = co_await wait_readable();
      deadline_ = SteadyTime::max();
      if (waited == Fill::TimedOut) {
        call_->close_after = true;
        co_return Error(Kind::DeadlineExceeded, "the request body stalled");
      }
    }
    size_t count = 0;
    Fill received = receive(buffer, count);
    if (received == Fill::TimedOut) continue;
    if (received != Fill::Data) {
      call_->close_after = true;
      co_return Error(Kind::Cancelled, "the request body ended too early");
    }
    std::string_view bytes(buffer.data(), count);
    // What lies behind the body belongs to the next request (or to the hijacked stream).
    std::string behind;
    if (call_->head.body == HttpRequestHead::Body::Length && count > call_->body_left) {
      behind = bytes.substr(static_cast<size_t>(call_->body_left));
    }
    auto taken = take_body(buffer, bytes, consumed);
    if (!taken) co_return taken;
    if (behind.empty() && consumed < count) behind.assign(buffer.data() + consumed, count - consumed);
    if (!behind.empty()) {
      input_ = std::move(behind);
      input_at_ = 0;
    }
    if (call_->body_done) note_gone();
    if (*taken > 0 || call_->body_done) co_return taken;
  }
}

std::string HttpConnection::trailer(std::string_view name) const {
  std::string_view rest = call_->framing;
  // "\r\n0\r\nName: value\r\n\r\n": lines without a colon are framing.
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find("\r\n"));
    rest.remove_prefix(std::min(rest.size(), line.size() + 2));
    size_t colon = line.find(':');
    if (colon == line.npos || !equals_ignoring_case(line.substr(0, colon), name)) continue;
    line.remove_prefix(colon + 1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
    return std::string(line);
  }
  return {};
}

}  // namespace berth::io::detail

namespace berth::io {

std::string trailer_of(const Exchange& exchange, std::string_view name) {
  return static_cast<const detail::HttpConnection&>(exchange).trailer(name);
}

}  // namespace berth::io
