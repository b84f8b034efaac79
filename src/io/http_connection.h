// HttpConnection: one accepted socket and, while a request is served, its Exchange. Private to io/.
#pragma once

#include <sys/uio.h>

#include <list>
#include <memory>
#include <string>

#include "io/http_server.h"

namespace berth::io::detail {

class HttpConnection;

/// What connections share with their server.
struct HttpService {
  HttpService(EventLoop& event_loop, HttpServer::Handler request_handler, HttpLimits http_limits)
      : loop(event_loop), handler(std::move(request_handler)), limits(http_limits) {}

  EventLoop& loop;
  HttpServer::Handler handler;
  HttpLimits limits;
  std::list<HttpConnection*> connections;
  bool closing = false;
  /// When a connection must next be looked at; the sweeper is told of an earlier time.
  SteadyTime next_sweep = SteadyTime::max();
  Condition sweep_earlier;
  Condition connection_changed;
  std::unique_ptr<char[]> scratch;  ///< where bytes land before it is known whose they are

  void arm(SteadyTime deadline) {
    if (deadline >= next_sweep) return;
    next_sweep = deadline;
    sweep_earlier.notify_all();
  }
};

enum class Transport { Unix, Tcp };

class HttpConnection final : public Exchange, private Pollable {
 public:
  HttpConnection(HttpService& service, sys::UniqueFd socket, Transport transport);
  ~HttpConnection() override;
  Result<void> open();

  /// Serves requests until the connection ends.
  Task<void> serve();
  /// Ends the connection if its deadline has passed; returns the deadline that remains.
  SteadyTime sweep(SteadyTime now);
  bool busy() const { return call_ != nullptr; }
  /// Ends the connection if it has no request.
  void close_if_idle();
  /// Cuts the connection in both directions: reads and writes fail from now on.
  void disconnect();

  const HttpRequestHead& request() const override;
  Task<Result<size_t>> read_some(std::span<char> buffer) override;
  CancelToken client_gone() const override;
  std::optional<ucred> peer() const override;
  void set_header(std::string_view name, std::string_view value) override;
  Task<Result<void>> respond(int status, std::string_view content_type, std::string_view body) override;
  Task<Result<void>> begin(int status, std::string_view content_type) override;
  Task<Result<void>> begin_sized(int status, std::string_view content_type, uint64_t length) override;
  Task<Result<void>> write(std::string_view bytes) override;
  Task<Result<void>> finish() override;
  bool begun() const override;
  /// See http_trailers.h.
  std::string trailer(std::string_view name) const;
  void abort() override;
  Task<Result<HijackedSocket>> hijack(std::string_view content_type) override;
  Task<Result<HijackedSocket>> hijack_silently() override;

 private:
  enum class Answer { None, Chunked, Sized, UntilClose, Done };
  enum class Fill { Data, End, Broken, TimedOut };
  enum class After { KeepAlive, Close };

  /// One request and the answer to it.
  struct Call {
    HttpRequestHead head;
    std::string answer_fields;
    ChunkedDecoder decoder;
    std::string framing;     // chunked bodies: what came behind the last data, trailers included; bounded
    uint64_t body_left = 0;  // Body::Length
    bool body_done = true;
    bool continue_due = false;  // the client waits for 100 Continue
    Answer answer = Answer::None;
    uint64_t answer_left = 0;  // Answer::Sized
    bool close_after = false;
    CancelSource gone;
  };

  void on_events(uint32_t events) override;
  void note_gone();
  Task<Fill> wait_readable();
  /// Receives what is there into input_.
  Task<Fill> fill();
  Fill receive(std::span<char> into, size_t& count);
  Task<bool> read_head();
  Task<bool> parse_head(size_t head_size);
  Task<After> after_handler();
  Task<bool> skip_rest_of_body();
  Task<void> refuse(int status, std::string_view text);
  /// Reads up to so much that still comes after the last answer, so that the peer gets to read it.
  Task<void> linger(uint64_t most);
  Result<size_t> take_body(std::span<char> buffer, std::string_view input, size_t& consumed);
  Task<Result<void>> send(iovec* parts, int count);
  std::string answer_head(int status, std::string_view content_type, std::string_view framing);
  Task<Result<void>> send_head(int status, std::string_view content_type, std::string_view framing);
  Task<Result<HijackedSocket>> hijack_with(std::string head);
  std::string_view input() const { return std::string_view(input_).substr(input_at_); }
  void consume(size_t count);

  HttpService& service_;
  sys::UniqueFd socket_;
  Transport transport_;
  bool can_read_ = true;
  bool can_write_ = true;
  bool half_closed_ = false;  // the peer sends no more
  bool broken_ = false;
  bool expired_ = false;
  SteadyTime deadline_ = SteadyTime::max();
  Condition readable_;
  Condition writable_;
  std::string input_;  // received, not yet used; empty on an idle connection
  size_t input_at_ = 0;
  std::unique_ptr<Call> call_;
  std::list<HttpConnection*>::iterator place_;
};

}  // namespace berth::io::detail
