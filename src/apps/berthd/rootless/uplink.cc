// Starting pasta and slirp4netns, and hearing when they are ready.
#include "apps/berthd/rootless/uplink.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/format.h"
#include "sys/fd.h"

namespace berth::berthd::rootless {
namespace {

constexpr int kReadyTimeout = 10'000;  // milliseconds
constexpr int kReadyFd = 3;
constexpr size_t kMaxComplaint = 2000;
constexpr char kLink[] = "tap0";
constexpr char kPastaDns[] = "169.254.1.1";
constexpr char kSlirpDns[] = "10.0.2.3";

struct Program {
  std::vector<std::string> arguments;
  std::string dns;
  std::string ready_fifo;  ///< empty: it writes to kReadyFd
};

Program program_named(const std::string& name, const std::string& netns, const std::string& directory) {
  if (name == "pasta") {
    std::string fifo = directory + "/pasta.ready";
    return {
        .arguments = {"pasta",   "--foreground", "--quiet", "--config-net", "--no-map-gw", "--dns-forward",
                      kPastaDns, "-t",           "none",    "-u",           "none",        "-T",
                      "none",    "-U",           "none",    "-I",           kLink,         "--pid",
                      fifo,      "--netns",      netns},
        .dns = kPastaDns,
        .ready_fifo = fifo};
  }
  return {
      .arguments = {"slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", "--enable-ipv6",
                    fmt::format("--ready-fd={}", kReadyFd), "--netns-type=path", netns, kLink},
      .dns = kSlirpDns,
      .ready_fifo = {}};
}

[[noreturn]] void become(const Program& program, int ready, int complaints) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // pasta takes it for a failure when a signal that it ignores was ignored before.
  ::signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (complaints >= 0) {
    ::dup2(complaints, 1);
    ::dup2(complaints, 2);
  }
  // The descriptor may be the wanted one already, and is then only to stay open.
  if (ready >= 0 && ready != kReadyFd) ::dup2(ready, kReadyFd);
  if (ready == kReadyFd) ::fcntl(ready, F_SETFD, 0);
  std::vector<char*> arguments;
  for (const std::string& word : program.arguments) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  ::_exit(errno == ENOENT ? 127 : 126);
}

std::string read_complaint(int fd) {
  std::string text(kMaxComplaint, '\0');
  ssize_t got = ::read(fd, text.data(), text.size());
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  return text;
}

Error ended(const std::string& name, int status, int complaints) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
    return failure(Kind::NotFound, "{} is not installed", name);
  return failure(Kind::Unavailable, "{} ended with status {}: {}", name,
                 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
                 read_complaint(complaints));
}

/// The end to read readiness from, and the one that the program writes to (none: it opens the fifo).
Result<sys::Pipe> ready_channel(const Program& program) {
  if (program.ready_fifo.empty()) return sys::make_pipe();
  ::unlink(program.ready_fifo.c_str());
  if (::mkfifo(program.ready_fifo.c_str(), 0600) != 0)
    return Error::from_errno("make fifo", program.ready_fifo, errno);
  sys::Pipe pipe;
  // For writing too, so that it is not at its end before the program opens it.
  TRY(pipe.read, sys::open_file(program.ready_fifo.c_str(), O_RDWR | O_NONBLOCK));
  return pipe;
}

Result<Uplink> start_one(const std::string& name, const std::string& netns, const std::string& directory) {
  Program program = program_named(name, netns, directory);
  TRY(sys::Pipe ready, ready_channel(program));
  TRY(sys::Pipe complaints, sys::make_pipe(O_NONBLOCK));
  pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno("start", name, errno);
  if (pid == 0) become(program, ready.write.get(), complaints.write.get());
  ready.write.reset();
  complaints.write.reset();
  sys::UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  std::array<pollfd, 2> wait{{{ready.read.get(), POLLIN, 0}, {process.get(), POLLIN, 0}}};
  int events;
  do events = ::poll(wait.data(), wait.size(), kReadyTimeout);
  while (events < 0 && errno == EINTR);
  if (!program.ready_fifo.empty()) ::unlink(program.ready_fifo.c_str());
  if ((wait[0].revents & POLLIN) != 0 && (wait[1].revents & POLLIN) == 0)
    return Uplink{.pid = pid, .program = name, .dns = program.dns};
  if ((wait[1].revents & POLLIN) == 0) ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  return ended(name, status, complaints.read.get());
}

}  // namespace

Result<std::vector<std::string>> uplink_programs(const std::string& choice) {
  if (choice.empty() || choice == "auto") return std::vector<std::string>{"pasta", "slirp4netns"};
  if (choice == "none") return std::vector<std::string>();
  if (choice == "pasta" || choice == "slirp4netns") return std::vector<std::string>{choice};
  return failure(Kind::InvalidArgument, "\"{}\": expected auto, pasta, slirp4netns or none", choice);
}

Result<Uplink> start_uplink(const std::vector<std::string>& programs, const std::string& netns_path,
                            const std::string& directory) {
  std::string reasons;
  for (const std::string& name : programs) {
    auto started = start_one(name, netns_path, directory);
    if (started) return started;
    reasons += (reasons.empty() ? "" : "; ") + started.error().message();
  }
  return failure(Kind::Unavailable, "{}", reasons);
}

}  // namespace berth::berthd::rootless
