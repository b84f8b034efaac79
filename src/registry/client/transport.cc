// One request by libcurl's easy interface.
#include "registry/client/transport.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/format.h"
#include "io/curl_library.h"
#include "registry/client/certificates.h"
#include "registry/client/challenge.h"
#include "registry/client/realm_policy.h"

namespace berth::registry {
namespace {

using io::CurlLibrary;

constexpr size_t max_head = 64u << 10;
constexpr long buffer_size = 512L << 10;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == '\r' || text.back() == '\n' || text.back() == ' '))
    text.remove_suffix(1);
  return text;
}

struct ListDeleter {
  const CurlLibrary* library;
  void operator()(curl_slist* list) const { library->slist_free_all(list); }
};

/// One request under way, as libcurl's callbacks see it.
struct Exchange {
  const HttpRequest& request;
  HttpAnswer answer = {};
  size_t head_bytes = 0;
  bool head_told = false;
  uint64_t body_left = 0;
  std::optional<Error> error = {};
  bool address_refused = false;

  bool succeeds() const { return answer.status >= 200 && answer.status < 300; }
  Result<void> take(std::string_view bytes) {
    if (request.sink != nullptr && succeeds()) {
      CHECK(tell_head());
      return request.sink->write(bytes);
    }
    if (answer.body.size() + bytes.size() > request.max_body) {
      // Of an error page the beginning is enough.
      if (!succeeds()) return {};
      return failure(Kind::Exhausted, "{} answers with more than {} bytes", request.url.str(),
                     request.max_body);
    }
    answer.body.append(bytes);
    return {};
  }
  Result<void> tell_head() {
    if (head_told) return {};
    head_told = true;
    return request.on_head ? request.on_head(answer) : Result<void>();
  }
};

size_t on_body(char* data, size_t, size_t count, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  auto taken = exchange.take({data, count});
  if (taken) return count;
  exchange.error = std::move(taken).error();
  return 0;
}

size_t on_header(char* data, size_t, size_t count, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  std::string_view line(data, count);
  exchange.head_bytes += count;
  if (exchange.head_bytes > max_head) {
    exchange.error = failure(Kind::Exhausted, "{} answers with more than {} bytes of headers",
                             exchange.request.url.str(), max_head);
    return 0;
  }
  if (line.starts_with("HTTP/")) {
    size_t space = line.find(' ');
    exchange.answer.status = space == std::string_view::npos ? 0 : std::atol(line.substr(space + 1).data());
    exchange.answer.headers.clear();
    return count;
  }
  size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return count;
  std::string name(line.substr(0, colon));
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  exchange.answer.headers.emplace_back(std::move(name), std::string(trimmed(line.substr(colon + 1))));
  return count;
}

size_t on_read(char* buffer, size_t size, size_t count, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  uint64_t room = std::min<uint64_t>(size * count, exchange.body_left);
  if (room == 0) return 0;
  auto read = exchange.request.body->read({buffer, static_cast<size_t>(room)});
  if (read && *read == 0 && exchange.request.body_size == kUntilItEnds) return 0;
  if (read && *read > 0) {
    exchange.body_left -= *read;
    return *read;
  }
  exchange.error = read ? failure(Kind::Corrupt, "a body ends {} bytes early", exchange.body_left)
                        : std::move(read).error();
  return CURL_READFUNC_ABORT;
}

int on_progress(void* context, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Exchange*>(context)->request.stop.stop_requested() ? 1 : 0;
}

std::optional<sys::IpAddress> address_of(const sockaddr& address) {
  std::span<const uint8_t> bytes;
  if (address.sa_family == AF_INET) {
    bytes = {reinterpret_cast<const uint8_t*>(&reinterpret_cast<const sockaddr_in&>(address).sin_addr), 4};
  } else if (address.sa_family == AF_INET6) {
    bytes = {reinterpret_cast<const uint8_t*>(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr), 16};
  }
  auto parsed = sys::IpAddress::from_bytes(bytes);
  return parsed ? std::optional(*parsed) : std::nullopt;
}

