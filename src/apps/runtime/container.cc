// Containers on disk.
#include "apps/runtime/container.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include "apps/runtime/known_capabilities.h"
#include "apps/runtime/resources.h"
#include "apps/runtime/scope.h"
#include "base/format.h"
#include "base/json.h"
#include "spec/runtime_json.h"
#include "sys/file.h"

namespace berth::runtime {
namespace {

constexpr size_t kMaxState = 64u << 20;  // config.json has 16 MiB at most, and is quoted
constexpr size_t kMaxInit = 4096;
constexpr size_t kMaxId = 1024;

Result<void> check_id(const std::string& id) {
  bool plain = std::all_of(id.begin(), id.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '+' || c == '-' || c == '.';
  });
  if (!plain || id.empty() || id.size() > kMaxId || id == "." || id == "..")
    return failure(Kind::InvalidArgument, "invalid container id \"{}\": it must match [a-zA-Z0-9_+.-]+", id);
  return {};
}

struct ProcessStat {
  char state = 'X';
  uint64_t start = 0;
};

/// Nothing when there is no such process.
std::optional<ProcessStat> process_stat(pid_t pid) {
  auto text = sys::read_file(fmt::format("/proc/{}/stat", pid), 4096);
  if (!text) return std::nullopt;
  size_t close = text->rfind(')');  // the name may hold anything
  if (close == std::string::npos || close + 2 >= text->size()) return std::nullopt;
  std::string_view rest = std::string_view(*text).substr(close + 2);
  ProcessStat stat{.state = rest[0]};
  constexpr int kStartField = 19;  // counted from the state
  for (int i = 0; i < kStartField; ++i) {
    size_t space = rest.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(space + 1);
  }
  std::from_chars(rest.data(), rest.data() + rest.size(), stat.start);
  return stat;
}

bool lives(const Record& record) {
  if (record.pid <= 0) return false;
  auto stat = process_stat(record.pid);
  return stat && stat->start == record.pid_start && stat->state != 'Z' && stat->state != 'X';
}

/// A start that was killed leaves the path of a socket on which nobody listens any more. The kernel lists
/// those that live by inode, wherever they were bound.
bool somebody_listens(uint64_t inode) {
  auto table = sys::read_file("/proc/net/unix", 64u << 20);
  return !table || table->find(fmt::format(" {} ", inode)) != std::string::npos;
}

Result<Record> parse_record(std::string_view text) {
  TRY(Json json, parse_json(text, {.max_bytes = kMaxState}));
  Record record;
  TRY(record.id, json_string(json, "id"));
  TRY(record.bundle, json_string(json, "bundle"));
  TRY(record.rootfs, json_string(json, "rootfs"));
  TRY(record.cgroup, json_string(json, "cgroup"));
  TRY(record.scope, json_string(json, "scope"));
  TRY(record.resctrl, json_string(json, "resctrl"));
  TRY(record.resctrl_made, json_strings(json, "resctrl_made"));
  TRY(record.stdio, json_strings(json, "stdio"));
  TRY(record.config, json_string(json, "config"));
  TRY(int64_t created, json_int(json, "created"));
  TRY(int64_t owner, json_int(json, "owner"));
  record.created = from_unix_nanoseconds(created);
  record.owner = static_cast<uid_t>(owner);
  return record;
}

Result<void> read_init(std::string_view text, Record& record) {
  TRY(Json json, parse_json(text, {.max_bytes = kMaxInit}));
  TRY(int64_t pid, json_int(json, "pid"));
  TRY(int64_t start, json_int(json, "start"));
  record.pid = static_cast<pid_t>(pid);
  record.pid_start = static_cast<uint64_t>(start);
  TRY(int64_t socket, json_int(json, "socket"));
  record.start_inode = static_cast<uint64_t>(socket);
  return {};
}

Result<void> lock(int directory, int how) {
  while (::flock(directory, how) != 0)
    if (errno != EINTR) return Error::from_errno("lock container", {}, errno);
  return {};
}

}  // namespace

std::string_view to_string(Status status) {
  switch (status) {
    case Status::Creating:
      return "creating";
    case Status::Created:
      return "created";
    case Status::Running:
      return "running";
    case Status::Paused:
      return "paused";
    case Status::Stopped:
      return "stopped";
  }
  return "";
}

Result<Container> Container::create(const std::string& root, const std::string& id) {
  CHECK(check_id(id));
  if (auto made = sys::make_dirs(root, 0711); !made) return std::move(made).error();
  Container container(root + "/" + id);
  if (::mkdir(container.directory_.c_str(), 0711) != 0) {
    if (errno == EEXIST) return failure(Kind::AlreadyExists, "container with id exists already: {}", id);
    return Error::from_errno("make directory", container.directory_, errno);
  }
  container.lock_.reset(::open(container.directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!container.lock_) return Error::from_errno("open", container.directory_, errno);
  CHECK(lock(container.lock_.get(), LOCK_EX));
  container.record_.id = id;
  container.record_.created = now();
  container.record_.owner = ::getuid();
  return container;
}

Result<Container> Container::look(const std::string& root, const std::string& id) {
  CHECK(check_id(id));
  Container container(root + "/" + id);
  CHECK(container.load());
  return container;
}

Result<Container> Container::open(const std::string& root, const std::string& id) {
  CHECK(check_id(id));
  Container container(root + "/" + id);
  container.lock_.reset(::open(container.directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!container.lock_) {
    if (errno == ENOENT) return failure(Kind::NotFound, "container \"{}\" does not exist", id);
    return Error::from_errno("open", container.directory_, errno);
  }
  CHECK(lock(container.lock_.get(), LOCK_EX));
  CHECK(container.load());
  return container;
}

Result<std::vector<std::string>> Container::list(const std::string& root) {
  std::vector<std::string> ids;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root, error)) {
    std::string name = entry.path().filename();
    if (check_id(name) && ::access((entry.path() / "state.json").c_str(), F_OK) == 0)
      ids.push_back(std::move(name));
  }
  if (error && error != std::errc::no_such_file_or_directory)
    return Error::from_errno("list", root, error.value());
  std::sort(ids.begin(), ids.end());
  return ids;
}

