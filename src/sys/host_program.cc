// Starting host programs.
#include "sys/host_program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace berth::sys {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (const std::string& string : strings) list.push_back(const_cast<char*>(string.c_str()));
  list.push_back(nullptr);
  return list;
}

/// Attributes of posix_spawn, freed whatever happens.
struct SpawnSettings {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
};

void prepare(SpawnSettings& settings, int output, int error) {
  ::posix_spawn_file_actions_addopen(&settings.actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&settings.actions, output, 1);
  ::posix_spawn_file_actions_adddup2(&settings.actions, error, 2);
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&settings.attributes, &none);
  ::posix_spawnattr_setsigdefault(&settings.attributes, &all);
  ::posix_spawnattr_setpgroup(&settings.attributes, 0);
  ::posix_spawnattr_setflags(&settings.attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
}

}  // namespace

std::vector<std::string> host_environment() {
  std::vector<std::string> environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                          "LC_ALL=C.UTF-8"};
  for (const char* name :
       {"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}) {
    if (const char* value = ::getenv(name)) environment.push_back(std::string(name) + "=" + value);
  }
  return environment;
}

Result<HostProgram> HostProgram::start(const std::vector<std::string>& arguments,
                                       const std::vector<std::string>& environment) {
  TRY(Pipe output, make_pipe());
  TRY(Pipe error, make_pipe());
  SpawnSettings settings;
  prepare(settings, output.write.get(), error.write.get());
  std::vector<char*> argv = pointers(arguments);
  std::vector<char*> envp = pointers(environment);
  HostProgram program;
  int failed = ::posix_spawnp(&program.pid_, argv[0], &settings.actions, &settings.attributes, argv.data(),
                              envp.data());
  if (failed != 0) {
    program.pid_ = -1;
    return Error::from_errno("run", arguments[0], failed);
  }
  program.output_ = std::move(output.read);
  program.error_ = std::move(error.read);
  return program;
}

HostProgram::HostProgram(HostProgram&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      output_(std::move(other.output_)),
      error_(std::move(other.error_)) {}

HostProgram::~HostProgram() {
  if (pid_ <= 0) return;
  signal_group(SIGKILL);
  [[maybe_unused]] auto status = wait();
}

void HostProgram::signal_group(int signal) const {
  if (pid_ > 0) ::kill(-pid_, signal);
}

Result<int> HostProgram::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0) {
    if (errno != EINTR) return Error::from_errno("wait for", "host program", errno);
  }
  pid_ = -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace berth::sys
