// Checks of origin and session.
#include "apps/berth/ui/gate.h"

#include <openssl/crypto.h>

#include "base/format.h"
#include "base/id.h"

namespace berth::cli::ui {
namespace {

constexpr size_t secret_bytes = 32;
constexpr std::string_view key_protocol = "key-";

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

/// "127.0.0.1:8080" -> "127.0.0.1". Whatever port: a forwarded one has another number on the near side.
std::string_view host_name(std::string_view authority) {
  size_t colon = authority.rfind(':');
  std::string_view port = colon == std::string_view::npos ? "" : authority.substr(colon + 1);
  bool is_port = !port.empty() && port.find_first_not_of("0123456789") == std::string_view::npos;
  return is_port ? authority.substr(0, colon) : authority;
}

bool is_loopback(std::string_view host) {
  for (std::string_view name : {"127.0.0.1", "localhost", "[::1]"}) {
    if (io::equals_ignoring_case(host, name)) return true;
  }
  return false;
}

/// The value of a cookie, from all Cookie fields.
std::string_view cookie_value(const io::HttpHeaders& headers, std::string_view name) {
  for (std::string_view list : headers.all("Cookie")) {
    while (!list.empty()) {
      size_t end = list.find(';');
      std::string_view pair = trim(list.substr(0, end));
      if (pair.starts_with(name) && pair.substr(name.size()).starts_with('='))
        return pair.substr(name.size() + 1);
      list = end == std::string_view::npos ? std::string_view() : list.substr(end + 1);
    }
  }
  return {};
}

/// Of "berth, key-abc" the "abc".
std::string_view key_of_protocols(const io::HttpHeaders& headers) {
  for (std::string_view list : headers.all("Sec-WebSocket-Protocol")) {
    while (!list.empty()) {
      size_t end = list.find(',');
      std::string_view protocol = trim(list.substr(0, end));
      if (protocol.starts_with(key_protocol)) return protocol.substr(key_protocol.size());
      list = end == std::string_view::npos ? std::string_view() : list.substr(end + 1);
    }
  }
  return {};
}

}  // namespace

Gate::Gate(std::string token, std::string session, std::string key, uint16_t port)
    : token_(std::move(token)), session_(std::move(session)), key_(std::move(key)), port_(port) {}

Gate Gate::create(uint16_t port) {
  return Gate(random_hex(secret_bytes), random_hex(secret_bytes), random_hex(secret_bytes), port);
}

std::string Gate::cookie_name() const {
  // Cookies do not know ports, so two servers must not share a name.
  return fmt::format("berth-ui-{}", port_);
}

std::string Gate::cookie() const {
  return fmt::format("{}={}; Path=/; HttpOnly; SameSite=Strict", cookie_name(), session_);
}

std::optional<Refusal> Gate::refuse_foreign(const io::HttpRequestHead& head) {
  std::string_view host = head.headers.get("Host").value_or("");
  if (!is_loopback(host_name(host))) {
    return Refusal{421, fmt::format("\"{}\" is not this page's address: use http://127.0.0.1 or "
                                    "http://localhost with its port",
                                    host.substr(0, 100))};
  }
  auto origin = head.headers.get("Origin");
  bool own_origin = !origin || io::equals_ignoring_case(*origin, fmt::format("http://{}", host));
  std::string_view site = head.headers.get("Sec-Fetch-Site").value_or("none");
  // A link from elsewhere may lead to the page; what it loads and asks for is always its own.
  bool is_visit = head.method == "GET" && head.headers.get("Sec-Fetch-Mode") == "navigate";
  bool own_site = site == "same-origin" || site == "none" || is_visit;
  if (!own_origin || !own_site) return Refusal{403, "only berth's own page may ask for this"};
  return std::nullopt;
}

bool Gate::admits(std::string_view token) const {
  return equal_in_constant_time(token, token_);
}

std::optional<Refusal> Gate::refuse_stranger(const io::HttpRequestHead& head) const {
  std::string_view key = head.headers.get("Berth-Key").value_or(key_of_protocols(head.headers));
  bool right_cookie = equal_in_constant_time(cookie_value(head.headers, cookie_name()), session_);
  bool right_key = equal_in_constant_time(key, key_);
  if (right_cookie && right_key) return std::nullopt;
  return Refusal{401, "not signed in: open the address that \"berth ui\" printed"};
}

}  // namespace berth::cli::ui
