#include "apps/berth/compose/external_program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "sys/fd.h"

namespace berth::cli::compose {
namespace {

constexpr size_t max_line = size_t{1} << 20;

/// Ends the program when it is still there, and takes its exit.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    (void)wait();
  }
  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_;
};

class Lines {
 public:
  explicit Lines(const ExternalProgram& program) : program_(program) {}
  Outcome<void> feed(std::string_view bytes) {
    while (!bytes.empty()) {
      const size_t end = bytes.find('\n');
      line_.append(bytes.substr(0, end));
      if (line_.size() > max_line) return refuse("{} wrote a line that is too long", program_.arguments[0]);
      if (end == bytes.npos) return {};
      bytes.remove_prefix(end + 1);
      CHECK(finish());
    }
    return {};
  }
  Outcome<void> finish() {
    const std::string line = std::exchange(line_, {});
    return line.empty() || !program_.line ? Outcome<void>() : program_.line(line);
  }

 private:
  const ExternalProgram& program_;
  std::string line_;
};

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

Outcome<pid_t> start(const ExternalProgram& program, int out) {
  std::vector<std::string> arguments = program.arguments;
  std::vector<std::string> variables;
  for (const auto& [name, value] : program.environment) variables.push_back(name + "=" + value);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out, 1);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  if (!program.directory.empty()) ::posix_spawn_file_actions_addchdir_np(&actions, program.directory.c_str());
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, arguments[0].c_str(), &actions, nullptr,
                                  pointers_to(arguments).data(), pointers_to(variables).data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Error::from_errno("start", arguments[0], error);
  return pid;
}

}  // namespace

Outcome<int> run_program(const ExternalProgram& program) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("pipe", program.arguments[0], errno);
  const sys::UniqueFd in(ends[0]);
  sys::UniqueFd out(ends[1]);
  TRY(const pid_t pid, start(program, out.get()));
  out.reset();
  Child child(pid);
  Lines lines(program);
  std::string buffer(65536, '\0');
  while (true) {
    const ssize_t count = ::read(in.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error::from_errno("read the output of", program.arguments[0], errno);
    if (count == 0) break;
    CHECK(lines.feed(std::string_view(buffer.data(), static_cast<size_t>(count))));
  }
  CHECK(lines.finish());
  return child.wait();
}

std::string find_program(const std::string& name, const Environment& environment) {
  auto is_program = [](const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) return is_program(name) ? name : std::string();
  const auto path = environment.find("PATH");
  std::string_view folders = path == environment.end() ? std::string_view("/usr/bin:/bin") : path->second;
  while (!folders.empty()) {
    const size_t end = folders.find(':');
    const std::string_view folder = folders.substr(0, end);
    // An empty element would be the working directory, which a project's author may write to.
    const std::string candidate = std::string(folder) + "/" + name;
    if (folder.starts_with('/') && is_program(candidate)) return candidate;
    folders.remove_prefix(end == folders.npos ? folders.size() : end + 1);
  }
  return {};
}

}  // namespace berth::cli::compose
