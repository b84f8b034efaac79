// newuidmap, newgidmap, and the map of a single id.
#include "apps/berthd/rootless/id_maps.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "base/format.h"
#include "sys/file.h"
#include "sys/host_program.h"
#include "sys/sub_ids.h"
#include "sys/user_directories.h"

extern char** environ;

namespace berth::berthd::rootless {
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
  auto started = sys::HostProgram::start(arguments, own_environment());
  if (!started) {
    if (started.error().kind() == Kind::NotFound)
      return failure(Kind::NotFound, "{} is not installed: install uidmap", program);
    return std::move(started).error();
  }
  auto said = sys::read_fd(started->standard_error(), kMaxWords);
  TRY(int status, started->wait());
  if (status == 0) return {};
  std::string text = said ? *said : std::string();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return failure(Kind::Forbidden, "{} ended with status {}: {}", program, status, text);
}

Result<void> write_proc(pid_t pid, const char* name, const std::string& text) {
  std::string path = fmt::format("/proc/{}/{}", pid, name);
  TRY(auto file, sys::open_file(path.c_str(), O_WRONLY));
  if (::write(file.get(), text.data(), text.size()) < 0) return Error::from_errno("write", path, errno);
  return {};
}

Result<void> map_own_ids(pid_t pid) {
  // An unprivileged gid map is taken only after groups can no longer be dropped (user_namespaces(7)).
  CHECK(write_proc(pid, "setgroups", "deny"));
  CHECK(write_proc(pid, "uid_map", sys::id_map_of_user(::geteuid(), {})));
  return write_proc(pid, "gid_map", sys::id_map_of_user(::getegid(), {}));
}

}  // namespace

Result<std::string> write_id_maps(pid_t pid) {
  uid_t uid = ::geteuid();
  auto account = sys::find_account(uid);
  std::string name = account ? account->name : std::string();
  auto users = sys::read_sub_ids("/etc/subuid", name, uid);
  auto groups = sys::read_sub_ids("/etc/subgid", name, uid);
  std::string shown = name.empty() ? std::to_string(uid) : name;
  std::string why;
  if (users.empty() || groups.empty()) {
    why = fmt::format(
        "{} has no subordinate ids in {}: run \"usermod --add-subuids 100000-165535 "
        "--add-subgids 100000-165535 {}\" as root",
        shown, users.empty() ? "/etc/subuid" : "/etc/subgid", shown);
  } else {
    auto mapped = run_mapper("newuidmap", pid, sys::id_map_of_user(uid, users));
    if (mapped) {
      CHECK(run_mapper("newgidmap", pid, sys::id_map_of_user(::getegid(), groups)));
      return std::string();
    }
    why = mapped.error().message();
  }
  CHECK(map_own_ids(pid));
  return fmt::format("containers have a single user id, root: {}", why);
}

}  // namespace berth::berthd::rootless
