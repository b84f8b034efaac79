// TLS for accepted sockets. A session ends the encryption on the loop thread and relays the plain bytes over
// a socket pair, so that whoever serves the connection holds an ordinary socket: it can be handed to another
// process (docker's attach and exec), half closed and watched like any other, and plain connections cost
// nothing.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "io/event_loop.h"
#include "io/sync.h"
#include "io/task.h"
#include "sys/fd.h"

struct ssl_ctx_st;

namespace berth::io {

/// PEM texts (not paths).
struct TlsConfig {
  std::string certificate;     ///< the server's, followed by its intermediates
  std::string key;             ///< unencrypted private key
  std::string client_ca = {};  ///< when given, clients must show a certificate that these have signed
};

/// Certificates and rules of a listening socket: TLS 1.2 and later, HTTP/1.1.
class TlsContext {
 public:
  /// InvalidArgument that says which part is malformed, or that key and certificate do not belong together.
  static Result<std::shared_ptr<TlsContext>> create(const TlsConfig& config);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  ssl_ctx_st* handle() const { return handle_; }

 private:
  explicit TlsContext(ssl_ctx_st* handle) : handle_(handle) {}
  ssl_ctx_st* handle_;
};

/// One connection. Destroying it cuts both sides.
class TlsSession {
 public:
  TlsSession(EventLoop& loop, std::shared_ptr<TlsContext> context, sys::UniqueFd socket);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;

  /// Shakes hands (DeadlineExceeded after `limit`) and returns the plain end of the connection.
  Task<Result<sys::UniqueFd>> open(std::chrono::milliseconds limit);
  /// Relays until the plain end is closed or the client has gone.
  Task<void> relay();
  /// Whether everything that was written to the plain end is on its way to the client.
  bool is_flushed() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::io
