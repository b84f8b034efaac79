// Transport: one HTTP request and its answer, by libcurl, without any thought of credentials, redirects or
// retries (session.h). Keeps its connection open between requests. Blocking; one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "registry/client/settings.h"
#include "registry/client/url.h"
#include "storage/byte_stream.h"

namespace berth::registry {

/// Which addresses a request may reach: what a public registry chose must not lead into private networks.
enum class Reach { Anywhere, PublicOnly };

/// The size of a body that is not known before it has been sent.
constexpr uint64_t kUntilItEnds = UINT64_MAX;

struct HttpRequest {
  std::string method = "GET";
  Url url;
  std::vector<std::string> headers = {};  ///< "Name: value"
  /// A body; `body_size` bytes of it are sent, or (kUntilItEnds) all that it has, in chunks.
  storage::ByteSource* body = nullptr;
  uint64_t body_size = 0;
  /// Where the body of a 2xx answer goes as it comes; without it into HttpAnswer::body.
  storage::ByteSink* sink = nullptr;
  /// Called with the head of a 2xx answer before its body goes to `sink`; an error ends the transfer.
  std::function<Result<void>(const struct HttpAnswer&)> on_head = {};
  size_t max_body = size_t{1} << 20;  ///< of HttpAnswer::body
  Reach reach = Reach::Anywhere;
  std::stop_token stop = {};
};

struct HttpAnswer {
  long status = 0;
  std::vector<std::pair<std::string, std::string>> headers = {};  ///< names in lower case
  std::string body = {};
  bool peer_is_inner = false;  ///< the peer's address is a private one (not known behind a proxy)

  /// The first of that name; empty when missing.
  std::string_view header(std::string_view name) const;
  /// All of that name, joined by ", ".
  std::string header_list(std::string_view name) const;
};

/// Why no answer came, as far as the caller acts differently.
enum class Trouble {
  None,
  Connect,  ///< nobody there, or no TLS there
  Broken,   ///< the connection ended or stalled in the middle
  Fatal,    ///< certificate, policy, sink, stop: another attempt changes nothing
};

struct HttpOutcome {
  HttpAnswer answer = {};
  Trouble trouble = Trouble::None;
  std::optional<Error> error = {};  ///< with trouble, and only then
};

class Transport {
 public:
  explicit Transport(std::shared_ptr<const Settings> settings);
  ~Transport();
  Transport(Transport&&) noexcept;

  /// Errors are worded as docker's: `Get "https://host/v2/": dial tcp: ...`.
  HttpOutcome perform(const HttpRequest& request);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::registry
