// Process, directories, lock, readiness.
#include "apps/berthd/host_setup.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>

#include "base/format.h"

namespace berth::berthd {
namespace {

constexpr size_t max_group_file = size_t{1} << 20;

Result<void> write_small_file(const std::string& path, std::string_view text) {
  TRY(auto file, sys::open_file(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return Error::from_errno("write", path, errno);
  }
  return {};
}

std::string read_small_file(const char* path, size_t limit) {
  std::string text;
  auto file = sys::open_file(path, O_RDONLY);
  if (!file) return text;
  std::array<char, 8192> buffer;
  while (text.size() < limit) {
    ssize_t got = ::read(file->get(), buffer.data(), buffer.size());
    if (got <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  return text;
}

std::optional<int> number(std::string_view text) {
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value < 0)
    return std::nullopt;
  return value;
}

/// Takes a number out of the environment, so that no child inherits the variable.
std::optional<int> take_variable(const char* name) {
  const char* text = ::getenv(name);
  std::optional<int> value = text == nullptr ? std::nullopt : number(text);
  ::unsetenv(name);
  return value;
}

void notify_systemd(std::string_view message) {
  const char* path = ::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || (path[0] != '/' && path[0] != '@') || ::strlen(path) >= sizeof address.sun_path)
    return;
  size_t length = ::strlen(path);
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';  // the abstract namespace
  sys::UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  ::sendto(socket.get(), message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address),
           size);
}

}  // namespace

void tune_process() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    rlimit wanted{std::max<rlim_t>(files.rlim_max, 1 << 20), std::max<rlim_t>(files.rlim_max, 1 << 20)};
    // The hard limit can be raised by root up to fs.nr_open; otherwise what is allowed has to do.
    if (::setrlimit(RLIMIT_NOFILE, &wanted) != 0) {
      files.rlim_cur = files.rlim_max;
      ::setrlimit(RLIMIT_NOFILE, &files);
    }
  }
  // Few threads and long life: one arena more than the main one, and freed memory goes back to the kernel.
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_MMAP_THRESHOLD, 128 << 10);
  ::mallopt(M_TRIM_THRESHOLD, 256 << 10);
  ::mallopt(M_TOP_PAD, 64 << 10);
  ::umask(022);
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
}

void release_unused_memory() {
  ::malloc_trim(0);
}

Result<void> make_directory(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    std::string parent = path.substr(0, slash);
    if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST)
      return Error::from_errno("create", parent, errno).in(fmt::format("make directory {}", path));
  }
  if (::mkdir(path.c_str(), mode) == 0) return {};
  struct stat status;
  if (errno == EEXIST && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return {};
  if (errno == EEXIST) return failure(Kind::InvalidArgument, "{} is not a directory", path);
  return Error::from_errno("create", path, errno);
}

Result<sys::UniqueFd> lock_instance(const std::string& exec_root) {
  std::string path = exec_root + "/berthd.pid";
  TRY(auto file, sys::open_file(path.c_str(), O_RDWR | O_CREAT, 0644));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    std::array<char, 32> text{};
    ssize_t got = ::pread(file.get(), text.data(), text.size() - 1, 0);
    auto pid = number(std::string_view(text.data(), got > 0 ? static_cast<size_t>(got) - 1 : 0));
    return failure(
        Kind::WrongState,
        "berthd is already running for {}{}: stop it, or give this one its own --exec-root and --data-root",
        exec_root, pid ? fmt::format(" (process {})", *pid) : "");
  }
  std::string text = fmt::format("{}\n", ::getpid());
  if (::ftruncate(file.get(), 0) != 0 || ::pwrite(file.get(), text.data(), text.size(), 0) < 0) {
    return Error::from_errno("write", path, errno);
  }
  return file;
}

Result<void> write_pid_file(const std::string& path) {
  if (auto written = write_small_file(path, fmt::format("{}\n", ::getpid())); !written) {
    return std::move(written).error().in("--pidfile");
  }
  return {};
}

Result<gid_t> find_group(const std::string& name) {
  if (auto id = number(name)) return static_cast<gid_t>(*id);
  std::string text = read_small_file("/etc/group", max_group_file);
  std::string_view rest = text;
  while (!rest.empty()) {
    size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (!line.starts_with(name) || line.substr(name.size(), 1) != ":") continue;
    size_t second = line.find(':', name.size() + 1);
    if (second == std::string_view::npos) continue;
    size_t third = line.find(':', second + 1);
    if (auto id =
            number(line.substr(second + 1, third == std::string_view::npos ? third : third - second - 1))) {
      return static_cast<gid_t>(*id);
    }
  }
  return failure(Kind::NotFound, "group \"{}\" not found in /etc/group: create it with \"groupadd {}\"", name,
                 name);
}

Result<std::string> find_helper(const std::string& name) {
  std::array<char, 4096> buffer;
  ssize_t length = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
  if (length <= 0) return Error::from_errno("read", "/proc/self/exe", errno);
  std::string folder(buffer.data(), static_cast<size_t>(length));
  folder.erase(folder.rfind('/'));
  std::string beside = folder + "/" + name;
  if (::access(beside.c_str(), X_OK) == 0) return beside;
  std::string parent = folder.substr(0, folder.rfind('/'));
  std::string library = parent + "/libexec/berth/" + name;
  if (::access(library.c_str(), X_OK) == 0) return library;
  return failure(Kind::NotFound, "{} is neither {} nor {}", name, beside, library);
}

Result<std::string> find_keeper() {
  auto found = find_helper("berth-keeper");
  if (found) return found;
  return failure(found.error().kind(), "{}: name it with --keeper", found.error().message());
}

void announce_ready() {
  if (auto fd = take_variable("BERTHD_READY_FD")) {
    sys::UniqueFd ready(*fd);
    [[maybe_unused]] ssize_t written = ::write(ready.get(), "1", 1);
  }
  notify_systemd(fmt::format("READY=1\nMAINPID={}\n", ::getpid()));
}

void announce_stopping() {
  notify_systemd("STOPPING=1\n");
}

std::vector<sys::UniqueFd> take_activated_sockets() {
  constexpr int first = 3;
  auto pid = take_variable("LISTEN_PID");
  auto count = take_variable("LISTEN_FDS");
  ::unsetenv("LISTEN_FDNAMES");
  std::vector<sys::UniqueFd> sockets;
  if (pid != ::getpid() || !count) return sockets;
  for (int fd = first; fd < first + *count; ++fd) {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) sockets.emplace_back(fd);
  }
  return sockets;
}

}  // namespace berth::berthd
