// HttpServer: HTTP/1.1 on unix and TCP sockets. One coroutine per connection; a connection without a request
// holds no buffers. The handler is a coroutine that is given an Exchange: one request and its answer.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/cancel.h"
#include "io/http_message.h"
#include "io/task.h"
#include "sys/fd.h"

namespace berth::io {

struct TlsConfig;

struct HttpLimits {
  size_t max_head_bytes = 256 << 10;  ///< request line and headers (X-Registry-Config can be long)
  size_t max_connections = 4096;      ///< further clients wait in the listen queue
  std::chrono::milliseconds head_timeout{30'000};   ///< from a request's first byte to the end of its head
  std::chrono::milliseconds body_timeout{120'000};  ///< without a single byte of an awaited body
  std::chrono::milliseconds idle_timeout{300'000};  ///< of a kept connection without a request
  std::chrono::milliseconds handshake_timeout{10'000};  ///< of TLS
};

/// The socket of a connection that has left HTTP, non-blocking, and the bytes that the client sent behind its
/// request and that were read already.
struct HijackedSocket {
  sys::UniqueFd socket;
  std::string already_read;
};

class Exchange {
 public:
  virtual ~Exchange() = default;

  // The request.
  virtual const HttpRequestHead& request() const = 0;
  std::string_view method() const { return request().method; }
  const std::string& path() const { return request().path; }
  const HttpQuery& query() const { return request().query; }
  std::optional<std::string_view> header(std::string_view name) const { return request().headers.get(name); }
  /// Body bytes into `buffer`; 0 is the end. Answers `Expect: 100-continue` at the first call. A malformed
  /// body is InvalidArgument, a client that went away Cancelled, one that stalls DeadlineExceeded.
  virtual Task<Result<size_t>> read_some(std::span<char> buffer) = 0;
  /// The whole body. Longer than `limit`: InvalidArgument ("request body too large").
  Task<Result<std::string>> read_body(size_t limit);
  /// Cancelled when the client has closed the connection. A client that only ended its sending side counts as
  /// gone on TCP (where the two cannot be told apart, and as Go's server has it), not on a unix socket.
  virtual CancelToken client_gone() const = 0;
  /// The kernel's word for who connected (unix sockets).
  virtual std::optional<ucred> peer() const = 0;

  // The answer: respond() once, or begin(), write()..., finish(). A write to a client that has gone is
  // Cancelled.
  /// Adds a header field to the answer. Names and values with line breaks are dropped.
  virtual void set_header(std::string_view name, std::string_view value) = 0;
  /// Sends a complete answer with one system call. HEAD sends no body; 1xx, 204 and 304 have none.
  virtual Task<Result<void>> respond(int status, std::string_view content_type, std::string_view body) = 0;
  /// Sends the head at once; the body follows chunked (HTTP/1.0: until close).
  virtual Task<Result<void>> begin(int status, std::string_view content_type) = 0;
  /// The same with a known length.
  virtual Task<Result<void>> begin_sized(int status, std::string_view content_type, uint64_t length) = 0;
  virtual Task<Result<void>> write(std::string_view bytes) = 0;
  virtual Task<Result<void>> finish() = 0;
  /// Whether the head has been sent: the status can no longer be chosen.
  virtual bool begun() const = 0;
  /// Closes the connection instead of finishing, so that the client sees a truncated body.
  virtual void abort() = 0;

  /// Leaves HTTP: sends `101 UPGRADED` when the client asked for an upgrade (with `Upgrade:` its protocol),
  /// otherwise `200 OK` without length, and hands the socket over. What has not been read of the request's
  /// body becomes part of the stream, as it was sent.
  virtual Task<Result<HijackedSocket>> hijack(std::string_view content_type) = 0;
  /// Hands the socket over as it is, nothing sent.
  virtual Task<Result<HijackedSocket>> hijack_silently() = 0;
  bool wants_upgrade() const;
};

class HttpServer {
 public:
  using Handler = std::function<Task<void>(Exchange&)>;

  /// The handler should answer every exchange; one that is left unanswered gets 500.
  HttpServer(EventLoop& loop, Handler handler, HttpLimits limits = {});
  HttpServer(const HttpServer&) = delete;
  /// Closes all sockets; handlers that run are destroyed where they stand.
  ~HttpServer();

  struct UnixOptions {
    mode_t mode = 0660;
    std::optional<gid_t> group = {};
  };
  /// Binds the path, replacing a socket that nobody listens on. One that is served is AlreadyExists.
  Result<void> listen_unix(const std::string& path, UnixOptions options);
  /// "127.0.0.1", "::1", "0.0.0.0"; port 0 picks one. Returns the port.
  Result<uint16_t> listen_tcp(const std::string& address, uint16_t port);
  /// The same over TLS (io/tls.h). What is malformed in `config` is InvalidArgument.
  Result<uint16_t> listen_tls(const std::string& address, uint16_t port, const TlsConfig& config);
  /// Serves a socket that listens already (socket activation).
  Result<void> adopt(sys::UniqueFd listening);

  /// Stops accepting and closes idle connections; removes the unix sockets' paths.
  void close_listeners();
  /// Returns when the last running request has ended. Those that still run when the deadline comes lose their
  /// connection, as if their clients had gone, and are awaited for a second more.
  Task<void> drain(SteadyTime deadline);
  size_t connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::io
