#include "apps/berth/commands/key_agent.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "base/format.h"
#include "sys/file.h"

namespace berth::cli::commands {
namespace {

constexpr size_t kMaxComplaint = 4096;
/// What ssh-agent runs and ends with: it waits for the end of the command that builds, also if that is
/// killed, and takes the agent and its socket along. $1: the command's pid, $2: the folder.
constexpr const char* kWatch =
    "end() { kill \"$SSH_AGENT_PID\"; rm -rf \"$folder\"; exit; }; folder=$2; trap end TERM; "
    "while kill -0 \"$1\" 2>/dev/null; do sleep 1; done; end";
constexpr auto kPatience = std::chrono::seconds(10);

Failure no_openssh(const std::string& flag, const Error& cause) {
  return Failure::plain(fmt::format("--ssh {}: keys in files need ssh-agent and ssh-add of OpenSSH: {}", flag,
                                    cause.message()));
}

/// What the program says on its way to a failure; empty if it did not fail.
Outcome<std::string> complaint_of(sys::HostProgram& program) {
  program.close_output();
  auto text = sys::read_fd(program.standard_error(), kMaxComplaint);
  TRY(const int status, program.wait());
  if (status == 0) return std::string();
  std::string words = text ? *text : std::string();
  while (words.ends_with('\n')) words.pop_back();
  return words.empty() ? fmt::format("ssh-add ended with {}", status) : words;
}

}  // namespace

Outcome<std::unique_ptr<KeyAgent>> KeyAgent::start(const std::string& flag,
                                                   const std::vector<std::string>& keys) {
  const char* temporary = std::getenv("TMPDIR");
  std::string folder = fmt::format("{}/berth-ssh-XXXXXX", temporary != nullptr ? temporary : "/tmp");
  if (::mkdtemp(folder.data()) == nullptr)
    return Failure::plain(Error::from_errno("mkdir", folder, errno).message());
  const std::string socket = folder + "/agent";
  auto program = sys::HostProgram::start(
      {"ssh-agent", "-a", socket, "sh", "-c", kWatch, "berth-ssh", std::to_string(::getpid()), folder},
      sys::host_environment());
  if (!program) {
    (void)::rmdir(folder.c_str());
    return no_openssh(flag, program.error());
  }
  std::unique_ptr<KeyAgent> agent(new KeyAgent(folder, std::move(*program)));
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (struct stat status{}; ::stat(socket.c_str(), &status) != 0;) {
    if (std::chrono::steady_clock::now() > deadline)
      return Failure::plain(fmt::format("--ssh {}: ssh-agent does not begin", flag));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  auto environment = sys::host_environment();
  environment.push_back("SSH_AUTH_SOCK=" + socket);
  environment.emplace_back("SSH_ASKPASS_REQUIRE=never");
  std::vector<std::string> adding = {"ssh-add", "-q", "--"};
  adding.insert(adding.end(), keys.begin(), keys.end());
  auto added = sys::HostProgram::start(adding, environment);
  if (!added) return no_openssh(flag, added.error());
  TRY(const std::string complaint, complaint_of(*added));
  if (!complaint.empty()) return Failure::plain(fmt::format("--ssh {}: {}", flag, complaint));
  return agent;
}

KeyAgent::~KeyAgent() {
  program_.signal_group(SIGTERM);
  (void)program_.wait();
}

}  // namespace berth::cli::commands
