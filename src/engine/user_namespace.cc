// Modes, ranges and mounts.
#include "engine/user_namespace.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>

#include "base/format.h"
#include "engine/core.h"
#include "engine/plan_container.h"
#include "engine/rootless.h"
#include "engine/user_remap.h"
#include "launch/launch_request.h"
#include "launch/namespaces.h"
#include "storage/mapped_copy.h"
#include "sys/file.h"
#include "sys/mapped_tree.h"
#include "sys/netns.h"
#include "sys/placed_mounts.h"
#include "sys/sub_ids.h"

namespace berth::engine {
namespace {

constexpr uint32_t kMinSize = 1024;

std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Error unknown_mode(std::string_view text) {
  return failure(Kind::InvalidArgument,
                 "invalid user namespace mode: {}: it is one of host, auto[:size=N] and, without root, "
                 "keep-id[:uid=N,gid=N]",
                 text.substr(0, 100));
}

Result<void> parse_option(UserMode& mode, std::string_view option, std::string_view whole) {
  size_t equals = option.find('=');
  auto value = equals == option.npos ? std::nullopt : number(option.substr(equals + 1));
  std::string_view name = option.substr(0, equals);
  if (!value) return unknown_mode(whole);
  if (name == "uid")
    mode.uid = value;
  else if (name == "gid")
    mode.gid = value;
  else if (name == "size" && mode.kind == UserMode::Kind::Auto && *value >= kMinSize)
    mode.size = *value;
  else
    return unknown_mode(whole);
  return {};
}

/// "remap:FIRST+COUNT;FIRST+COUNT,FIRST+COUNT": ranges of uids, and of gids.
std::string remap_text(const UserRemap& remap) {
  auto list = [](const std::vector<sys::IdRange>& ranges) {
    std::string text;
    for (const sys::IdRange& range : ranges)
      text += fmt::format("{}{}+{}", text.empty() ? "" : ";", range.first, range.count);
    return text;
  };
  return fmt::format("remap:{},{}", list(remap.uids), list(remap.gids));
}

std::optional<std::vector<sys::IdRange>> parse_ranges(std::string_view text) {
  std::vector<sys::IdRange> ranges;
  while (!text.empty()) {
    std::string_view one = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    size_t plus = one.find('+');
    auto first = number(one.substr(0, plus));
    auto count = plus == one.npos ? std::nullopt : number(one.substr(plus + 1));
    if (!first || !count || *first == 0 || *count == 0 || *count > UINT32_MAX - *first) return std::nullopt;
    ranges.push_back({*first, *count});
  }
  return ranges;
}

Result<UserMode> parse_remap(std::string_view text) {
  std::string_view lists = text.substr(sizeof "remap:" - 1);
  size_t comma = lists.find(',');
  auto uids = parse_ranges(lists.substr(0, comma));
  auto gids = comma == lists.npos ? std::nullopt : parse_ranges(lists.substr(comma + 1));
  if (!uids || !gids || uids->empty() || gids->empty()) return unknown_mode(text);
  UserMode mode{.kind = UserMode::Kind::Remap};
  mode.uid_ranges = std::move(*uids);
  mode.gid_ranges = std::move(*gids);
  return mode;
}

/// Ids from 0 on without a gap.
std::vector<spec::IdMapping> map_of(const std::vector<sys::IdRange>& ranges) {
  std::vector<spec::IdMapping> map;
  uint32_t next = 0;
  for (const sys::IdRange& range : ranges) {
    uint32_t count = std::min(range.count, UINT32_MAX - next);
    map.push_back({.container_id = next, .host_id = range.first, .size = count});
    next += count;
  }
  return map;
}

/// docker's words (runconfig, for --userns-remap) where it has any.
Result<void> check_modes(const spec::HostConfig& host, UserMode::Kind kind) {
  auto shares = [](std::string_view mode) { return mode == "host" || mode.starts_with("container:"); };
  if (host.privileged) {
    return Error(Kind::InvalidArgument,
                 "privileged mode is incompatible with user namespaces.  You must run the container in the "
                 "host namespace when running privileged mode");
  }
  // Another container's network is handed in from outside (join_networks()), where nobody asks whose it is.
  bool network_of_another = kind == UserMode::Kind::Remap && host.network_mode.starts_with("container:");
  if (shares(host.network_mode) && !network_of_another) {
    return Error(
        Kind::InvalidArgument,
        "cannot share the host's network namespace, or another container's, when user namespaces are "
        "enabled");
  }
  if (shares(host.pid_mode)) {
    return Error(Kind::InvalidArgument,
                 "cannot share the host PID namespace, or another container's, when user namespaces are "
                 "enabled");
  }
  if (shares(host.ipc_mode)) {
    return Error(Kind::InvalidArgument,
                 "cannot share the host IPC namespace, or another container's, when user namespaces are "
                 "enabled");
  }
  return {};
}

/// The first place of this size that no other container's range touches.
Result<uint32_t> free_range(const Core& core, const char* file, uint32_t size,
                            std::optional<uint32_t> UserMode::*which) {
  std::vector<sys::IdRange> taken;
  for (const ContainerHandle& container : core.containers.all()) {
    auto mode = parse_user_mode(container->record.host_config.userns_mode);
    if (mode && mode->kind == UserMode::Kind::Auto && (*mode).*which)
      taken.push_back({*((*mode).*which), mode->size});
  }
  const UserRemap& remap = core.options.user_remap;
  for (const auto* ranges : {&remap.uids, &remap.gids})
    taken.insert(taken.end(), ranges->begin(), ranges->end());
  std::ranges::sort(taken, {}, &sys::IdRange::first);
  for (const sys::IdRange& range : reserved_ranges(file)) {
    uint64_t at = range.first;
    for (const sys::IdRange& other : taken) {
      uint64_t other_end = uint64_t{other.first} + other.count;
      if (at + size > other.first && at < other_end) at = other_end;
    }
    if (at + size <= uint64_t{range.first} + range.count) return static_cast<uint32_t>(at);
  }
  return failure(
      Kind::Exhausted,
      "no {} ids are left for a user namespace: remove containers, or give \"berth\" a larger range "
      "in {}",
      size, file);
}

/// The id outside of the user whose engine this is.
uint32_t own_id(const char* map_file) {
  auto text = sys::read_file(map_file, 4096);
  uint32_t inside = 0, outside = 0;
  bool found = text && std::sscanf(text->c_str(), "%" SCNu32 " %" SCNu32, &inside, &outside) == 2;
  return found ? outside : 0;
}

Result<void> settle_keep_id(UserMode& mode, spec::ContainerConfig& config) {
  if (!rootless_facts().rootless)
    return Error(Kind::InvalidArgument, "keep-id is only supported in rootless mode");
  if (!mode.uid) mode.uid = own_id("/proc/self/uid_map");
  if (!mode.gid) mode.gid = own_id("/proc/self/gid_map");
  uint32_t uids = sys::mapped_ids("/proc/self/uid_map");
  uint32_t gids = sys::mapped_ids("/proc/self/gid_map");
  if (*mode.uid >= uids || *mode.gid >= gids) {
    return failure(
        Kind::InvalidArgument,
        "keep-id: {}:{} is beyond the {} ids that are mapped for you: ask for more subordinate ids "
        "in /etc/subuid and /etc/subgid",
        *mode.uid, *mode.gid, std::min(uids, gids));
  }
  if (config.user.empty()) config.user = fmt::format("{}:{}", *mode.uid, *mode.gid);
  return {};
}

/// All ids of the engine's own namespace, with 0 and `kept` changed around.
std::vector<spec::IdMapping> keep_id_map(uint32_t kept, uint32_t count) {
  std::vector<spec::IdMapping> map;
  if (kept > 0) map.push_back({.container_id = 0, .host_id = 1, .size = kept});
  map.push_back({.container_id = kept, .host_id = 0, .size = 1});
  if (kept + 1 < count)
    map.push_back({.container_id = kept + 1, .host_id = kept + 1, .size = count - kept - 1});
  return map;
}

std::string root_place(const std::string& exec_dir) {
  return exec_dir + "/root";
}

/// The root of a container whose layers cannot be mapped: a copy of the image with changed owners.
Result<sys::OverlayLayers> copied_layers(Core& core, const ContainerRecord& record, const UserMaps& maps,
                                         const launch::OverlayRoot& root) {
  auto map = [](const std::vector<spec::IdMapping>& ids) {
    return [&ids](uint32_t id) { return outside_id(ids, id); };
  };
  storage::OwnerMap owners{.uid = map(maps.uids), .gid = map(maps.gids)};
  std::string key = fmt::format("{}-{}-{}", record.chain_id ? record.chain_id->hex() : "empty",
                                maps.uids.front().size, maps.gids.front().size);
  std::string folder = core.options.data_root + "/mapped";
  TRY(std::string copy, storage::mapped_copy(root.lowers, folder, key, owners));
  if (::lchown(root.upper.c_str(), outside_id(maps.uids, 0), outside_id(maps.gids, 0)) != 0)
    return Error::from_errno("chown", root.upper, errno);
  return sys::OverlayLayers{.lower = {copy}, .upper = root.upper, .work = root.work, .options = root.options};
}

/// Files that the engine writes for the container are its root's.
Result<void> give_files(const ContainerRecord& record, const UserMaps& maps) {
  for (const std::string& path : {record.hostname_path, record.hosts_path, record.resolv_conf_path}) {
    if (path.empty()) continue;
    if (::lchown(path.c_str(), outside_id(maps.uids, 0), outside_id(maps.gids, 0)) != 0)
      return Error::from_errno("chown", path, errno);
  }
  return {};
}

}  // namespace

Result<UserMode> parse_user_mode(std::string_view text) {
  UserMode mode;
  if (text.empty() || text == "host" || text == "default") return mode;
  std::string_view name = text.substr(0, text.find(':'));
  if (name == "remap") return parse_remap(text);
  if (name == "auto")
    mode.kind = UserMode::Kind::Auto;
  else if (name == "keep-id")
    mode.kind = UserMode::Kind::KeepId;
  else
    return unknown_mode(text);
  std::string_view rest = text.substr(std::min(text.size(), name.size() + 1));
  while (!rest.empty()) {
    std::string_view option = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), option.size() + 1));
    CHECK(parse_option(mode, option, text));
  }
  return mode;
}

