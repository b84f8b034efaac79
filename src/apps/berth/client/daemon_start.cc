// Starting berthd.
#include "apps/berth/client/daemon_start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/format.h"
#include "sys/fd.h"
#include "sys/user_directories.h"

extern char** environ;

namespace berth::cli::client {
namespace {

constexpr int ready_fd = 3;
/// Recovery of thousands of containers takes a while, but not for ever.
constexpr int ready_timeout_ms = 60'000;

std::string parent_folder(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

void make_folders(const std::string& path) {
  for (size_t at = 1; at != std::string::npos && at <= path.size();) {
    size_t slash = path.find('/', at);
    ::mkdir(path.substr(0, slash).c_str(), 0755);
    at = slash == std::string::npos ? slash : slash + 1;
  }
}

std::string executable_beside_us(const char* name) {
  std::string self(4096, '\0');
  ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size());
  if (length <= 0) return {};
  self.resize(static_cast<size_t>(length));
  std::string candidate = fmt::format("{}/{}", parent_folder(self), name);
  return ::access(candidate.c_str(), X_OK) == 0 ? candidate : std::string();
}

struct Log {
  sys::UniqueFd fd;
  std::string path;
  off_t start = 0;  ///< where this run's lines begin
};

std::vector<std::string> log_folders() {
  if (::geteuid() == 0) return {"/var/log/berth", "/var/lib/berth"};
  auto own = sys::user_data_directory(::geteuid());
  return own ? std::vector<std::string>{*own} : std::vector<std::string>();
}

Log open_log() {
  for (const std::string& folder : log_folders()) {
    make_folders(folder);
    Log log;
    log.path = folder + "/berthd.log";
    log.fd.reset(::open(log.path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    if (!log.fd) continue;
    log.start = ::lseek(log.fd.get(), 0, SEEK_END);
    return log;
  }
  Log log;
  log.path = "/dev/null";
  log.fd.reset(::open("/dev/null", O_RDWR | O_CLOEXEC));
  return log;
}

/// The last line that berthd wrote in this run.
std::string last_line(const Log& log) {
  std::string text(64 * 1024, '\0');
  off_t end = ::lseek(log.fd.get(), 0, SEEK_END);
  off_t from = std::max(log.start, end - static_cast<off_t>(text.size()));
  ssize_t got = ::pread(log.fd.get(), text.data(), text.size(), from);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  size_t line = text.rfind('\n');
  return line == std::string::npos ? text : text.substr(line + 1);
}

Result<pid_t> spawn(const std::string& program, const Log& log, int ready) {
  std::vector<char*> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "BERTHD_READY_FD=", 16) != 0) environment.push_back(*variable);
  }
  std::string announce = fmt::format("BERTHD_READY_FD={}", ready_fd);
  environment.push_back(announce.data());
  environment.push_back(nullptr);
  std::string name = program;
  char* arguments[] = {name.data(), nullptr};

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, log.fd.get(), 1);
  ::posix_spawn_file_actions_adddup2(&actions, log.fd.get(), 2);
  // Last of the three: the log may itself be descriptor 3.
  ::posix_spawn_file_actions_adddup2(&actions, ready, ready_fd);
  // Descriptors of the calling shell (locks!) must not live on in a daemon.
  ::posix_spawn_file_actions_addclosefrom_np(&actions, ready_fd + 1);
  ::posix_spawn_file_actions_addchdir_np(&actions, "/");
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t child = 0;
  int error = ::posix_spawnp(&child, program.c_str(), &actions, &attributes, arguments, environment.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) {
    return failure(
        Kind::NotFound,
        "no engine is running, and berthd was found neither beside this program nor on PATH: install it, "
        "or name a running engine with -H");
  }
  if (error != 0) return Error::from_errno("start", program, error);
  return child;
}

bool answers(const Endpoint& endpoint) {
  return connect(endpoint).has_value();
}

/// Another berthd holds the lock but does not serve yet, and nothing tells us when: look until it does.
bool answers_soon(const Endpoint& endpoint) {
  for (int i = 0; i < 100; ++i) {
    if (answers(endpoint)) return true;
    ::poll(nullptr, 0, 50);
  }
  return false;
}

Result<void> wait_until_ready(pid_t child, int ready, const Log& log, const Endpoint& endpoint) {
  pollfd wait{ready, POLLIN, 0};
  int events;
  do {
    events = ::poll(&wait, 1, ready_timeout_ms);
  } while (events < 0 && errno == EINTR);
  if (events == 0) {
    return failure(Kind::DeadlineExceeded, "berthd does not answer after {} seconds; its log is {}",
                   ready_timeout_ms / 1000, log.path);
  }
  char byte = 0;
  if (::read(ready, &byte, 1) == 1 || answers(endpoint)) return {};
  int status = 0;
  pid_t ended = ::waitpid(child, &status, WNOHANG);
  std::string reason = last_line(log);
  if (ended == 0 && answers_soon(endpoint)) return {};
  if (answers(endpoint)) return {};
  if (reason.empty()) reason = fmt::format("it ended without a word; its log is {}", log.path);
  return failure(Kind::Unavailable, "berthd could not start: {}", reason);
}

}  // namespace

Result<void> start_daemon(const Endpoint& endpoint) {
  std::string folder = parent_folder(endpoint.address);
  make_folders(folder);
  std::string lock_path = folder + "/start.lock";
  sys::UniqueFd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return Error::from_errno("open", lock_path, errno);
  while (::flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return Error::from_errno("lock", lock_path, errno);
  }
  if (answers(endpoint)) return {};  // someone else has started it meanwhile

  std::string program = executable_beside_us("berthd");
  if (program.empty()) program = "berthd";
  Log log = open_log();
  TRY(auto pipe, sys::make_pipe());
  TRY(pid_t child, spawn(program, log, pipe.write.get()));
  pipe.write.reset();
  return wait_until_ready(child, pipe.read.get(), log, endpoint);
}

}  // namespace berth::cli::client
