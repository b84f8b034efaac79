// The daemon's own log: one line per message on stderr, level filtered. Libraries below engine/ do not log
// above debug: they return errors, and the boundary that handles one logs it once.
#pragma once

#include <string_view>

#include "base/format.h"

namespace berth::log {

enum class Level { Debug, Info, Warn, Error };

void set_level(Level level);
bool enabled(Level level);
/// Writes `time level message` with one write(2); control characters in the message are escaped.
void write(Level level, std::string_view message);

template <class... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::Debug)) write(Level::Debug, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::Info)) write(Level::Info, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::Warn)) write(Level::Warn, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::Error)) write(Level::Error, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace berth::log
