// Errors and warnings, told.
#include "apps/runtime/complaints.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/clock.h"
#include "base/format.h"
#include "base/json.h"
#include "sys/file.h"

namespace berth::runtime {

Result<void> Complaints::check() const {
  if (path_.empty()) return {};
  sys::UniqueFd file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!file) return Error::from_errno("open log", path_, errno);
  return {};
}

std::string Complaints::line(std::string_view level, std::string_view message) const {
  std::string time = to_rfc3339(now());
  if (format_ == Format::Json)
    return to_json(Json{{"level", level}, {"msg", message}, {"time", time}}) + "\n";
  return fmt::format("time=\"{}\" level={} msg={}\n", time, level, to_json(Json(std::string(message))));
}

/// False when there is no log.
bool Complaints::write_log(std::string_view line) const {
  if (path_.empty()) return false;
  sys::UniqueFd file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (file) (void)sys::write_all(file.get(), line);
  return true;
}

void Complaints::say(std::string_view level, std::string_view message) const {
  write_log(line(level, message));
  (void)sys::write_all(STDERR_FILENO, fmt::format("berth-runtime: {}\n", message));
}

void Complaints::debug(std::string_view message) const {
  if (!debug_) return;
  std::string text = line("debug", message);
  if (!write_log(text)) (void)sys::write_all(STDERR_FILENO, text);
}

}  // namespace berth::runtime
