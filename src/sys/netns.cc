// Network namespaces: creation on threads that end, and the stock.
#include "sys/netns.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>

#include "base/format.h"
#include "sys/kernel_call.h"
#include "sys/sub_ids.h"

namespace berth::sys {
namespace {

/// How long the stock is left alone after one was taken.
constexpr std::chrono::milliseconds kStartsFirst{15};
constexpr char kOwnNamespace[] = "/proc/thread-self/ns/net";

/// What a namespace starts with; run by a thread that is inside.
struct Prepared {
  UniqueFd fd;
  RouteSocket routes;
  UniqueFd sysfs;
  uint32_t next_link_index = 0;
};

/// A new filesystem of the kernel's, attached nowhere; empty where it may not be mounted.
UniqueFd detached(const char* type) {
  UniqueFd context(static_cast<int>(std::max(call::open_filesystem(type), -1L)));
  if (!context || call::configure(context.get(), FSCONFIG_SET_STRING, "source", type) < 0 ||
      call::configure(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr) < 0)
    return {};
  return UniqueFd(static_cast<int>(std::max(call::make_mount(context.get(), 0), -1L)));
}

/// A procfs of one's own for what is written below /proc/sys. The kernel keeps the directories that were
/// looked up there, those of all namespaces under one name side by side, and goes through them all when a new
/// namespace looks for the first time: a millisecond where there are a thousand. They go with their procfs.
class SysctlFiles {
 public:
  /// For one namespace; -1 (which is /proc) where nothing may be mounted.
  int next() {
    if (used_++ % kNamespaces == 0) mount_ = detached("proc");
    return mount_.get();
  }

 private:
  static constexpr unsigned kNamespaces = 16;

