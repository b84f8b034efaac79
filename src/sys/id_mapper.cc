// Direct writes, and the programs.
#include "sys/id_mapper.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "base/format.h"
#include "sys/fd.h"
#include "sys/file.h"
#include "sys/host_program.h"

extern char** environ;

namespace berth::sys {
namespace {

constexpr size_t kMaxWords = 2000;

std::vector<std::string> own_environment() {
  std::vector<std::string> variables;
  bool has_path = false;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
    has_path |= variables.back().starts_with("PATH=");
  }
  if (!has_path) variables.emplace_back("PATH=/usr/local/bin:/usr/bin:/bin");
  return variables;
}

/// `newuidmap PID 0 1000 1 1 100000 65536`
Result<void> run_mapper(const std::string& program, pid_t pid, const std::string& map) {
  std::vector<std::string> arguments{program, std::to_string(pid)};
  std::istringstream words(map);
  for (std::string word; words >> word;) arguments.push_back(word);
  auto started = HostProgram::start(arguments, own_environment());
  if (!started) {
    if (started.error().kind() == Kind::NotFound)
      return failure(Kind::NotFound, "{} is not installed: install uidmap", program);
    return std::move(started).error();
  }
  auto said = read_fd(started->standard_error(), kMaxWords);
  TRY(int status, started->wait());
  if (status == 0) return {};
  std::string text = said ? *said : std::string();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return failure(Kind::Forbidden, "{} ended with status {}: {}", program, status, text);
}

Result<void> write_proc(pid_t pid, const char* name, const std::string& text) {
  std::string path = fmt::format("/proc/{}/{}", pid, name);
  TRY(auto file, open_file(path.c_str(), O_WRONLY));
  if (::write(file.get(), text.data(), text.size()) < 0) return Error::from_errno("write", path, errno);
  return {};
}

/// One line with one id, the caller's own: what user_namespaces(7) lets everybody write.
bool is_own_id(const std::string& map, uint32_t own) {
  std::istringstream words(map);
  uint32_t inside = 0, outside = 0, count = 0;
  std::string rest;
  bool one = static_cast<bool>(words >> inside >> outside >> count) && !(words >> rest);
  return one && outside == own && count == 1;
}

}  // namespace

Result<void> write_id_maps(pid_t pid, const std::string& uid_map, const std::string& gid_map) {
  bool single = ::geteuid() != 0 && is_own_id(uid_map, ::geteuid()) && is_own_id(gid_map, ::getegid());
  // A gid map of one's own is taken only after groups can no longer be dropped.
  if (single) CHECK(write_proc(pid, "setgroups", "deny"));
  auto written = write_proc(pid, "gid_map", gid_map);
  if (written) return write_proc(pid, "uid_map", uid_map);
  if (written.error().errno_value() != EPERM) return written;
  CHECK(run_mapper("newuidmap", pid, uid_map));
  return run_mapper("newgidmap", pid, gid_map);
}

}  // namespace berth::sys
