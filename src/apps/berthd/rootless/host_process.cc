// The namespace host's life: make the namespaces, start the uplink, then answer the daemon.
#include "apps/berthd/rootless/host_process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <vector>

#include "apps/berthd/host_setup.h"
#include "apps/berthd/rootless/messages.h"
#include "apps/berthd/rootless/uplink.h"
#include "base/format.h"
#include "network/host_ports.h"
#include "network/resolv_conf.h"
#include "sys/file.h"
#include "sys/netns.h"
#include "sys/packet_socket.h"

namespace berth::berthd::rootless {
namespace {

constexpr int kPatience = 60'000;  // milliseconds that the starter may take for the maps
constexpr size_t kMaxClients = 16;

Error no_user_namespaces(int error) {
  return Error::from_errno("create a user namespace", {}, error)
      .in("this host does not let ordinary users make user namespaces (sysctl user.max_user_namespaces, "
          "kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)");
}

/// Out of the starter's hands: the daemon must not have to reap us.
void leave_starter() {
  if (pid_t pid = ::fork(); pid != 0) ::_exit(pid < 0 ? 1 : 0);
  ::setsid();
  ::prctl(PR_SET_NAME, "berthd-rootless");
  if (::chdir("/") != 0) ::_exit(1);
}

Result<void> make_user_and_mount_namespace() {
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return no_user_namespaces(errno);
  CHECK(sys::send_packet(kStarterFd, fmt::format("{}{}", kSaysMapMe, ::getpid())));
  CHECK(sys::await_packet(kStarterFd, kPatience));
  TRY(auto word, sys::receive_packet(kStarterFd, kMaxPacket));
  if (!word || word->bytes.empty()) return Error(Kind::Cancelled, "the starter has gone");
  if (::setresgid(0, 0, 0) != 0) return Error::from_errno("become", "group 0 of the user namespace", errno);
  if (::setresuid(0, 0, 0) != 0) return Error::from_errno("become", "root of the user namespace", errno);
  // Refused where setgroups(2) is denied, with a single id: then the user's own groups stay.
  ::setgroups(0, nullptr);
  if (::mount("", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
    return Error::from_errno("change propagation of", "/", errno);
  return {};
}

/// A nameserver on the loopback is out of reach of the new network namespace.
bool only_loopback_servers(const std::string& text) {
  size_t servers = 0, loopback = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (!line.starts_with("nameserver")) continue;
    size_t at = line.find_first_not_of(" \t", 10);
    if (at == std::string_view::npos) continue;
    auto address = sys::IpAddress::parse(line.substr(at, line.find_first_of(" \t", at) - at));
    ++servers;
    if (address && address->is_loopback()) ++loopback;
  }
  return servers == loopback;
}

/// Covers /etc/resolv.conf, in the new mount namespace alone, where the host's would lead nowhere.
Result<void> cover_resolv_conf(const std::string& directory, const std::string& dns) {
  if (dns.empty() || !only_loopback_servers(network::read_host_resolv_conf())) return {};
  std::string path = directory + "/resolv.conf";
  CHECK(sys::write_file_atomic(path, fmt::format("nameserver {}\n", dns)));
  if (::mount(path.c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr) != 0)
    return Error::from_errno("mount", "/etc/resolv.conf", errno);
  return {};
}

Result<sys::UniqueFd> listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return failure(Kind::InvalidArgument, "{} is longer than {} bytes: choose a shorter --exec-root", path,
                   sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  sys::UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return Error::from_errno("create socket", {}, errno);
  ::unlink(path.c_str());
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return Error::from_errno("bind", path, errno);
  if (::chmod(path.c_str(), 0600) != 0) return Error::from_errno("chmod", path, errno);
  if (::listen(socket.get(), 8) != 0) return Error::from_errno("listen on", path, errno);
  return socket;
}

/// What the daemon may ask for.
class HostProcess {
 public:
  HostProcess(std::string exec_root, std::string choice)
      : exec_root_(std::move(exec_root)), choice_(std::move(choice)) {}

  Result<void> prepare() {
    TRY(auto programs, uplink_programs(choice_));
    CHECK(make_user_and_mount_namespace());
    TRY(user_, sys::open_file("/proc/self/ns/user", O_RDONLY));
    TRY(mounts_, sys::open_file("/proc/self/ns/mnt", O_RDONLY));
    TRY(network_, sys::NetworkNamespace::create({}));
    std::string directory = exec_root_ + "/rootless";
    if (!programs.empty()) CHECK(start_network(programs, directory));
    CHECK(cover_resolv_conf(directory, uplink_.dns));
    TRY(listener_, listen_at(exec_root_ + kHostSocket));
    return {};
  }

  void serve() {
    while (!ending_) {
      std::vector<pollfd> waits{{listener_.get(), POLLIN, 0}};
      for (const auto& client : clients_) waits.push_back({client.get(), POLLIN, 0});
      if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return;
      reap_uplink();
      for (size_t i = waits.size(); i-- > 1;)
        if (waits[i].revents != 0 && !answer(clients_[i - 1].get()))
          clients_.erase(clients_.begin() + static_cast<long>(i) - 1);
      if (waits[0].revents != 0) accept_client();
    }
  }

  void end() {
    if (uplink_.pid > 0) {
      ::kill(uplink_.pid, SIGKILL);
      ::waitpid(uplink_.pid, nullptr, 0);
    }
    std::string directory = exec_root_ + "/rootless";
    ::unlink((exec_root_ + kHostSocket).c_str());
    ::umount2((directory + "/netns").c_str(), MNT_DETACH);
    ::unlink((directory + "/netns").c_str());
    if (::umount2("/etc/resolv.conf", MNT_DETACH) == 0) ::unlink((directory + "/resolv.conf").c_str());
  }

 private:
  /// The programs give up rights before they open the namespace, /proc no longer lets them then: so it gets
  /// a name, in our mount namespace alone.
  Result<void> start_network(const std::vector<std::string>& programs, const std::string& directory) {
    std::string path = directory + "/netns";
    TRY(auto file, sys::open_file(path.c_str(), O_WRONLY | O_CREAT, 0600));
    std::string link = fmt::format("/proc/self/fd/{}", network_.fd());
    if (::mount(link.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0)
      return Error::from_errno("mount", path, errno);
    auto started = start_uplink(programs, path, directory);
    if (started)
      uplink_ = *std::move(started);
    else
      warning_ = fmt::format("containers have no network beyond this host: {}: install passt or slirp4netns",
                             started.error().message());
    return {};
  }

  void reap_uplink() {
    if (uplink_.pid <= 0 || ::waitpid(uplink_.pid, nullptr, WNOHANG) != uplink_.pid) return;
    warning_ = fmt::format("{} has ended: containers have no network beyond this host", uplink_.program);
    uplink_.pid = -1;
  }

  void accept_client() {
    sys::UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ucred peer{};
    socklen_t size = sizeof peer;
    bool known = client && ::getsockopt(client.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    if (known && peer.uid == 0 && clients_.size() < kMaxClients) clients_.push_back(std::move(client));
  }

  /// False when the client has gone, or talks nonsense.
  bool answer(int client) {
    auto packet = sys::receive_packet(client, kMaxPacket);
    if (!packet) return false;
    if (!*packet) return true;
    auto request = parse_request((*packet)->bytes);
    if (!request) return false;
    Answer answer;
    std::vector<int> fds;
    std::string text;
    switch (request->ask) {
      case Ask::Enter:
        fds = {user_.get(), mounts_.get(), network_.fd()};
        text = warning_;
        for (auto& [key, held] : held_) held.doubtful = true;
        break;
      case Ask::Hold:
        answer.error = hold(*request, fds);
        break;
      case Ask::Release:
        held_.erase(key_of(*request));
        break;
      case Ask::Settle:
        std::erase_if(held_, [](const auto& entry) { return entry.second.doubtful; });
        break;
      case Ask::End:
        ending_ = true;
        break;
    }
    std::string bytes(reinterpret_cast<const char*>(&answer), sizeof answer);
    return sys::send_packet(client, bytes + text, fds).has_value();
  }

  static Request key_of(Request request) {
    request.ask = Ask::Hold;
    return request;
  }

  int hold(const Request& request, std::vector<int>& fds) {
    auto known = held_.find(request);
    if (known == held_.end()) {
      auto address = address_of(request);
      if (!address) return EINVAL;
      auto protocol = static_cast<network::Protocol>(request.protocol);
      auto bound = network::bind_host_port(protocol, *address, request.port);
      if (bound.errno_value != 0) return bound.errno_value;
      known = held_.emplace(request, Held{std::move(bound.socket), false}).first;
    }
    known->second.doubtful = false;
    fds.push_back(known->second.socket.get());
    return 0;
  }

  struct Held {
    sys::UniqueFd socket;
    bool doubtful = false;  ///< held for a daemon that has gone
  };

  std::string exec_root_;
  std::string choice_;
  sys::UniqueFd user_;
  sys::UniqueFd mounts_;
  sys::NetworkNamespace network_;
  sys::UniqueFd listener_;
  Uplink uplink_;
  std::string warning_;
  std::map<Request, Held> held_;
  std::vector<sys::UniqueFd> clients_;
  bool ending_ = false;
};

}  // namespace

int run_host_process(const std::string& exec_root, const std::string& uplink) {
  leave_starter();
  ::signal(SIGPIPE, SIG_IGN);
  HostProcess host(exec_root, uplink);
  auto prepared = host.prepare();
  std::string word =
      prepared ? std::string(1, kSaysReady) : fmt::format("{}{}", kSaysFailed, prepared.error().message());
  bool told = sys::send_packet(kStarterFd, word).has_value();
  ::close(kStarterFd);
  if (prepared && told) host.serve();
  host.end();
  return prepared ? 0 : 1;
}

}  // namespace berth::berthd::rootless
