// Running criu.
#include "launch/criu.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "base/format.h"
#include "sys/file.h"
#include "sys/host_program.h"
#include "sys/packet_socket.h"
#include "sys/process.h"

namespace berth::launch {
namespace {

constexpr int kOldest = 31'500;  // external pid namespaces, "status-ready"
constexpr int kRpcDescriptor = 3;
constexpr size_t kMaxAnswer = 64 << 10;
constexpr size_t kMaxCheck = 64 << 10;
constexpr uint64_t kMaxLog = 256 << 10;  // of its end
constexpr std::string_view kWayOut = "install criu (https://criu.org), or name it with CRIU=PATH";

std::vector<std::string> own_environment() {
  std::vector<std::string> list;
  for (char** each = environ; *each != nullptr; ++each) list.emplace_back(*each);
  return list;
}

bool is_program(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

/// Empty: nowhere.
std::string look_up(const std::string& name) {
  if (name.find('/') != std::string::npos) return is_program(name) ? name : "";
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/sbin:/usr/bin:/sbin:/bin";
  while (!rest.empty()) {
    std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    std::string candidate = fmt::format("{}/{}", folder, name);
    if (folder.starts_with('/') && is_program(candidate)) return candidate;
  }
  return {};
}

std::string version_text(int version) {
  std::string text = fmt::format("{}.{}", version / 10'000, version / 100 % 100);
  return version % 100 == 0 ? text : fmt::format("{}.{}", text, version % 100);
}

/// `criu swrk`, and our end of its socket. Ended and reaped when destroyed.
class Worker {
 public:
  static Result<Worker> start(const std::string& program, const std::array<int, 3>& stdio,
                              const std::vector<int>& passed) {
    Worker worker;
    TRY(auto pair, sys::make_packet_pair());
    worker.socket_ = std::move(pair.first);
    sys::SpawnRequest request{.path = program,
                              .arguments = {"criu", "swrk", std::to_string(kRpcDescriptor)},
                              .environment = own_environment(),
                              .stdio = stdio};
    std::vector<sys::UniqueFd> moved;
    TRY(auto server, sys::clear_of_passed(pair.second.get()));
    request.fds.push_back({server.get(), kRpcDescriptor});
    moved.push_back(std::move(server));
    for (int fd : passed) {
      TRY(auto copy, sys::clear_of_passed(fd));
      request.fds.push_back({copy.get(), Criu::kFirstPassed + static_cast<int>(moved.size()) - 1});
      moved.push_back(std::move(copy));
    }
    TRY(worker.pid_, sys::spawn_process(request));
    // Our own child, which nobody else reaps: the number is still its own.
    worker.end_.reset(static_cast<int>(::syscall(SYS_pidfd_open, worker.pid_, 0)));
    if (!worker.end_) return Error::from_errno("watch over", "criu", errno);
    return worker;
  }
  /// One that is another's child.
  explicit Worker(StartedCriu criu)
      : socket_(std::move(criu.socket)), end_(std::move(criu.pidfd)), pid_(criu.pid), is_child_(false) {}
  Worker(Worker&& other) noexcept
      : socket_(std::move(other.socket_)),
        end_(std::move(other.end_)),
        pid_(std::exchange(other.pid_, -1)),
        is_child_(other.is_child_) {}
  Worker& operator=(Worker&&) = delete;
  ~Worker() {
    if (pid_ <= 0) return;
    (void)wait();
  }

  pid_t pid() const { return pid_; }
  Result<void> send(std::string_view bytes) const {
    ssize_t sent = -1;
    do sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) return Error::from_errno("speak to", "criu", errno);
    return {};
  }
  /// The next thing that it says. Unavailable: it has ended.
  Result<CriuAnswer> hear(sys::UniqueFd& descriptor) const {
    // What it had begun to restore may hold its end of the socket longer than it lives itself.
    pollfd watched[] = {{socket_.get(), POLLIN, 0}, {end_.get(), POLLIN, 0}};
    while (::poll(watched, std::size(watched), -1) < 0)
      if (errno != EINTR) return Error::from_errno("wait for", "criu", errno);
    TRY(auto packet, sys::receive_packet(socket_.get(), kMaxAnswer));
    if (!packet || packet->bytes.empty()) return Error(Kind::Unavailable, "criu ended before it was done");
    if (!packet->fds.empty()) descriptor = std::move(packet->fds.front());
    return decode_criu_answer(packet->bytes);
  }
  /// After its last answer: with the end of its socket it ends too. The status of another's child is not
  /// known: 0.
  int wait() {
    socket_.reset();
    int status = 0;
    pollfd watched{end_.get(), POLLIN, 0};
    while (!is_child_ && ::poll(&watched, 1, -1) < 0 && errno == EINTR) {
    }
    while (is_child_ && ::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  Worker() = default;
  sys::UniqueFd socket_;
  sys::UniqueFd end_;
  pid_t pid_ = -1;
  bool is_child_ = true;
};

/// Its words on this kernel; empty: it can work here.
Result<std::string> check_kernel(const std::string& program) {
  TRY(auto check, sys::HostProgram::start({program, "check"}, own_environment()));
  TRY(std::string said, sys::read_fd(check.standard_output(), kMaxCheck));
  TRY(std::string more, sys::read_fd(check.standard_error(), kMaxCheck));
  TRY(int status, check.wait());
  said += more;
  if (status == 0) return std::string();
  std::string errors = criu_log_errors(said);
  return errors.empty() ? fmt::format("criu check ends with exit code {}", status) : errors;
}

/// The log that criu has written, its end where it is long. No link is followed, and nothing but a file read.
std::string read_log(const CriuOptions& options) {
  if (options.log_file.empty()) return {};
  int directory = options.work >= 0 ? options.work : options.images;
  sys::UniqueFd file(
      ::openat(directory, options.log_file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  uint64_t size = std::min(kMaxLog, static_cast<uint64_t>(status.st_size));
  std::string text(size, '\0');
  ssize_t got = ::pread(file.get(), text.data(), size, status.st_size - static_cast<off_t>(size));
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

/// What criu writes beside its images and would write through a link: a log that is there already is another
/// dump's, or somebody's link.
Result<void> remove_old_reports(const CriuOptions& options) {
  int directory = options.work >= 0 ? options.work : options.images;
  for (const char* name : {options.log_file.c_str(), "stats-dump", "stats-restore"})
    if (*name != '\0' && ::unlinkat(directory, name, 0) != 0 && errno != ENOENT)
      return Error::from_errno("remove", name, errno);
  return {};
}

std::string_view verb(CriuAction action) {
  switch (action) {
    case CriuAction::Restore:
      return "restore";
    case CriuAction::PreDump:
      return "pre-dump";
    default:
      return "dump";
  }
}

Error failure_of(const CriuRequest& request, std::string_view reason) {
  std::string said = criu_log_errors(read_log(request.options));
  if (said.empty()) said = reason;
  std::string log;
  if (!request.options.log_file.empty()) log = fmt::format(" (more in its {})", request.options.log_file);
  return failure(Kind::Internal, "criu could not {}: {}{}", verb(request.action), said, log);
}

/// From the request to criu's end.
Result<pid_t> converse(Worker& worker, CriuRequest& request) {
  if (request.started) CHECK(request.started(worker.pid(), request.options));
  CHECK(worker.send(encode_criu_request(request.action, request.options)));
  Result<void> done;
  while (true) {
    sys::UniqueFd descriptor;
    auto answer = worker.hear(descriptor);
    if (!answer || !answer->success || (answer->action != CriuAction::Notify && !done)) {
      // Its own end comes after it has taken back what it had begun.
      (void)worker.wait();
      if (!done) return std::move(done).error();
      return failure_of(request, answer ? answer->message : answer.error().message());
    }
    if (answer->action == CriuAction::Notify) {
      if (request.notified) done = request.notified(*answer, std::move(descriptor));
      CHECK(worker.send(encode_criu_consent(static_cast<bool>(done))));
      continue;
    }
    int status = worker.wait();
    // After a pre-dump it waits for the next, and does not like the end of its socket.
    if (request.action != CriuAction::PreDump && status != 0)
      return failure_of(request, fmt::format("it ended with status {}", status));
    return answer->pid;
  }
}

}  // namespace

std::string criu_log_errors(std::string_view log) {
  constexpr int kMost = 3;
  // What it says though it goes on, and what it says of every failure.
  constexpr std::string_view kIdle[] = {"rlimit: Can't setup RLIMIT_NOFILE", "tun: Unable to create tun",
                                        "Dumping FAILED", "Pre-dumping FAILED", "Restoring FAILED"};
  std::string errors;
  int count = 0;
  while (!log.empty() && count < kMost) {
    std::string_view line = log.substr(0, log.find('\n'));
    log.remove_prefix(std::min(log.size(), line.size() + 1));
    size_t error = line.find("Error (");
    if (error == std::string_view::npos) continue;
    bool idle = std::ranges::any_of(
        kIdle, [&](std::string_view each) { return line.find(each) != std::string_view::npos; });
    if (idle) continue;
    size_t place = line.find("): ", error);
    std::string_view words = place == std::string_view::npos ? line.substr(error) : line.substr(place + 3);
    if (words.empty()) continue;
    if (words.ends_with('.')) words.remove_suffix(1);
    if (count++ > 0) errors += "; ";
    for (char c : words.substr(0, 512))
      errors.push_back(static_cast<unsigned char>(c) >= ' ' && c != 0x7f ? c : '?');
  }
  return errors;
}

Result<Criu> Criu::find(const std::string& given) {
  const char* named = std::getenv("CRIU");
  std::string name = given;
  if (name.empty()) name = named != nullptr && *named != '\0' ? named : "criu";
  std::string program = look_up(name);
  if (program.empty())
    return failure(Kind::Unsupported, "checkpoint and restore need criu, and there is no program \"{}\": {}",
                   name, kWayOut);
  Criu criu(program, 0);
  auto answer = criu.ask(encode_criu_question(CriuAction::Version));
  if (answer && answer->version >= kOldest) {
    criu.version_ = answer->version;
    TRY(std::string reason, check_kernel(program));
    if (reason.empty()) return criu;
    return failure(Kind::Unsupported,
                   "checkpoint and restore need criu, and {} ({}) does not work with this kernel: {}: try a "
                   "newer one (CRIU=PATH)",
                   program, version_text(criu.version_), reason);
  }
  if (answer)
    return failure(Kind::Unsupported, "checkpoint and restore need criu {} or later, and {} is {}: {}",
                   version_text(kOldest), program, version_text(answer->version), kWayOut);
  // It may have ended for the reason that its check tells.
  TRY(std::string reason, check_kernel(program));
  return failure(Kind::Unsupported, "checkpoint and restore need criu, and {} does not answer: {}: {}",
                 program, reason.empty() ? answer.error().message() : reason, kWayOut);
}

Result<CriuAnswer> Criu::ask(std::string_view question) const {
  TRY(auto worker, Worker::start(program_, {-1, -1, -1}, {}));
  CHECK(worker.send(question));
  sys::UniqueFd descriptor;
  return worker.hear(descriptor);
}

Result<void> Criu::require(bool memory_tracking, bool lazy_pages) const {
  TRY(auto answer, ask(encode_criu_feature_check(memory_tracking, lazy_pages)));
  if (memory_tracking && !answer.memory_tracking)
    return Error(Kind::Unsupported,
                 "--pre-dump and --parent-path: this kernel does not say which pages have been written to "
                 "(CONFIG_MEM_SOFT_DIRTY); dump it whole");
  if (lazy_pages && !answer.lazy_pages)
    return Error(
        Kind::Unsupported,
        "--lazy-pages: this kernel does not hand page faults out (CONFIG_USERFAULTFD); dump it whole");
  return {};
}

Result<pid_t> Criu::run(CriuRequest& request) const {
  CHECK(remove_old_reports(request.options));
  TRY(auto worker, Worker::start(program_, request.stdio, request.passed));
  return converse(worker, request);
}

Result<pid_t> Criu::run(CriuRequest& request, StartedCriu criu) const {
  CHECK(remove_old_reports(request.options));
  Worker worker(std::move(criu));
  return converse(worker, request);
}

}  // namespace berth::launch
