// BrowserConnection: the server's side of one HTTP/1.1 connection from a browser (or from anything else on
// this machine: what comes is bounded in size and time).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/http_message.h"
#include "sys/fd.h"

namespace berth::cli::ui {

class BrowserConnection {
 public:
  explicit BrowserConnection(sys::UniqueFd fd) : fd_(std::move(fd)) {}

  using Fields = std::vector<std::pair<std::string_view, std::string>>;

  int fd() const { return fd_.get(); }
  /// The next request's head; nothing when the connection has ended or was silent for two minutes. A
  /// malformed or slow one is answered here and then is the end as well.
  Result<std::optional<io::HttpRequestHead>> read_head();
  /// The body that `head` announces. Chunked or longer than `limit`: an error whose answer is 413.
  Result<std::string> read_body(const io::HttpRequestHead& head, size_t limit);
  enum class After { KeepAlive, Close };
  Result<void> respond(int status, std::string_view content_type, std::string_view body, const Fields& more,
                       After after);
  /// "101 Switching Protocols" with these fields; what follows on fd() is raw.
  Result<void> switch_protocols(const Fields& fields);
  /// Bytes that came behind the last request.
  std::string take_rest() { return std::exchange(buffer_, {}); }

  /// Sends all of it; a peer that takes nothing for half a minute is an error.
  Result<void> send(std::string_view bytes);

 private:
  /// Reads more into buffer_; false at the end or after `seconds` of silence.
  Result<bool> fill(int seconds);

  sys::UniqueFd fd_;
  std::string buffer_;
};

}  // namespace berth::cli::ui
