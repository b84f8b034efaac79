// Stream: buffered writing to one of the program's own descriptors (or to memory, for tests). No iostreams:
// they would cost a third of the start-up time.
#pragma once

#include <string>
#include <string_view>

#include "base/format.h"

namespace berth::cli::output {

class Stream {
 public:
  /// Writes to `fd`, which stays the caller's. A negative fd keeps everything in memory (see text()).
  explicit Stream(int fd) : fd_(fd) {}
  ~Stream() { flush(); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void write(std::string_view text);
  template <class... Args>
  void print(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(buffer_), format, std::forward<Args>(args)...);
    if (buffer_.size() >= threshold) flush();
  }
  void line(std::string_view text) {
    write(text);
    write("\n");
  }

  /// Hands the buffer to the kernel. After a failed write everything else is dropped; broken() tells.
  void flush();
  /// errno of the first write that failed, else 0. EPIPE is what `berth ps | head` gives.
  int broken() const { return broken_; }

  int fd() const { return fd_; }
  bool is_terminal() const;
  /// Columns of the terminal, or 0.
  unsigned columns() const;
  /// What was written so far; only for a stream without descriptor.
  const std::string& text() const { return buffer_; }

 private:
  static constexpr size_t threshold = 32 * 1024;
  int fd_;
  int broken_ = 0;
  std::string buffer_;
};

/// write(2) until all is written; returns 0 or errno. EAGAIN on a descriptor that someone made non-blocking
/// waits for it to become writable.
int write_fully(int fd, std::string_view bytes);

}  // namespace berth::cli::output
