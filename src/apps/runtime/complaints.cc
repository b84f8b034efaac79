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

void Complaints::say(std::string_view level, std::string_view message) const {
  std::string time = to_rfc3339(now());
  Json quoted = std::string(message);
  std::string text = fmt::format("time=\"{}\" level={} msg={}\n", time, level, to_json(quoted));
  std::string line = text;
  if (format_ == Format::Json) {
    Json record = {{"level", level}, {"msg", message}, {"time", time}};
    line = to_json(record) + "\n";
  }
  if (!path_.empty()) {
    sys::UniqueFd file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (file) (void)sys::write_all(file.get(), line);
  }
  (void)sys::write_all(STDERR_FILENO, fmt::format("berth-runtime: {}\n", message));
}

}  // namespace berth::runtime
