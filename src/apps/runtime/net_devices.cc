// Moving network devices.
#include "apps/runtime/net_devices.h"

#include <fcntl.h>

#include "base/format.h"
#include "sys/fd.h"
#include "sys/netlink.h"

namespace berth::runtime {
namespace {

constexpr size_t kMaxName = 15;

Result<void> check_name(const std::string& name) {
  if (name.size() <= kMaxName && name.find('/') == std::string::npos && name != "." && name != "..")
    return {};
  return failure(Kind::InvalidArgument, "invalid network device name \"{}\"", name);
}

/// "eth%d": the first number that is free.
std::string fill_in(const std::string& name, const std::vector<sys::Link>& links) {
  size_t at = name.find("%d");
  if (at == std::string::npos) return name;
  auto taken = [&](const std::string& candidate) {
    return std::any_of(links.begin(), links.end(), [&](const auto& link) { return link.name == candidate; });
  };
  for (int number = 0;; ++number) {
    std::string candidate = name;
    candidate.replace(at, 2, std::to_string(number));
    if (!taken(candidate)) return candidate;
  }
}

Result<void> move_device(const std::string& name, const std::string& wanted, int netns) {
  CHECK(check_name(name));
  CHECK(check_name(wanted));
  TRY(auto here, sys::RouteSocket::open());
  TRY(auto link, here.link(name));
  TRY(auto all, here.addresses());
  sys::RouteBatch leave;
  leave.change_link({.index = link.index, .up = false});
  leave.change_link({.index = link.index, .netns = netns});
  CHECK(here.run(leave));

  TRY(auto there, sys::RouteSocket::open_in(netns));
  TRY(auto moved, there.link(name));
  TRY(auto neighbours, there.links());
  sys::RouteBatch arrive;
  if (!wanted.empty() && wanted != name)
    arrive.change_link({.index = moved.index, .new_name = fill_in(wanted, neighbours)});
  for (const auto& address : all) {
    bool is_global = address.link == link.index && !address.address.address.is_link_local();
    if (is_global) arrive.add_address({.link = moved.index, .address = address.address});
  }
  arrive.change_link({.index = moved.index, .up = true});
  return there.run(arrive);
}

}  // namespace

Result<void> move_net_devices(const std::map<std::string, std::string>& devices, pid_t pid) {
  if (devices.empty()) return {};
  std::string path = fmt::format("/proc/{}/ns/net", pid);
  TRY(auto netns, sys::open_file(path.c_str(), O_RDONLY));
  for (const auto& [name, wanted] : devices) {
    if (auto moved = move_device(name, wanted, netns.get()); !moved)
      return std::move(moved).error().in(fmt::format("move network device {}", name));
  }
  return {};
}

}  // namespace berth::runtime
