// What went wrong, for people (stderr) and for callers (--log, text or JSON lines as runc writes them).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::runtime {

class Complaints {
 public:
  enum class Format { Text, Json };
  void set_log(std::string path, Format format) {
    path_ = std::move(path);
    format_ = format;
  }
  /// Whether it can be written: a log that cannot be kept is no log.
  Result<void> check() const;
  void error(std::string_view message) const { say("error", message); }
  void warn(std::string_view message) const { say("warning", message); }
  /// With --debug alone: to the log, or to stderr where there is none.
  void set_debug(bool on) { debug_ = on; }
  void debug(std::string_view message) const;

 private:
  void say(std::string_view level, std::string_view message) const;
  std::string line(std::string_view level, std::string_view message) const;
  bool write_log(std::string_view line) const;
  std::string path_;
  Format format_ = Format::Text;
  bool debug_ = false;
};

}  // namespace berth::runtime