curl_socket_t open_socket(void* context, curlsocktype, curl_sockaddr* address) {
  auto& exchange = *static_cast<Exchange*>(context);
  if (exchange.request.reach == Reach::PublicOnly) {
    auto peer = address_of(address->addr);
    if (!peer || is_inner_address(*peer)) {
      exchange.address_refused = true;
      errno = EACCES;
      return CURL_SOCKET_BAD;
    }
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

bool is_loopback(const Url& url) {
  std::string host = url.host.starts_with('[') ? url.host.substr(1, url.host.size() - 2) : url.host;
  auto address = sys::IpAddress::parse(host);
  return host == "localhost" || (address && address->is_loopback());
}

std::string proxy_for(const Settings& settings, const Url& url) {
  if (is_loopback(url)) return {};
  Proxies proxies = proxies_in_force(settings);
  return url.is_https() ? proxies.https : proxies.http;
}

/// "Get", "Head": as Go words what failed.
std::string verb(const std::string& method) {
  std::string word = method;
  for (size_t i = 1; i < word.size(); ++i) word[i] = static_cast<char>(word[i] | 0x20);
  return word;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// docker's words for what libcurl says.
std::string reason(CURLcode code, long os_error, const Url& url, std::string_view detail) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return fmt::format("dial tcp: lookup {}: no such host", url.host);
    case CURLE_COULDNT_RESOLVE_PROXY:
      return fmt::format("the proxy's name cannot be resolved ({})", detail);
    case CURLE_COULDNT_CONNECT: {
      std::string why(os_error == ECONNREFUSED ? "connection refused"
                      : os_error != 0          ? std::strerror(static_cast<int>(os_error))
                                               : detail);
      // libcurl says whom it could not reach: through a proxy that is not the registry.
      bool is_proxy = contains(detail, "Failed to connect to ") && !contains(detail, url.host);
      if (is_proxy) return fmt::format("proxyconnect tcp: {} (proxy)", detail);
      return fmt::format("dial tcp {}:{}: connect: {}", url.host, url.port, why);
    }
    case CURLE_OPERATION_TIMEDOUT:
      return fmt::format("net/http: request timed out ({})", detail);
    case CURLE_PEER_FAILED_VERIFICATION:
      return fmt::format(
          "tls: failed to verify certificate: x509: certificate signed by unknown authority or for another "
          "name "
          "({}); a CA of your own goes to /etc/berth/certs.d/{}/ca.crt",
          detail, url.authority());
    case CURLE_SSL_CONNECT_ERROR:
      if (contains(detail, "wrong version number") || contains(detail, "http request"))
        return "http: server gave HTTP response to HTTPS client";
      return fmt::format("remote error: tls: {}", detail);
    case CURLE_GOT_NOTHING:
      return "EOF";
    case CURLE_PARTIAL_FILE:
      return "unexpected EOF";
    default:
      return std::string(detail);
  }
}

Trouble trouble_of(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
      return Trouble::Connect;
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:  // a kept connection broke, and the body cannot be read again
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
      return Trouble::Broken;
    default:
      return Trouble::Fatal;
  }
}

}  // namespace

struct Transport::State {
  explicit State(std::shared_ptr<const Settings> given) : settings(std::move(given)) {}
  ~State() {
    if (curl != nullptr) library->easy_cleanup(curl);
  }
  std::shared_ptr<const Settings> settings;
  const CurlLibrary* library = nullptr;
  CURL* curl = nullptr;
  std::string address;
  std::string proxy;
  std::string no_proxy;
  Certificates certificates;

  template <class T>
  void set(CURLoption option, T value) {
    library->easy_setopt(curl, option, value);
  }
  Result<void> open();
  Result<void> set_up(Exchange& exchange, curl_slist* headers, char* detail);
  Result<void> set_up_tls(const Url& url);
  void set_up_body(Exchange& exchange);
  HttpOutcome outcome(Exchange& exchange, CURLcode code, const char* detail);
};

Result<void> Transport::State::open() {
  if (curl != nullptr) return {};
  TRY(library, CurlLibrary::load());
  curl = library->easy_init();
  if (curl == nullptr) return Error(Kind::Exhausted, "out of memory for a request");
  return {};
}

Result<void> Transport::State::set_up_tls(const Url& url) {
  if (!url.is_https()) return {};
  TRY(certificates, find_certificates(*settings, url));
  bool verified = !is_insecure(*settings, url);
  set(CURLOPT_SSL_VERIFYPEER, verified ? 1L : 0L);
  set(CURLOPT_SSL_VERIFYHOST, verified ? 2L : 0L);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!certificates.authorities.empty()) {
    // Besides the system's authorities, which CURLOPT_CAPATH still names.
    curl_blob blob{certificates.authorities.data(), certificates.authorities.size(), CURL_BLOB_COPY};
    set(CURLOPT_CAINFO_BLOB, &blob);
  }
  if (!certificates.client_certificate.empty()) {
    set(CURLOPT_SSLCERT, certificates.client_certificate.c_str());
    set(CURLOPT_SSLKEY, certificates.client_key.c_str());
  }
  return {};
}

