// OpenSSL as a client, and the process that relays.
#include "apps/berth/client/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string_view>

#include "base/format.h"

namespace berth::cli::client {
namespace {

constexpr int handshake_seconds = 30;
constexpr size_t piece_size = 16 * 1024;

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct FreeSession {
  void operator()(SSL* session) const { SSL_free(session); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeContext>;
using TlsSession = std::unique_ptr<SSL, FreeSession>;

std::string reason() {
  unsigned long code = ERR_get_error();
  const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? "the connection was closed" : text;
}

Result<TlsContext> make_context(const TlsFiles& files) {
  TlsContext context(SSL_CTX_new(TLS_client_method()));
  if (!context) return failure(Kind::Internal, "TLS cannot be set up: {}", reason());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (files.server == TlsFiles::Server::Verified) {
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    bool loaded =
        files.ca.empty()
            ? SSL_CTX_load_verify_locations(context.get(), "/etc/ssl/certs/ca-certificates.crt", nullptr) == 1
            : SSL_CTX_load_verify_locations(context.get(), files.ca.c_str(), nullptr) == 1;
    if (!loaded && !files.ca.empty()) {
      return failure(Kind::InvalidArgument, "could not read CA certificate \"{}\": {}", files.ca, reason());
    }
  }
  if (files.certificate.empty() != files.key.empty()) {
    return Error(Kind::InvalidArgument,
                 "a client certificate needs its key: give both --tlscert and --tlskey");
  }
  if (!files.certificate.empty()) {
    if (SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1) {
      return failure(Kind::InvalidArgument, "could not load client certificate \"{}\": {}", files.certificate,
                     reason());
    }
    if (SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
      return failure(Kind::InvalidArgument, "could not load client key \"{}\": {}", files.key, reason());
    }
  }
  ERR_clear_error();
  return context;
}

void name_server(SSL* session, const std::string& host) {
  std::array<unsigned char, 16> address;
  bool is_address = ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
                    ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
  if (is_address) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host.c_str());
  } else {
    SSL_set_tlsext_host_name(session, host.c_str());
    SSL_set1_host(session, host.c_str());
  }
}

void set_timeout(int socket, int seconds) {
  timeval limit{.tv_sec = seconds, .tv_usec = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

Result<void> shake_hands(SSL* session, int socket, const std::string& host) {
  set_timeout(socket, handshake_seconds);
  int done = SSL_connect(session);
  if (done == 1) {
    set_timeout(socket, 0);
    return {};
  }
  int cause = SSL_get_error(session, done);
  if (cause == SSL_ERROR_WANT_READ || cause == SSL_ERROR_WANT_WRITE) {
    return failure(Kind::DeadlineExceeded, "TLS with {}: no answer within {} s; does this port speak TLS?",
                   host, handshake_seconds);
  }
  long verdict = SSL_get_verify_result(session);
  if (verdict != X509_V_OK) {
    return failure(Kind::Unauthenticated,
                   "TLS with {}: the engine's certificate is not trusted: {}; name its CA with --tlscacert",
                   host, X509_verify_cert_error_string(verdict));
  }
  return failure(Kind::Unauthenticated, "TLS with {} failed: {}", host, reason());
}

/// Moves bytes both ways until both are done. Blocking in poll() alone.
class Relay {
 public:
  Relay(SSL* session, int outer, int inner) : session_(session), outer_(outer), inner_(inner) {}

  void run() {
    while (!done_) {
      bool moved = receive() | send();
      if (!done_ && !moved) wait();
    }
  }

 private:
  void wait() {
    short outer_events = POLLIN;
    if (wants_write_) outer_events |= POLLOUT;
    short inner_events = 0;
    if (!to_inner_.empty()) inner_events |= POLLOUT;
    if (to_outer_.empty() && !inner_ended_) inner_events |= POLLIN;
    // Bytes that wait for the command must not wake this up over and over.
    std::array<pollfd, 2> sides{pollfd{!to_inner_.empty() || outer_ended_ ? -1 : outer_, outer_events, 0},
                                pollfd{inner_, inner_events, 0}};
    if (wants_write_ && sides[0].fd < 0) sides[0] = {outer_, POLLOUT, 0};
    if (::poll(sides.data(), sides.size(), -1) < 0 && errno != EINTR) done_ = true;
    // The command has ended: nobody is left to read the answer.
    if ((sides[1].revents & (POLLHUP | POLLERR)) != 0 && (sides[1].revents & POLLIN) == 0 &&
        to_outer_.empty())
      done_ = true;
  }

  bool receive() {
    if (to_inner_.empty() && !outer_ended_) {
      ERR_clear_error();
      std::array<char, piece_size> piece;
      int got = SSL_read(session_, piece.data(), static_cast<int>(piece.size()));
      if (got > 0) {
        to_inner_.assign(piece.data(), static_cast<size_t>(got));
      } else {
        int cause = SSL_get_error(session_, got);
        if (cause == SSL_ERROR_WANT_READ || cause == SSL_ERROR_WANT_WRITE) return false;
        outer_ended_ = true;
        ::shutdown(inner_, SHUT_WR);
        if (cause != SSL_ERROR_ZERO_RETURN) done_ = true;
        return true;
      }
    }
    if (to_inner_.empty()) return false;
    ssize_t sent = ::send(inner_, to_inner_.data(), to_inner_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) done_ = true;
    if (sent > 0) to_inner_.erase(0, static_cast<size_t>(sent));
    return sent > 0;
  }

  bool send() {
    wants_write_ = false;
    if (to_outer_.empty() && !inner_ended_) {
      std::array<char, piece_size> piece;
      ssize_t got = ::recv(inner_, piece.data(), piece.size(), MSG_DONTWAIT);
      if (got < 0) return false;
      if (got == 0) {
        inner_ended_ = true;
        SSL_shutdown(session_);
        if (outer_ended_) done_ = true;
        return true;
      }
      to_outer_.assign(piece.data(), static_cast<size_t>(got));
    }
    if (to_outer_.empty()) return false;
    ERR_clear_error();
    int sent = SSL_write(session_, to_outer_.data(), static_cast<int>(to_outer_.size()));
    if (sent > 0) {
      to_outer_.erase(0, static_cast<size_t>(sent));
      return true;
    }
    int cause = SSL_get_error(session_, sent);
    wants_write_ = cause == SSL_ERROR_WANT_WRITE;
    if (!wants_write_ && cause != SSL_ERROR_WANT_READ) done_ = true;
    return false;
  }

  SSL* session_;
  int outer_;
  int inner_;
  std::string to_inner_, to_outer_;
  bool outer_ended_ = false, inner_ended_ = false, wants_write_ = false, done_ = false;
};

/// The grandchild: holds nothing but its two sockets, and lives until they are closed.
[[noreturn]] void relay_alone(SSL* session, int outer, int inner) {
  for (int number : {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU}) {
    ::signal(number, SIG_IGN);
  }
  int low = std::min(outer, inner);
  int high = std::max(outer, inner);
  if (low > 0) ::close_range(0, static_cast<unsigned>(low) - 1, 0);
  if (high > low + 1) ::close_range(static_cast<unsigned>(low) + 1, static_cast<unsigned>(high) - 1, 0);
  ::close_range(static_cast<unsigned>(high) + 1, ~0U, 0);
  ::fcntl(outer, F_SETFL, O_NONBLOCK);
  Relay(session, outer, inner).run();
  ::_exit(0);
}

}  // namespace

Result<sys::UniqueFd> start_tls(sys::UniqueFd socket, const std::string& host, const TlsFiles& files) {
  TRY(TlsContext context, make_context(files));
  TlsSession session(SSL_new(context.get()));
  if (!session || SSL_set_fd(session.get(), socket.get()) != 1) {
    return failure(Kind::Exhausted, "TLS with {}: {}", host, reason());
  }
  name_server(session.get(), host);
  CHECK(shake_hands(session.get(), socket.get(), host));
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return Error::from_errno("create socket pair", "TLS", errno);
  }
  sys::UniqueFd ours(pair[0]);
  sys::UniqueFd theirs(pair[1]);
  // Twice, so that the relay is nobody's child to wait for. This program has one thread.
  pid_t child = ::fork();
  if (child < 0) return Error::from_errno("fork", "TLS relay", errno);
  if (child == 0) {
    if (::fork() == 0) relay_alone(session.get(), socket.get(), theirs.get());
    ::_exit(0);
  }
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  SSL_set_quiet_shutdown(session.get(), 1);
  return ours;
}

}  // namespace berth::cli::client