  UniqueFd mount_;
  unsigned used_ = 0;
};

Result<Prepared> prepare_inside(const std::vector<NamespaceSysctl>& sysctls, int procfs) {
  Prepared prepared;
  TRY(prepared.fd, open_file(kOwnNamespace, O_RDONLY));
  TRY(prepared.routes, RouteSocket::open());
  RouteBatch batch;
  batch.change_link({.index = 1, .up = true});
  CHECK(prepared.routes.run(batch));
  for (const auto& sysctl : sysctls) {
    auto written = write_sysctl(sysctl.path, sysctl.value, procfs);
    if (!written && !sysctl.optional) return std::move(written).error();
  }
  // Some kernels put tunnel devices into every namespace, behind lo.
  TRY(auto links, prepared.routes.links());
  for (const auto& link : links)
    prepared.next_link_index = std::max(prepared.next_link_index, link.index + 1);
  return prepared;
}

Result<Prepared> unshare_and_prepare(const std::vector<NamespaceSysctl>& sysctls, int procfs = -1) {
  if (::unshare(CLONE_NEWNET) != 0) return Error::from_errno("create network namespace", {}, errno);
  return prepare_inside(sysctls, procfs);
}

}  // namespace

std::vector<NamespaceSysctl> default_network_sysctls() {
  // All groups; only those that the user namespace knows can be named.
  uint32_t groups = std::min<uint32_t>(mapped_ids("/proc/self/gid_map"), 0x80000000);
  return {
      {"net/ipv4/ip_unprivileged_port_start", "0"},
      {"net/ipv4/ping_group_range", fmt::format("0 {}", groups - 1)},
      {"net/ipv6/conf/all/accept_ra", "0"},
      {"net/ipv6/conf/default/accept_ra", "0"},
      {"net/ipv6/conf/default/accept_dad", "0"},
  };
}

Result<NetworkNamespace> NetworkNamespace::create(const std::vector<NamespaceSysctl>& sysctls) {
  Result<Prepared> prepared = failure(Kind::Internal, "no network namespace");
  std::thread([&] { prepared = unshare_and_prepare(sysctls); }).join();
  if (!prepared) return std::move(prepared).error();
  NetworkNamespace created;
  created.fd_ = std::move(prepared->fd);
  created.routes_ = std::move(prepared->routes);
  created.next_link_index_ = prepared->next_link_index;
  return created;
}

Result<NetworkNamespace> NetworkNamespace::open(const char* path) {
  TRY(UniqueFd fd, open_file(path, O_RDONLY));
  return adopt(std::move(fd));
}

Result<NetworkNamespace> NetworkNamespace::adopt(UniqueFd fd) {
  NetworkNamespace opened;
  TRY(opened.routes_, RouteSocket::open_in(fd.get()));
  opened.fd_ = std::move(fd);
  return opened;
}

Result<void> NetworkNamespace::run_inside(const std::function<Result<void>()>& work) const {
  auto enter = [this] { return ::setns(fd_.get(), CLONE_NEWNET) == 0; };
  // A thread costs a start half a millisecond, and several where the processors are busy.
  auto home = open_file(kOwnNamespace, O_RDONLY);
  bool may_return = home && ::setns(home->get(), CLONE_NEWNET) == 0;
  if (may_return) {
    if (!enter()) return Error::from_errno("enter network namespace", {}, errno);
    auto result = work();
    // It was allowed a moment ago; a daemon in a container's namespace must not go on.
    if (::setns(home->get(), CLONE_NEWNET) != 0) std::abort();
    return result;
  }
  Result<void> result;
  std::thread([&] {
    result = enter() ? work() : Error::from_errno("enter network namespace", {}, errno);
  }).join();
  return result;
}

NetnsPool::NetnsPool(Options options) : options_(std::move(options)) {
  if (options_.size > 0) {
    filler_ = std::jthread([this](std::stop_token stop) { fill(stop); });
  }
}

NetnsPool::~NetnsPool() = default;

Result<NetworkNamespace> NetnsPool::take() {
  {
    std::lock_guard lock(mutex_);
    if (!stock_.empty()) {
      NetworkNamespace taken = std::move(stock_.back());
      stock_.pop_back();
      failing_ = false;
      wanted_.notify_one();
      return taken;
    }
    failing_ = false;
    wanted_.notify_one();
  }
  return NetworkNamespace::create(options_.sysctls);
}

size_t NetnsPool::ready() const {
  std::lock_guard lock(mutex_);
  return stock_.size();
}

void NetnsPool::fill(std::stop_token stop) {
  sigset_t all;  // signals are the main thread's
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  UniqueFd home;
  SysctlFiles files;
  if (auto own = open_file(kOwnNamespace, O_RDONLY)) home = *std::move(own);
  while (home) {
    {
      std::unique_lock lock(mutex_);
      // After a failure (no memory, limit of namespaces) the next take() gives the signal to try again.
      wanted_.wait(lock, stop, [&] { return !failing_ && stock_.size() < options_.size; });
      // The kernel makes one link or namespace at a time, and whoever took one is about to make links.
      wanted_.wait_for(lock, stop, kStartsFirst, [&] { return stock_.size() * 2 < options_.size; });
      if (stop.stop_requested()) return;
    }
    auto prepared = unshare_and_prepare(options_.sysctls, files.next());
    // Among a thousand the kernel takes as long for this as for all other filesystems of a container.
    if (prepared) prepared->sysfs = detached("sysfs");
    // Back home at once: this thread must not be what keeps a container's namespace alive.
    if (::setns(home.get(), CLONE_NEWNET) != 0) return;
    std::lock_guard lock(mutex_);
    if (!prepared) {
      failing_ = true;
      continue;
    }
    NetworkNamespace ready;
    ready.fd_ = std::move(prepared->fd);
    ready.routes_ = std::move(prepared->routes);
    ready.sysfs_ = std::move(prepared->sysfs);
    ready.next_link_index_ = prepared->next_link_index;
    stock_.push_back(std::move(ready));
  }
}

}  // namespace berth::sys