Result<void> settle_user_mode(Core& core, spec::ContainerConfig& config, spec::HostConfig& host) {
  TRY(SecurityOptions security, parse_security_options(host.security_opt));
  // An ordinary user's containers are in a user namespace already.
  bool needs_own = security.profile == SecurityProfile::Hardened && sys::in_initial_user_namespace();
  if (needs_own && host.userns_mode.empty()) host.userns_mode = "auto";
  bool says_nothing = host.userns_mode.empty() || host.userns_mode == "default";
  if (says_nothing && core.options.user_remap) host.userns_mode = remap_text(core.options.user_remap);
  TRY(UserMode mode, parse_user_mode(host.userns_mode));
  if (mode.kind == UserMode::Kind::Host) return {};
  CHECK(check_modes(host, mode.kind));
  if (mode.kind == UserMode::Kind::Remap) return {};
  if (mode.kind == UserMode::Kind::KeepId) {
    CHECK(settle_keep_id(mode, config));
    host.userns_mode = fmt::format("keep-id:uid={},gid={}", *mode.uid, *mode.gid);
    return {};
  }
  if (!sys::in_initial_user_namespace()) {
    return Error(Kind::Unsupported,
                 "--userns auto needs the system's engine: an ordinary user's containers are in a user "
                 "namespace already");
  }
  TRY(uint32_t uid, free_range(core, "/etc/subuid", mode.size, &UserMode::uid));
  TRY(uint32_t gid, free_range(core, "/etc/subgid", mode.size, &UserMode::gid));
  host.userns_mode = fmt::format("auto:size={},uid={},gid={}", mode.size, uid, gid);
  return {};
}