void Transport::State::set_up_body(Exchange& exchange) {
  const HttpRequest& request = exchange.request;
  if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (request.body != nullptr) {
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_UPLOAD_BUFFERSIZE, buffer_size);
    set(CURLOPT_READFUNCTION, &on_read);
    set(CURLOPT_READDATA, &exchange);
    // Without a size libcurl sends chunks.
    if (request.body_size != kUntilItEnds)
      set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body_size));
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    exchange.body_left = request.body_size;
  } else if (request.method != "GET") {
    set(CURLOPT_POSTFIELDS, "");
    set(CURLOPT_POSTFIELDSIZE, 0L);
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

Result<void> Transport::State::set_up(Exchange& exchange, curl_slist* headers, char* detail) {
  const HttpRequest& request = exchange.request;
  library->easy_reset(curl);  // keeps the connections
  address = request.url.str();
  proxy = proxy_for(*settings, request.url);
  no_proxy = proxies_in_force(*settings).none;
  set(CURLOPT_URL, address.c_str());
  set(CURLOPT_PROXY, proxy.c_str());
  set(CURLOPT_NOPROXY, no_proxy.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT, 30L);
  // A transfer that moves nothing for half a minute has stalled.
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, 30L);
  set(CURLOPT_BUFFERSIZE, buffer_size);
  set(CURLOPT_USERAGENT, "berth/" BERTH_VERSION);
  set(CURLOPT_HTTPHEADER, headers);
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, &exchange);
  set(CURLOPT_HEADERFUNCTION, &on_header);
  set(CURLOPT_HEADERDATA, &exchange);
  set(CURLOPT_XFERINFOFUNCTION, &on_progress);
  set(CURLOPT_XFERINFODATA, &exchange);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_ERRORBUFFER, detail);
  if (proxy.empty()) {
    set(CURLOPT_OPENSOCKETFUNCTION, &open_socket);
    set(CURLOPT_OPENSOCKETDATA, &exchange);
  }
  set_up_body(exchange);
  return set_up_tls(request.url);
}

HttpOutcome Transport::State::outcome(Exchange& exchange, CURLcode code, const char* detail) {
  const HttpRequest& request = exchange.request;
  HttpOutcome outcome;
  const char* peer = nullptr;
  library->easy_getinfo(curl, CURLINFO_PRIMARY_IP, &peer);
  auto address = peer != nullptr && proxy.empty() ? sys::IpAddress::parse(peer)
                                                  : Result<sys::IpAddress>(Error(Kind::NotFound, "unknown"));
  exchange.answer.peer_is_inner = address && is_inner_address(*address);
  if (code == CURLE_OK && exchange.succeeds() && request.sink != nullptr && !exchange.error) {
    // An empty body has called nobody yet.
    if (auto told = exchange.tell_head(); !told) exchange.error = std::move(told).error();
  }
  outcome.answer = std::move(exchange.answer);
  if (exchange.error) {
    outcome.trouble = Trouble::Fatal;
    outcome.error = std::move(exchange.error);
  } else if (request.stop.stop_requested()) {
    outcome.trouble = Trouble::Fatal;
    outcome.error = Error(Kind::Cancelled, "context canceled");
  } else if (exchange.address_refused) {
    outcome.trouble = Trouble::Fatal;
    outcome.error =
        failure(Kind::Forbidden,
                "{} \"{}\": refused, since the registry sends this request to an address in a private "
                "network, where the registry itself is not",
                verb(request.method), request.url.str());
  } else if (code != CURLE_OK) {
    outcome.trouble = trouble_of(code);
    long os_error = 0;
    library->easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_error);
    std::string words = detail[0] != '\0' ? detail : library->easy_strerror(code);
    outcome.error = failure(Kind::Unavailable, "{} \"{}\": {}", verb(request.method), request.url.str(),
                            one_line(reason(code, os_error, request.url, words)));
  }
  return outcome;
}

Transport::Transport(std::shared_ptr<const Settings> settings)
    : state_(std::make_unique<State>(std::move(settings))) {}
Transport::~Transport() = default;
Transport::Transport(Transport&&) noexcept = default;

HttpOutcome Transport::perform(const HttpRequest& request) {
  if (auto opened = state_->open(); !opened)
    return {.trouble = Trouble::Fatal, .error = std::move(opened).error()};
  Exchange exchange{.request = request};
  std::unique_ptr<curl_slist, ListDeleter> headers(nullptr, ListDeleter{state_->library});
  auto add = [&](const char* line) { headers.reset(state_->library->slist_append(headers.release(), line)); };
  for (const std::string& line : request.headers) add(line.c_str());
  add("Expect:");  // a second of waiting for nothing
  char detail[CURL_ERROR_SIZE] = {};
  if (auto ready = state_->set_up(exchange, headers.get(), detail); !ready)
    return {.trouble = Trouble::Fatal, .error = std::move(ready).error()};
  CURLcode code = state_->library->easy_perform(state_->curl);
  return state_->outcome(exchange, code, detail);
}

std::string_view HttpAnswer::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

std::string HttpAnswer::header_list(std::string_view name) const {
  std::string all;
  for (const auto& [key, value] : headers) {
    if (key != name) continue;
    if (!all.empty()) all += ", ";
    all += value;
  }
  return all;
}

}  // namespace berth::registry
