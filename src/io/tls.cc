// OpenSSL over non-blocking sockets.
#include "io/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "base/format.h"
#include "base/freed.h"
#include "io/cancel.h"

namespace berth::io {
namespace {

constexpr size_t kPiece = 16 << 10;  // a TLS record holds no more
constexpr unsigned kPiecesPerTurn = 16;

using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

Bio reader_of(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// The oldest entry of OpenSSL's queue of errors, which is the cause.
std::string openssl_reason() {
  unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "unknown reason" : reason;
}

Error tls_error(std::string_view what) {
  return failure(Kind::InvalidArgument, "TLS: {} ({})", what, openssl_reason());
}

int no_password(char*, int, int, void*) {
  return 0;
}

Result<void> use_certificate(SSL_CTX* context, const std::string& text) {
  Bio pem = reader_of(text);
  Certificate own(PEM_read_bio_X509_AUX(pem.get(), nullptr, no_password, nullptr));
  if (!own || SSL_CTX_use_certificate(context, own.get()) != 1)
    return tls_error("the certificate is no usable PEM certificate");
  while (Certificate next{PEM_read_bio_X509(pem.get(), nullptr, no_password, nullptr)}) {
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) return tls_error("the chain cannot be used");
  }
  ERR_clear_error();
  return {};
}

Result<void> use_client_ca(SSL_CTX* context, const std::string& text) {
  Bio pem = reader_of(text);
  size_t count = 0;
  while (Certificate ca{PEM_read_bio_X509(pem.get(), nullptr, no_password, nullptr)}) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get()) != 1 ||
        SSL_CTX_add_client_CA(context, ca.get()) != 1) {
      return tls_error("the CA certificate cannot be used");
    }
    ++count;
  }
  if (count == 0) return tls_error("the CA file holds no PEM certificate");
  ERR_clear_error();
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return {};
}

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                    unsigned int in_size, void*) {
  static const unsigned char http11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  int chosen =
      SSL_select_next_proto(const_cast<unsigned char**>(out), out_size, http11, sizeof http11, in, in_size);
  return chosen == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

TlsContext::~TlsContext() {
  SSL_CTX_free(handle_);
}

Result<std::shared_ptr<TlsContext>> TlsContext::create(const TlsConfig& config) {
  SSL_CTX* raw = SSL_CTX_new(TLS_server_method());
  if (raw == nullptr) return tls_error("OpenSSL cannot be set up");
  std::shared_ptr<TlsContext> context(new TlsContext(raw));
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(
      raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  static const unsigned char session_context[] = "berth";
  SSL_CTX_set_session_id_context(raw, session_context, sizeof session_context - 1);
  SSL_CTX_set_alpn_select_cb(raw, choose_protocol, nullptr);
  ERR_clear_error();
  CHECK(use_certificate(raw, config.certificate));
  Bio pem = reader_of(config.key);
  Key key(PEM_read_bio_PrivateKey(pem.get(), nullptr, no_password, nullptr));
  if (!key) return tls_error("the key is no PEM private key without password");
  if (SSL_CTX_use_PrivateKey(raw, key.get()) != 1 || SSL_CTX_check_private_key(raw) != 1)
    return tls_error("key and certificate do not belong together");
  if (!config.client_ca.empty()) CHECK(use_client_ca(raw, config.client_ca));
  return context;
}

struct TlsSession::Impl {
  /// Edge-triggered: whoever is told tries everything until the kernel says EAGAIN.
  struct Side final : detail::Pollable {
    explicit Side(Condition& condition) : changed(condition) {}
    void on_events(uint32_t events) override {
      if (events & (EPOLLHUP | EPOLLERR)) hung_up = true;
      changed.notify_all();
    }
    Condition& changed;
    sys::UniqueFd socket;
    bool watched = false;
    bool hung_up = false;
  };

  Impl(EventLoop& event_loop, std::shared_ptr<TlsContext> of) : loop(event_loop), context(std::move(of)) {}
  ~Impl() {
    for (Side* side : {&outer, &inner}) {
      if (side->watched) loop.unwatch(side->socket.get(), *side);
    }
    SSL_free(ssl);
  }

  Result<void> watch(Side& side) {
    CHECK(loop.watch(side.socket.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, side));
    side.watched = true;
    return {};
  }
  Task<Result<void>> shake_hands();
  bool move_inward();
  bool move_outward();
  bool pass_on_inward(std::string_view bytes);
  bool pass_on_outward(std::string_view bytes);

  EventLoop& loop;
  std::shared_ptr<TlsContext> context;
  Condition changed;
  Side outer{changed};  // encrypted
  Side inner{changed};  // plain
  SSL* ssl = nullptr;
  std::string to_inner, to_outer;  // taken from one side, not yet accepted by the other
  bool inward_ended = false, outward_ended = false;
  bool ended = false;
  static std::array<char, kPiece> scratch;  // the loop's thread alone uses it
};
std::array<char, kPiece> TlsSession::Impl::scratch;

Task<Result<void>> TlsSession::Impl::shake_hands() {
  while (true) {
    ERR_clear_error();
    int done = SSL_accept(ssl);
    if (done == 1) co_return Result<void>();
    int reason = SSL_get_error(ssl, done);
    if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
      co_return failure(Kind::Unauthenticated, "TLS handshake failed: {}", openssl_reason());
    }
    if (outer.hung_up) co_return Error(Kind::Cancelled, "the client closed the connection");
    co_await changed.wait();
  }
}

/// False when the side takes nothing now; what is left is kept.
bool TlsSession::Impl::pass_on_inward(std::string_view bytes) {
  ssize_t sent = ::send(inner.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) {
    // Nobody reads there any more; the other direction decides when the session ends.
    inward_ended = true;
    to_inner.clear();
    return true;
  }
  std::string rest(bytes.substr(sent < 0 ? 0 : static_cast<size_t>(sent)));
  to_inner = std::move(rest);
  return sent > 0;
}

bool TlsSession::Impl::move_inward() {
  if (!to_inner.empty()) {
    std::string waiting = std::move(to_inner);
    return pass_on_inward(waiting);
  }
  if (inward_ended) {
    if (outer.hung_up) ended = true;
    return ended;
  }
  ERR_clear_error();
  int got = SSL_read(ssl, scratch.data(), static_cast<int>(scratch.size()));
  if (got > 0) {
    pass_on_inward({scratch.data(), static_cast<size_t>(got)});
    return true;
  }
  switch (SSL_get_error(ssl, got)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return false;
    case SSL_ERROR_ZERO_RETURN:  // close_notify: the client sends no more, but may still read
      inward_ended = true;
      ::shutdown(inner.socket.get(), SHUT_WR);
      return true;
    default:
      ended = true;  // cut off, not ended: the request must look truncated
      return true;
  }
}

bool TlsSession::Impl::pass_on_outward(std::string_view bytes) {
  ERR_clear_error();
  int sent = SSL_write(ssl, bytes.data(), static_cast<int>(bytes.size()));
  if (sent <= 0) {
    int reason = SSL_get_error(ssl, sent);
    if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
      ended = true;
      return true;
    }
  }
  std::string rest(bytes.substr(sent > 0 ? static_cast<size_t>(sent) : 0));
  to_outer = std::move(rest);
  return sent > 0;
}

