// Shared file operations of control groups.
#include "sys/cgroup_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>

#include "base/format.h"
#include "sys/cgroup_stats.h"

namespace berth::sys::cgroup_files {
namespace {

using std::chrono::steady_clock;

/// Directories directly below. Control group file systems have no links, and d_type is always given.
std::vector<std::string> subdirectories(const std::string& directory) {
  std::vector<std::string> names;
  DIR* stream = ::opendir(directory.c_str());
  if (stream == nullptr) return names;
  while (const dirent* entry = ::readdir(stream)) {
    std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(stream);
  return names;
}

int milliseconds_until(steady_clock::time_point deadline) {
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60000));
}

}  // namespace

Result<void> write(const std::string& path, std::string_view value) {
  TRY(UniqueFd fd, open_file(path.c_str(), O_WRONLY));
  if (::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
    return Error::from_errno(fmt::format("write \"{}\" to", value), path, errno);
  }
  return {};
}

Result<std::string> read(const std::string& path) {
  TRY(UniqueFd fd, open_file(path.c_str(), O_RDONLY));
  std::string text(4096, '\0');
  size_t size = 0;
  while (true) {
    ssize_t got = ::read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno("read", path, errno);
    if (got == 0) break;
    size += static_cast<size_t>(got);
    if (size == text.size()) {
      if (size >= 4u << 20) break;
      text.resize(text.size() * 4);
    }
  }
  text.resize(size);
  return text;
}

Result<uint64_t> read_number(const std::string& path) {
  TRY(std::string text, read(path));
  return parse_cgroup_number(text);
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

Result<void> Writer::write_file(const std::string& path, std::string_view value) {
  if (open_path_ != path) {
    open_path_.clear();
    TRY(file_, open_file(path.c_str(), O_WRONLY));
    open_path_ = path;
  }
  if (::write(file_.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
    return Error::from_errno(fmt::format("write \"{}\" to", value), path, errno);
  }
  return {};
}

Result<void> Writer::write(const std::string& directory, const CgroupWrite& planned,
                           std::vector<std::string>& warnings) {
  auto missing = [](const Result<void>& result) {
    // Some kernels show a file whose backing they lack.
    int error = result ? 0 : result.error().errno_value();
    return error == ENOENT || error == EOPNOTSUPP;
  };
  auto written = directory.empty() ? Result<void>(Error::from_errno("open", planned.file, ENOENT))
                                   : write_file(directory + '/' + planned.file, planned.value);
  if (missing(written) && !planned.alternative.empty() && !directory.empty()) {
    written = write_file(directory + '/' + planned.alternative, planned.alternative_value);
  }
  if (missing(written) && !planned.warning_if_missing.empty()) {
    if (std::find(warnings.begin(), warnings.end(), planned.warning_if_missing) == warnings.end()) {
      warnings.push_back(planned.warning_if_missing);
    }
    return {};
  }
  return written;
}

Result<std::vector<pid_t>> pids_below(const std::string& directory) {
  std::vector<pid_t> pids;
  auto text = read(directory + "/cgroup.procs");
  // A v2 group in threaded mode has no process list of its own; its domain's list holds them.
  if (!text && text.error().errno_value() != EOPNOTSUPP) return std::move(text).error();
  if (text) {
    const char* place = text->data();
    const char* end = place + text->size();
    while (place < end) {
      pid_t pid = 0;
      auto [after, status] = std::from_chars(place, end, pid);
      if (status == std::errc() && pid > 0) pids.push_back(pid);
      place = std::find(after, end, '\n') + 1;
      if (place > end) break;
    }
  }
  for (const auto& name : subdirectories(directory)) {
    // Gone in the meantime: nobody is in it.
    if (auto below = pids_below(directory + '/' + name))
      pids.insert(pids.end(), below->begin(), below->end());
  }
  return pids;
}

Result<void> remove_tree(const std::string& directory) {
  if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return {};
  if (errno != EBUSY && errno != ENOTEMPTY) return Error::from_errno("remove cgroup", directory, errno);
  for (const auto& name : subdirectories(directory)) CHECK(remove_tree(directory + '/' + name));
  if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return {};
  return Error::from_errno("remove cgroup", directory, errno);
}

Result<void> UnifiedCore::wait_event(std::string_view key, std::string_view value,
                                     std::chrono::milliseconds timeout) const {
  std::string path = directory_ + "/cgroup.events";
  TRY(UniqueFd events, open_file(path.c_str(), O_RDONLY));
  auto deadline = steady_clock::now() + timeout;
  while (true) {
    char buffer[256];
    ssize_t size = ::pread(events.get(), buffer, sizeof(buffer), 0);
    if (size < 0) return Error::from_errno("read", path, errno);
    if (find_cgroup_value({buffer, static_cast<size_t>(size)}, key) == value) return {};
    int wait = milliseconds_until(deadline);
    if (wait == 0) {
      return failure(Kind::DeadlineExceeded, "cgroup {} did not become \"{} {}\" within {} ms", directory_,
                     key, value, timeout.count());
    }
    // The kernel signals a change of the file's content since the last read with POLLPRI.
    pollfd poll{events.get(), POLLPRI, 0};
    ::poll(&poll, 1, wait);
  }
}

Result<void> UnifiedCore::freeze(std::chrono::milliseconds timeout) {
  CHECK(write(directory_ + "/cgroup.freeze", "1"));
  auto frozen = wait_event("frozen", "1", timeout);
  if (!frozen) (void)thaw();
  return frozen;
}

Result<void> UnifiedCore::thaw() {
  return write(directory_ + "/cgroup.freeze", "0");
}

Result<FreezeState> UnifiedCore::freeze_state() const {
  TRY(std::string wanted, read(directory_ + "/cgroup.freeze"));
  TRY(std::string events, read(directory_ + "/cgroup.events"));
  if (find_cgroup_value(events, "frozen") == "1") return FreezeState::Frozen;
  return wanted.starts_with('1') ? FreezeState::Freezing : FreezeState::Thawed;
}

Result<void> UnifiedCore::kill() {
  return write(directory_ + "/cgroup.kill", "1");
}

Result<void> UnifiedCore::wait_empty(std::chrono::milliseconds timeout) const {
  return wait_event("populated", "0", timeout);
}

Result<void> kill_each(const std::string& directory) {
  std::set<pid_t> seen;
  for (int round = 0; round < 100; ++round) {
    TRY(auto pids, pids_below(directory));
    bool any_new = false;
    for (pid_t pid : pids) {
      any_new |= seen.insert(pid).second;
      if (::kill(pid, SIGKILL) != 0 && errno != ESRCH) {
        return Error::from_errno("kill process", fmt::to_string(pid), errno);
      }
    }
    if (!any_new) return {};
  }
  return failure(Kind::WrongState, "processes of cgroup {} multiply faster than they are killed", directory);
}

}  // namespace berth::sys::cgroup_files
