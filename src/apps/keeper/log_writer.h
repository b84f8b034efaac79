// LogWriter: appends records to the container's log and rotates it (launch/log_format.h).
#pragma once

#include <cstdint>
#include <string_view>

#include "launch/log_format.h"

namespace berth::keeper {

/// All zero is the state before open().
class LogWriter {
 public:
  /// Opens `path` for appending. `max_size` -1: no bound. With `ended_badly` the tail is searched for a
  /// record that a crash tore, which is cut off. `path` must stay valid. 0 or -errno.
  long open(const char* path, int64_t max_size, uint32_t max_files, bool ended_badly);
  bool is_open() const { return open_; }
  /// One record. Where the disk is full the bytes are lost, and nothing half-written stays.
  void append(launch::LogStream stream, std::string_view bytes, int64_t time);

 private:
  long open_file(bool fresh);
  void cut_torn_tail();
  void write_record(launch::LogStream stream, std::string_view bytes, int64_t time);
  void rotate();
  bool open_;
  int fd_;
  int64_t size_;
  int64_t max_size_;
  uint32_t max_files_;
  const char* path_;
};

}  // namespace berth::keeper
