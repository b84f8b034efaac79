// The daemon's log lines.
#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <string>

#include "base/clock.h"
#include "base/json.h"
#include "base/log_lines.h"

namespace berth::log {
namespace {

std::atomic<Level> threshold = Level::Info;
std::atomic<Format> line_format = Format::Text;

std::string_view name(Level level) {
  switch (level) {
    case Level::Debug:
      return "debug";
    case Level::Info:
      return "info";
    case Level::Warn:
      return "warn";
    case Level::Error:
      return "error";
  }
  return "error";
}

}  // namespace

void set_level(Level level) {
  threshold = level;
}
void set_format(Format format) {
  line_format = format;
}
bool enabled(Level level) {
  return level >= threshold.load(std::memory_order_relaxed);
}

void write(Level level, std::string_view message) {
  if (line_format.load(std::memory_order_relaxed) == Format::Json) {
    std::string line =
        to_json(Json{{"level", name(level)}, {"msg", message}, {"time", to_rfc3339_fixed(now())}}) + "\n";
    [[maybe_unused]] ssize_t count = ::write(STDERR_FILENO, line.data(), line.size());
    return;
  }
  std::string line = fmt::format("{} {:5} ", to_rfc3339_fixed(now()), name(level));
  for (char c : message) {
    // Names and paths come from outside: a newline must not forge a second log line.
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      line += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      line.push_back(c);
    }
  }
  line.push_back('\n');
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace berth::log
