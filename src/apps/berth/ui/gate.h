// Gate: who may use the page's server. Everything on the machine can reach a loopback port, every page in the
// user's browser too, so three things are asked for: the request names this server (Host, against DNS
// rebinding) and comes from its own page (Origin, Sec-Fetch-Site); its cookie is the session's; and it
// repeats a key. Cookies do not know ports: the browser shows them to whatever else serves on 127.0.0.1,
// published ports of containers among them. The key stays with the page's own origin, so the cookie alone
// opens nothing. Pure but for the random numbers of create().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/http_message.h"

namespace berth::cli::ui {

/// Why a request is not served.
struct Refusal {
  int status;  ///< of the answer
  std::string message;
};

class Gate {
 public:
  /// With secrets from getrandom(2), for a server on this port.
  static Gate create(uint16_t port);
  Gate(std::string token, std::string session, std::string key, uint16_t port);

  /// What opens the door the first time, 64 hex digits: part of the address that the command prints.
  const std::string& token() const { return token_; }
  /// What the page keeps and sends as Berth-Key, or with WebSockets as the subprotocol "key-<key>".
  const std::string& key() const { return key_; }
  /// The Set-Cookie field that begins a session.
  std::string cookie() const;

  /// 421 for a Host that is not a name of the loopback, 403 for another page's request.
  static std::optional<Refusal> refuse_foreign(const io::HttpRequestHead& head);
  /// True when `token` is the one.
  bool admits(std::string_view token) const;
  /// 401 unless cookie and key are this session's.
  std::optional<Refusal> refuse_stranger(const io::HttpRequestHead& head) const;

 private:
  std::string cookie_name() const;

  std::string token_, session_, key_;
  uint16_t port_;
};

}  // namespace berth::cli::ui
