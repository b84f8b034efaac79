#include "build/git_program.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/format.h"
#include "sys/file.h"

namespace berth::build {
namespace {

constexpr size_t most_text = size_t{1} << 20;
constexpr size_t most_complaint = 4096;  ///< of what git says of a failure
constexpr int look_after = 250;          ///< milliseconds, at what was fetched and whether to stop

/// A socket's path within ssh's command line, which git gives to a shell.
std::string quoted(const std::string& word) {
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

/// With an agent the hosts of this build are written down in its directory: the second look at one of them
/// must see the first one's key. Those that the engine's user knows keep theirs.
std::string ssh_command(const GitProgram::Limits& limits) {
  std::string command = "ssh -o BatchMode=yes -o ControlMaster=no -o ClearAllForwardings=yes";
  if (limits.agent.empty()) return command;
  const std::string hosts = "UserKnownHostsFile=\"" + limits.directory + "/known_hosts\" ~/.ssh/known_hosts";
  return command +
         " -F /dev/null -o IdentityFile=none -o StrictHostKeyChecking=accept-new -o LogLevel=ERROR -o " +
         quoted(hosts);
}

std::vector<std::string> environment(const GitProgram::Limits& limits) {
  std::vector<std::string> variables = sys::host_environment();
  for (const char* variable :
       {"HOME=/dev/null", "XDG_CONFIG_HOME=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
        "GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
        // Neither files of this host nor ext:: and the like, which run programs; redirections included.
        "GIT_ALLOW_PROTOCOL=git:http:https:ssh", "GIT_PROTOCOL_FROM_USER=0", "GIT_LFS_SKIP_SMUDGE=1",
        "GIT_NO_REPLACE_OBJECTS=1"})
    variables.emplace_back(variable);
  variables.push_back("GIT_SSH_COMMAND=" + ssh_command(limits));
  if (!limits.agent.empty()) variables.push_back("SSH_AUTH_SOCK=" + limits.agent);
  return variables;
}

std::vector<std::string> command_of(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"git"};
  // A transfer that moves less than this for a minute has stalled, as with every download of a build.
  for (const char* setting : {"core.hooksPath=/dev/null", "core.fsmonitor=false",
                              "core.askPass=", "credential.helper=", "gc.auto=0", "maintenance.auto=false",
                              "submodule.recurse=false", "advice.detachedHead=false",
                              "init.defaultBranch=main", "http.lowSpeedLimit=16", "http.lowSpeedTime=60"}) {
    command.emplace_back("-c");
    command.emplace_back(setting);
  }
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

/// What git says when ssh has said why.
constexpr std::string_view no_reason = "fatal: Could not read from remote repository.";
constexpr std::string_view unknown_host = "Host key verification failed.";

/// The last line that names a failure, else the last one; printable.
std::string complaint_in(std::string_view text) {
  std::string found;
  bool is_failure = false;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("\r\n"), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const bool names_failure = line.starts_with("fatal: ") || line.starts_with("error: ");
    if (line.empty() || (is_failure && !names_failure)) continue;
    if (line == no_reason && !found.empty()) {
      is_failure = true;
      continue;
    }
    is_failure = is_failure || names_failure;
    found = line;
  }
  for (char& c : found) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  }
  if (found == unknown_host)
    found +=
        " The engine's user does not know this host: add it to that user's ~/.ssh/known_hosts, or give the "
        "build "
        "an agent (--ssh default)";
  return found;
}

}  // namespace

Result<void> GitProgram::check() const {
  if (limits_.stop.stop_requested()) return Error(Kind::Cancelled, "build cancelled");
  // What git removes meanwhile is no failure.
  const auto usage = sys::disk_usage(limits_.directory);
  if (usage && usage->allocated_bytes > limits_.max_bytes)
    return failure(Kind::Exhausted, "the repository is larger than {} bytes", limits_.max_bytes);
  return {};
}

/// Both of its streams until they end; what it said of a failure.
Result<std::string> GitProgram::read(const sys::HostProgram& program, const Output& output) const {
  std::string complaint;
  std::array<char, 65536> buffer;
  std::array<pollfd, 2> streams = {
      {{program.standard_output(), POLLIN, 0}, {program.standard_error(), POLLIN, 0}}};
  while (streams[0].fd >= 0 || streams[1].fd >= 0) {
    const int ready = ::poll(streams.data(), streams.size(), look_after);
    if (ready < 0 && errno != EINTR) return Error::from_errno("poll", "git", errno);
    if (ready <= 0 || limits_.stop.stop_requested()) CHECK(check());
    for (size_t i = 0; ready > 0 && i < streams.size(); ++i) {
      if (streams[i].fd < 0 || streams[i].revents == 0) continue;
      const ssize_t count = ::read(streams[i].fd, buffer.data(), buffer.size());
      if (count < 0 && errno != EINTR) return Error::from_errno("read", "git", errno);
      if (count == 0) streams[i].fd = -1;
      if (count <= 0) continue;
      const std::string_view bytes(buffer.data(), static_cast<size_t>(count));
      if (i == 0 && output) CHECK(output(bytes));
      if (i == 0) continue;
      complaint += bytes;
      if (complaint.size() > most_complaint) complaint.erase(0, complaint.size() - most_complaint);
    }
  }
  return complaint;
}

Result<void> GitProgram::run(const std::vector<std::string>& arguments, const Output& output) const {
  CHECK(check());
  auto program = sys::HostProgram::start(command_of(arguments), environment(limits_));
  if (!program && program.error().kind() == Kind::NotFound)
    return Error(Kind::Unsupported,
                 "there is no git on the engine's host: install it, or clone the repository and give its "
                 "directory");
  if (!program) return std::move(program).error();
  TRY(const std::string complaint, read(*program, output));
  TRY(const int status, program->wait());
  if (status == 0) return {};
  const std::string cause = complaint_in(complaint);
  return Error(Kind::Unavailable, cause.empty() ? fmt::format("git ended with status {}", status) : cause);
}

Result<std::string> GitProgram::text(const std::vector<std::string>& arguments) const {
  std::string text;
  CHECK(run(arguments, [&text](std::string_view bytes) -> Result<void> {
    if (text.size() + bytes.size() > most_text) return Error(Kind::Exhausted, "git told too much");
    text += bytes;
    return {};
  }));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace berth::build
