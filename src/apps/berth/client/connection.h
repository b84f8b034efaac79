// Connection: one stream to the engine with the bytes that were read ahead.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::cli::client {

class Connection {
 public:
  Connection() = default;
  explicit Connection(sys::UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }

  /// Sends all of it, waiting as long as it takes.
  Result<void> send(std::string_view bytes);
  enum class Wait { Block, Poll };
  enum class Got { Bytes, End, Nothing };
  /// Reads what is there into buffered(). Nothing: only with Wait::Poll.
  Result<Got> receive(Wait wait = Wait::Block);

  /// Bytes received and not consumed yet; whoever parses them moves the front on with consume().
  std::string_view buffered() const { return std::string_view(buffer_).substr(start_); }
  void consume_to(std::string_view rest) { start_ = buffer_.size() - rest.size(); }

 private:
  sys::UniqueFd fd_;
  std::string buffer_;
  size_t start_ = 0;
};

}  // namespace berth::cli::client