Result<UserMaps> user_maps(const spec::HostConfig& host) {
  TRY(UserMode mode, parse_user_mode(host.userns_mode));
  UserMaps maps;
  if (mode.kind == UserMode::Kind::Remap) {
    maps.uids = map_of(mode.uid_ranges);
    maps.gids = map_of(mode.gid_ranges);
    return maps;
  }
  if (mode.kind == UserMode::Kind::Host || !mode.uid || !mode.gid) return maps;
  if (mode.kind == UserMode::Kind::Auto) {
    maps.uids = {{.container_id = 0, .host_id = *mode.uid, .size = mode.size}};
    maps.gids = {{.container_id = 0, .host_id = *mode.gid, .size = mode.size}};
  } else {
    maps.uids = keep_id_map(*mode.uid, sys::mapped_ids("/proc/self/uid_map"));
    maps.gids = keep_id_map(*mode.gid, sys::mapped_ids("/proc/self/gid_map"));
  }
  return maps;
}

uint32_t outside_id(const std::vector<spec::IdMapping>& map, uint32_t inside) {
  for (const spec::IdMapping& each : map) {
    if (inside >= each.container_id && inside - each.container_id < each.size)
      return each.host_id + (inside - each.container_id);
  }
  return inside;
}

Result<void> place_mounts(Core& core, const ContainerRecord& record, const UserMaps& maps,
                          const sys::NetworkNamespace& netns, launch::LaunchRequest& request) {
  std::string exec_dir = core.exec_dir(record.id);
  TRY(UserMode mode, parse_user_mode(record.host_config.userns_mode));
  auto& root = std::get<launch::OverlayRoot>(request.root);
  CHECK(give_files(record, maps));
  if (mode.kind == UserMode::Kind::KeepId) {
    TRY(auto layers, copied_layers(core, record, maps, root));
    CHECK(sys::place_overlay(layers, root_place(exec_dir)));
  } else {
    TRY(auto users, sys::make_user_namespace(launch::id_map_text(maps.uids), launch::id_map_text(maps.gids)));
    sys::OverlayLayers layers{
        .lower = root.lowers, .upper = root.upper, .work = root.work, .options = root.options};
    sys::OwnerMapping mapping{.user_namespace = users.get(),
                              .root_uid = outside_id(maps.uids, 0),
                              .root_gid = outside_id(maps.gids, 0)};
    CHECK(sys::place_mapped_overlay(layers, mapping, root_place(exec_dir)));
    size_t count = 0;
    for (spec::Mount& mount : request.spec.mounts) {
      bool is_volume = std::ranges::any_of(core.volumes, [&](const auto& entry) {
        return mount.type == "bind" && (mount.source == entry.second.mountpoint ||
                                        mount.source.starts_with(entry.second.mountpoint + "/"));
      });
      if (!is_volume) continue;
      std::string place = fmt::format("{}/volume{}", exec_dir, count++);
      CHECK(sys::place_mapped_directory(mount.source, users.get(), place));
      mount.source = place;
    }
  }
  request.root = launch::DirectoryRoot{.path = root_place(exec_dir)};
  if (!netns) return {};
  for (spec::Mount& mount : request.spec.mounts) {
    if (mount.type != "sysfs") continue;
    CHECK(sys::place_sysfs(netns, exec_dir + "/sys"));
    mount = spec::Mount{mount.destination,
                        "bind",
                        exec_dir + "/sys",
                        {"bind", "rprivate", "ro", "nosuid", "nodev", "noexec"}};
  }
  return {};
}

void remove_placed_mounts(const std::string& exec_dir) {
  auto entries = sys::list_dir(exec_dir);
  if (!entries) return;
  for (const sys::DirEntry& entry : *entries) {
    if (entry.name == "root" || entry.name == "sys" || entry.name.starts_with("volume") ||
        entry.name.starts_with("mapped"))
      sys::remove_placed(exec_dir + "/" + entry.name);
  }
}

}  // namespace berth::engine