Result<void> Container::load() {
  auto text = sys::read_file(directory_ + "/state.json", kMaxState);
  if (!text) {
    std::string id = directory_.substr(directory_.rfind('/') + 1);
    if (text.error().kind() == Kind::NotFound)
      return failure(Kind::NotFound, "container \"{}\" does not exist", id);
    return std::move(text).error();
  }
  TRY(record_, parse_record(*text));
  auto init = sys::read_file(directory_ + "/init", kMaxInit);
  if (!init) return {};
  return read_init(*init, record_);
}

Result<void> Container::save() const {
  Json json = {{"id", record_.id},           {"bundle", record_.bundle},
               {"rootfs", record_.rootfs},   {"cgroup", record_.cgroup},
               {"scope", record_.scope},     {"created", to_unix_nanoseconds(record_.created)},
               {"owner", record_.owner},     {"config", record_.config},
               {"resctrl", record_.resctrl}, {"resctrl_made", record_.resctrl_made},
               {"stdio", record_.stdio}};
  return sys::write_file_atomic(directory_ + "/state.json", to_json(json), 0600);
}

void Container::set_init(pid_t pid) {
  record_.pid = pid;
  if (auto stat = process_stat(pid)) record_.pid_start = stat->start;
}

Result<void> Container::save_init() const {
  Json json = {{"pid", record_.pid}, {"start", record_.pid_start}, {"socket", record_.start_inode}};
  return sys::write_file_atomic(directory_ + "/init", to_json(json), 0600);
}

Result<std::shared_ptr<const spec::RuntimeSpec>> Container::config() const {
  if (config_) return config_;
  TRY(auto spec, spec::parse_runtime_spec(record_.config));
  drop_unknown_capabilities(spec.process);
  config_ = std::make_shared<const spec::RuntimeSpec>(std::move(spec));
  return config_;
}

Status Container::status() const {
  if (record_.pid == 0) return Status::Creating;
  if (!lives(record_)) return Status::Stopped;
  if (::access(start_socket().c_str(), F_OK) == 0 && somebody_listens(record_.start_inode))
    return Status::Created;
  if (auto group = cgroup(); group && *group) {
    auto state = (*group)->freeze_state();
    if (state && *state != sys::FreezeState::Thawed) return Status::Paused;
  }
  return Status::Running;
}

Result<sys::UniqueFd> Container::init() const {
  sys::UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, record_.pid, 0)));
  // Looked at after it is held: the pid cannot be given away any more.
  if (!pidfd || !lives(record_)) return Error(Kind::Unavailable, "container not running");
  return pidfd;
}

std::string Container::state_json(Status status, const std::map<std::string, std::string>& annotations,
                                  Layout layout) const {
  // In the order that runc's readers know.
  std::vector<std::pair<std::string_view, Json>> members = {
      {"ociVersion", "1.3.0"},
      {"id", record_.id},
      {"pid", status == Status::Stopped ? 0 : record_.pid},
      {"status", to_string(status)},
      {"bundle", record_.bundle},
      {"rootfs", record_.rootfs},
      {"created", to_rfc3339(record_.created)}};
  if (!annotations.empty()) members.emplace_back("annotations", annotations);
  members.emplace_back("owner", record_.owner == 0 ? "root" : std::to_string(record_.owner));
  bool pretty = layout == Layout::Pretty;
  std::string text = pretty ? "{\n" : "{";
  for (const auto& [name, value] : members) {
    if (text.back() != '{' && text.back() != '\n') text += pretty ? ",\n" : ",";
    text += fmt::format("{}\"{}\":{}{}", pretty ? "  " : "", name, pretty ? " " : "", to_json(value));
  }
  return text + (pretty ? "\n}" : "}");
}

Result<sys::UniqueFd> Container::listen() {
  sys::UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return Error::from_errno("make socket", start_socket(), errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // By the directory's descriptor: callers' roots and ids together are longer than an address may be.
  std::string path = fmt::format("/proc/self/fd/{}/start.sock", lock_.get());
  std::copy(path.begin(), path.end(), address.sun_path);
  ::umask(0077);
  struct stat status {};
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), 1) != 0 || ::fstat(socket.get(), &status) != 0)
    return Error::from_errno("listen on", start_socket(), errno);
  record_.start_inode = status.st_ino;
  return socket;
}

Result<std::unique_ptr<sys::Cgroup>> Container::cgroup() const {
  if (record_.cgroup.empty()) return std::unique_ptr<sys::Cgroup>();
  if (!record_.scope.empty()) return open_scope_group(record_.cgroup);
  TRY(const auto* host, group_host());
  auto group = sys::Cgroup::open(*host, record_.cgroup);
  if (!group && group.error().kind() == Kind::NotFound) return std::unique_ptr<sys::Cgroup>();
  return group;
}

Result<void> Container::remove() {
  return sys::remove_tree(directory_);
}

}  // namespace berth::runtime