bool TlsSession::Impl::move_outward() {
  if (!to_outer.empty()) {
    std::string waiting = std::move(to_outer);
    return pass_on_outward(waiting);
  }
  if (outward_ended) {
    // Closed and not only shut down: nobody is left to relay for.
    if (inner.hung_up) ended = true;
    return ended;
  }
  ssize_t got = ::recv(inner.socket.get(), scratch.data(), scratch.size(), MSG_DONTWAIT);
  if (got > 0) {
    pass_on_outward({scratch.data(), static_cast<size_t>(got)});
    return true;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
  outward_ended = true;
  ERR_clear_error();
  SSL_shutdown(ssl);
  return true;
}

TlsSession::TlsSession(EventLoop& loop, std::shared_ptr<TlsContext> context, sys::UniqueFd socket)
    : impl_(std::make_unique<Impl>(loop, std::move(context))) {
  impl_->outer.socket = std::move(socket);
}
TlsSession::~TlsSession() = default;

Task<Result<sys::UniqueFd>> TlsSession::open(std::chrono::milliseconds limit) {
  Impl& self = *impl_;
  self.ssl = SSL_new(self.context->handle());
  if (self.ssl == nullptr || SSL_set_fd(self.ssl, self.outer.socket.get()) != 1) {
    ERR_clear_error();
    co_return Error(Kind::Exhausted, "no memory for a TLS session");
  }
  CO_CHECK(self.watch(self.outer));
  auto handshake = self.shake_hands();
  CO_CHECK(co_await with_deadline(std::move(handshake), std::chrono::steady_clock::now() + limit));
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
    co_return Error::from_errno("create socket pair", "TLS session", errno);
  }
  self.inner.socket.reset(pair[0]);
  sys::UniqueFd plain(pair[1]);
  CO_CHECK(self.watch(self.inner));
  co_return plain;
}

Task<void> TlsSession::relay() {
  Impl& self = *impl_;
  for (unsigned pieces = 1; !self.ended; ++pieces) {
    bool inward = self.move_inward();
    bool outward = self.ended || self.move_outward();
    if (self.ended) co_return;
    if (!inward && !outward) {
      co_await self.changed.wait();
    } else if (pieces % kPiecesPerTurn == 0) {
      co_await self.loop.yield();
    }
  }
}

bool TlsSession::is_flushed() const {
  int waiting = 0;
  if (!impl_->inner.socket || impl_->ended) return true;
  ::ioctl(impl_->inner.socket.get(), FIONREAD, &waiting);
  return impl_->to_outer.empty() && waiting == 0;
}

}  // namespace berth::io
