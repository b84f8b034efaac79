// Network namespaces as handles, and a bounded stock of ready ones. A namespace lives as long as a handle or
// a process holds it: the container's processes keep theirs when the daemon dies, so nothing is bind mounted.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/netlink.h"

namespace berth::sys {

/// What is written below /proc/sys in a new namespace: {"net/ipv4/ip_unprivileged_port_start", "0"}.
struct NamespaceSysctl {
  std::string path;
  std::string value;
  /// A failure is ignored (the host has no IPv6, ...).
  bool optional = true;
};

/// docker's defaults for a container's own network: unprivileged ports from 0, ping for all groups; and no
/// router advertisements and no duplicate address detection (CVE-2020-13401: a neighbour could redirect
/// the container's IPv6 traffic).
std::vector<NamespaceSysctl> default_network_sysctls();

/// A network namespace held by descriptor, with an rtnetlink socket inside. Drop it once the container's
/// process has entered, or the namespace outlives the container.
class NetworkNamespace {
 public:
  NetworkNamespace() = default;
  /// A new one with `lo` up (some 400 us; NetnsPool hides it).
  static Result<NetworkNamespace> create(const std::vector<NamespaceSysctl>& sysctls = {});
  /// An existing one by path: "/proc/<pid>/ns/net".
  static Result<NetworkNamespace> open(const char* path);
  /// An existing one by descriptor of its ns file.
  static Result<NetworkNamespace> adopt(UniqueFd fd);

  int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }
  /// A socket inside.
  RouteSocket& routes() { return routes_; }
  /// The index that the next link made in here will have, as long as nobody has entered; 0: unknown.
  uint32_t next_link_index() const { return next_link_index_; }
  /// A link was made: with `known` as expected, else (an attempt failed half-way) indices are unknown.
  void count_link(bool known) {
    next_link_index_ = known && next_link_index_ != 0 ? next_link_index_ + 1 : 0;
  }
  /// Gives away a sysfs of the namespace: a mount that nobody has attached yet, without attributes. Empty for
  /// those that were not in the stock, and where none may be mounted.
  UniqueFd take_sysfs() { return std::move(sysfs_); }
  /// Runs `work` inside the namespace, on this thread where it may come back, else on a short-lived one; for
  /// sockets and sysctls.
  Result<void> run_inside(const std::function<Result<void>()>& work) const;

 private:
  friend class NetnsPool;
  UniqueFd fd_;
  RouteSocket routes_;
  UniqueFd sysfs_;
  uint32_t next_link_index_ = 0;
};

/// A bounded stock of namespaces made ahead by a thread of its own: taking one costs microseconds. Thread
/// safe.
class NetnsPool {
 public:
  struct Options {
    size_t size = 4;  ///< 0: no stock and no thread; take() makes one each time
    std::vector<NamespaceSysctl> sysctls;
  };
  explicit NetnsPool(Options options);
  ~NetnsPool();
  NetnsPool(const NetnsPool&) = delete;
  NetnsPool& operator=(const NetnsPool&) = delete;

  /// A ready namespace, or a new one when the stock is empty.
  Result<NetworkNamespace> take();
  /// How many are ready now.
  size_t ready() const;
  size_t size() const { return options_.size; }

 private:
  void fill(std::stop_token stop);
  Options options_;
  mutable std::mutex mutex_;
  std::condition_variable_any wanted_;
  std::vector<NetworkNamespace> stock_;
  bool failing_ = false;
  std::jthread filler_;
};

}  // namespace berth::sys
