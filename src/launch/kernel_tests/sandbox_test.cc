// The fixture of kernel tests.
#include "launch/kernel_tests/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace berth::launch::testing {

namespace fs = std::filesystem;

const KeeperProgram& keeper_program() {
  static const KeeperProgram program = [] {
    auto loaded = KeeperProgram::load(BERTH_KEEPER_PATH);
    if (!loaded) {
      ADD_FAILURE() << loaded.error().message();
      std::abort();
    }
    return std::move(*loaded);
  }();
  return program;
}

std::optional<KeeperEvent> Container::next() {
  while (true) {
    auto event = keeper_.next_event();
    if (!event) return std::nullopt;
    if (*event) return std::move(**event);
    pollfd wait{.fd = keeper_.fd(), .events = POLLIN, .revents = 0};
    ::poll(&wait, 1, -1);
  }
}

std::vector<const KeeperEvent*> Container::seen_from(size_t index) const {
  std::vector<const KeeperEvent*> seen;
  for (size_t i = index; i < events_.size(); ++i) seen.push_back(&events_[i]);
  return seen;
}

std::string Container::what_happened() const {
  std::string text;
  for (const auto& event : events_) {
    if (const auto* failed = std::get_if<event::Failed>(&event))
      text += "failed: " + failed->failure.message + "; ";
    if (const auto* exited = std::get_if<event::Exited>(&event))
      text += "exited " + std::to_string(exited->record.exit_code) + "; ";
  }
  return text;
}

pid_t Container::pid() const {
  for (const auto& event : events_)
    if (const auto* started = std::get_if<event::Started>(&event)) return started->pid;
  return 0;
}

std::string Container::read_output() {
  std::string output;
  char buffer[65536];
  while (true) {
    ssize_t size = ::read(client_.get(), buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return output;
    output.append(buffer, static_cast<size_t>(size));
  }
}

std::string Container::read_until(const std::string& text) {
  std::string output;
  char byte;
  while (!output.ends_with(text) && ::read(client_.get(), &byte, 1) == 1) output += byte;
  return output;
}

int Container::finish(std::string& output) {
  output = read_output();
  return wait_for<event::Exited>().record.exit_code;
}

void SandboxTest::SetUp() {
  if (::geteuid() != 0) GTEST_SKIP() << "launching containers needs root";
  auto facts = detect_host_facts();
  ASSERT_TRUE(facts) << facts.error().message();
  host_ = *facts;
  char name[] = "/tmp/berth-launch-test-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  directory_ = name;
  for (const char* each : {"lower", "upper", "work", "exec"}) fs::create_directory(directory_ + "/" + each);
  make_root();
}

void SandboxTest::TearDown() {
  if (directory_.empty()) return;
  for (const auto& keeper : keepers_) ::syscall(SYS_pidfd_send_signal, keeper.get(), SIGKILL, nullptr, 0);
  for (const auto& group : groups_) ::rmdir(group.c_str());
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

void SandboxTest::make_root() {
  for (const char* each : {"bin", "etc", "proc", "sys", "dev", "tmp", "root", "home/alice"})
    fs::create_directories(root() + "/" + each);
  fs::copy_file("/bin/busybox", root() + "/bin/busybox");
  for (const char* each :
       {"sh",      "cat",    "echo",  "ls",       "id",   "env",      "stat",  "sleep", "true",
        "false",   "touch",  "mkdir", "hostname", "pwd",  "readlink", "dd",    "seq",   "kill",
        "head",    "wc",     "tail",  "grep",     "stty", "tty",      "chmod", "rm",    "mount",
        "unshare", "printf", "yes",   "ps",       "awk",  "mknod",    "test",  "sort",  "tr",
        "ip",      "chown",  "ln",    "setsid",   "od",   "umount"})
    fs::create_symlink("busybox", root() + "/bin/" + each);
  write_file(
      root() + "/etc/passwd",
      "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n1234:x:0:0::/:/bin/sh\n");
  write_file(root() + "/etc/group",
             "root:x:0:\nalice:x:1000:\nwheel:x:10:alice,root\naudio:x:29:bob,alice\n");
}

void SandboxTest::write_file(const std::string& path, const std::string& content) {
  std::ofstream(path) << content;
}

std::string SandboxTest::read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

std::string SandboxTest::log_text() {
  std::string bytes = read_file(directory_ + "/log"), text;
  LogReader reader(bytes);
  while (auto record = reader.next()) text += record->bytes;
  EXPECT_EQ(reader.consumed(), bytes.size());
  return text;
}

LaunchRequest SandboxTest::request(const std::string& script) {
  LaunchRequest request;
  request.id = "test";
  request.spec = default_container_spec(host_);
  request.spec.process.args = {"sh", "-c", script};
  request.spec.process.env = {"PATH=/usr/bin:/bin"};
  request.root = OverlayRoot{
      .lowers = {root()}, .upper = directory_ + "/upper", .work = directory_ + "/work", .options = {}};
  request.log = {.mode = LogConfig::Mode::File, .path = directory_ + "/log"};
  request.exec_directory = directory_ + "/exec";
  request.exit_path = directory_ + "/exit";
  return request;
}

std::unique_ptr<Container> SandboxTest::start(const LaunchRequest& request, AttachRequest attach) {
  auto plan = plan_launch(request, host_);
  if (!plan) {
    ADD_FAILURE() << plan.error().message();
    return nullptr;
  }
  int pair[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  LaunchFds fds;
  fds.attachments.push_back({attach, sys::UniqueFd(pair[1])});
  auto keeper = Keeper::spawn(keeper_program(), *plan, std::move(fds));
  if (!keeper) {
    ADD_FAILURE() << keeper.error().message();
    return nullptr;
  }
  // Whatever becomes of the test, its container does not outlive it.
  keepers_.emplace_back(static_cast<int>(::syscall(SYS_pidfd_open, keeper->pid(), 0)));
  return std::make_unique<Container>(std::move(*keeper), sys::UniqueFd(pair[0]));
}

Outcome SandboxTest::run(const LaunchRequest& request) {
  Outcome outcome;
  auto container = start(request);
  if (!container) return outcome;
  outcome.output = container->read_output();
  while (true) {
    auto event = container->keeper().next_event();
    if (!event) {
      ADD_FAILURE() << "the keeper ended without a word: " << event.error().message();
      return outcome;
    }
    if (!*event) {
      pollfd wait{.fd = container->keeper().fd(), .events = POLLIN, .revents = 0};
      ::poll(&wait, 1, -1);
    } else if (const auto* exited = std::get_if<event::Exited>(&**event)) {
      outcome.code = exited->record.exit_code;
      return outcome;
    } else if (const auto* failed = std::get_if<event::Failed>(&**event)) {
      outcome.failure = failed->failure;
      return outcome;
    }
  }
}

ExecRequest SandboxTest::exec_request(const LaunchRequest& request, const std::string& script) {
  ExecRequest exec;
  exec.token = "exec1";
  exec.process = request.spec.process;
  exec.process.terminal = false;
  exec.process.args = {"sh", "-c", script};
  exec.seccomp = request.spec.seccomp;
  exec.namespaces = request.spec.namespaces;
  exec.cgroups = request.cgroups;
  return exec;
}

}  // namespace berth::launch::testing
