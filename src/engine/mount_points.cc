// docker's mount notations.
#include "engine/mount_points.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/format.h"
#include "base/id.h"
#include "engine/mount_id_map.h"
#include "engine/paths.h"
#include "engine/plan_mounts.h"

namespace berth::engine {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

bool is_propagation(std::string_view word) {
  constexpr std::array<std::string_view, 6> modes = {"private", "rprivate", "slave",
                                                     "rslave",  "shared",   "rshared"};
  return std::find(modes.begin(), modes.end(), word) != modes.end();
}

/// The comma-separated options behind a bind's second colon.
struct BindMode {
  bool valid = true;
  bool read_only = false;
  bool no_copy = false;
  std::string propagation;
};

BindMode parse_mode(std::string_view mode) {
  BindMode parsed;
  if (mode.empty()) return parsed;
  int access = 0, label = 0, propagation = 0, copy = 0, consistency = 0, id_map = 0;
  for (std::string_view word : split(mode, ',')) {
    if (word == "ro" || word == "rw") {
      ++access;
      parsed.read_only = word == "ro";
    } else if (word == "z" || word == "Z") {
      ++label;
    } else if (is_propagation(word)) {
      ++propagation;
      parsed.propagation = word;
    } else if (word == "nocopy") {
      ++copy;
      parsed.no_copy = true;
    } else if (word == "consistent" || word == "cached" || word == "delegated") {
      ++consistency;
    } else if (is_id_map_option(word)) {
      ++id_map;
    } else {
      parsed.valid = false;
    }
  }
  if (std::max({access, label, propagation, copy, consistency, id_map}) > 1) parsed.valid = false;
  return parsed;
}

Error invalid_mount(spec::MountType type, std::string_view cause) {
  return failure(Kind::InvalidArgument, "invalid mount config for type \"{}\": {}", to_string(type), cause);
}

Result<void> check_destination(spec::MountType type, std::string_view target) {
  if (target.empty()) return invalid_mount(type, "field Target must not be empty");
  if (clean_path(target) == "/")
    return invalid_mount(type, "invalid specification: destination can't be '/'");
  if (!is_absolute(target)) {
    return invalid_mount(type, fmt::format("invalid mount path: '{}' mount path must be absolute", target));
  }
  return {};
}

Result<void> check_volume_name(std::string_view name) {
  if (is_valid_name(name)) return {};
  return failure(
      Kind::InvalidArgument,
      "create {0}: \"{0}\" includes invalid characters for a local volume name, only "
      "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute "
      "path",
      name);
}

Result<void> check_driver(std::string_view driver) {
  if (driver.empty() || driver == "local") return {};
  return failure(Kind::NotFound, "error looking up volume plugin {0}: plugin \"{0}\" not found", driver);
}

Result<MountPoint> resolve_bind_mount(const spec::MountRequest& mount, MountPoint point) {
  if (mount.source.empty()) return invalid_mount(mount.type, "field Source must not be empty");
  if (mount.volume) return invalid_mount(mount.type, "field VolumeOptions must not be specified");
  if (mount.image_subpath) return invalid_mount(mount.type, "field ImageOptions must not be specified");
  if (!is_absolute(mount.source)) {
    return invalid_mount(mount.type,
                         fmt::format("invalid mount path: '{}' mount path must be absolute", mount.source));
  }
  point.source = clean_path(mount.source);
  point.propagation = "rprivate";
  if (!mount.bind) return point;
  const spec::MountRequest::Bind& bind = *mount.bind;
  if (!bind.propagation.empty()) {
    if (!is_propagation(bind.propagation)) {
      return invalid_mount(mount.type, fmt::format("invalid propagation mode: {}", bind.propagation));
    }
    point.propagation = bind.propagation;
  }
  if (!mount.read_only && bind.read_only_non_recursive) {
    return invalid_mount(mount.type, "mount options conflict: !ReadOnly && BindOptions.ReadOnlyNonRecursive");
  }
  if (!mount.read_only && bind.read_only_force_recursive) {
    return invalid_mount(mount.type,
                         "mount options conflict: !ReadOnly && BindOptions.ReadOnlyForceRecursive");
  }
  if (bind.read_only_force_recursive && bind.read_only_non_recursive) {
    return invalid_mount(
        mount.type, "mount options conflict: ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive");
  }
  point.non_recursive = bind.non_recursive;
  point.read_only_recursive = !bind.read_only_non_recursive;
  point.force_recursive = bind.read_only_force_recursive;
  point.create_source = bind.create_mountpoint;
  return point;
}

Result<MountPoint> resolve_volume_mount(const spec::MountRequest& mount, MountPoint point) {
  if (mount.bind) return invalid_mount(mount.type, "field BindOptions must not be specified");
  if (mount.image_subpath) return invalid_mount(mount.type, "field ImageOptions must not be specified");
  point.anonymous = mount.source.empty();
  point.name = mount.source;
  point.driver = "local";
  point.mode = "z";
  if (mount.read_only && point.anonymous) {
    return invalid_mount(mount.type, "must not set ReadOnly mode when using anonymous volumes");
  }
  if (!point.anonymous) CHECK(check_volume_name(point.name));
  if (!mount.volume) return point;
  CHECK(check_driver(mount.volume->driver));
  point.no_copy = mount.volume->no_copy;
  point.subpath = mount.volume->subpath;
  if (point.subpath.empty()) return point;
  if (point.anonymous) return invalid_mount(mount.type, "must not set Subpath when using anonymous volumes");
  if (!is_local_path(point.subpath)) {
    return invalid_mount(mount.type, "subpath must be a relative path within the volume");
  }
  return point;
}

Result<MountPoint> resolve_tmpfs_mount(const spec::MountRequest& mount, MountPoint point) {
  if (mount.bind) return invalid_mount(mount.type, "field BindOptions must not be specified");
  if (mount.image_subpath) return invalid_mount(mount.type, "field ImageOptions must not be specified");
  if (!mount.source.empty()) return invalid_mount(mount.type, "field Source must not be specified");
  point.tmpfs_options = {"noexec", "nosuid", "nodev"};
  if (!mount.tmpfs) return point;
  if (mount.tmpfs->size_bytes < 0) return invalid_mount(mount.type, "size must not be negative");
  if (mount.tmpfs->size_bytes > 0)
    point.tmpfs_options.push_back(fmt::format("size={}", mount.tmpfs->size_bytes));
  if (mount.tmpfs->mode != 0) point.tmpfs_options.push_back(fmt::format("mode={:o}", mount.tmpfs->mode));
  for (const auto& option : mount.tmpfs->options) {
    if (option.empty() || option.size() > 2) return invalid_mount(mount.type, "invalid option array length");
    if (option.size() == 2 || (option[0] != "exec" && option[0] != "noexec")) {
      return invalid_mount(mount.type, "invalid option: " + option[0]);
    }
    if (option[0] == "exec") std::erase(point.tmpfs_options, "noexec");
  }
  return point;
}

Result<MountPoint> resolve_image_mount(const spec::MountRequest& mount, MountPoint point) {
  if (mount.bind) return invalid_mount(mount.type, "field BindOptions must not be specified");
  if (mount.volume) return invalid_mount(mount.type, "field VolumeOptions must not be specified");
  if (mount.source.empty()) return invalid_mount(mount.type, "field Source must not be empty");
  point.name = mount.source;
  point.read_write = false;
  if (mount.image_subpath) point.subpath = *mount.image_subpath;
  if (!point.subpath.empty() && !is_local_path(point.subpath)) {
    return invalid_mount(mount.type, "subpath must be a relative path within the volume");
  }
  return point;
}

bool is_within(std::string_view path, std::string_view directory) {
  if (directory == "/" || path == directory) return true;
  return path.starts_with(directory) && path[directory.size()] == '/';
}

/// `asked` is the propagation that the request names; empty: none.
Result<void> settle_propagation(MountPoint& mount, std::string_view asked, std::string_view data_root) {
  if (data_root.empty() || mount.type != spec::MountType::Bind) return {};
  if (!is_within(mount.source, data_root) && !is_within(data_root, mount.source)) return {};
  if (asked.empty()) mount.propagation = "rslave";
  if (asked.empty() || asked == "rslave" || asked == "rshared") return {};
  return failure(
      Kind::InvalidArgument,
      "invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount "
      "source is within the daemon root, daemon root: \"{}\", bind mount source: \"{}\", "
      "propagation: \"{}\"",
      data_root, mount.source, asked);
}

/// To the mount itself, without those below.
void limit_read_only(MountPoint& mount) {
  if (mount.type == spec::MountType::Bind && !mount.read_write) mount.read_only_recursive = false;
}

/// "container[:ro|rw]"
struct VolumesFrom {
  std::string_view container;
  std::string_view mode = "rw";
};

Result<VolumesFrom> parse_volumes_from(std::string_view text) {
  if (text.empty())
    return Error(Kind::InvalidArgument, "volumes-from specification cannot be an empty string");
  size_t colon = text.find(':');
  VolumesFrom from{.container = text.substr(0, colon)};
  if (colon != std::string_view::npos) from.mode = text.substr(colon + 1);
  BindMode mode = parse_mode(from.mode);
  if (!mode.valid || mode.no_copy || !mode.propagation.empty()) {
    return failure(Kind::InvalidArgument, "invalid mode: {} (of volumes-from {})", from.mode, from.container);
  }
  return from;
}

/// Collects mounts by destination; what comes later replaces what --volumes-from gave, and nothing else.
class MountSet {
 public:
  void inherit(MountPoint mount) {
    inherited_.insert(mount.destination);
    mounts_[mount.destination] = std::move(mount);
  }
  Result<void> add(MountPoint mount) {
    if (mounts_.contains(mount.destination) && inherited_.erase(mount.destination) == 0) {
      return failure(Kind::InvalidArgument, "Duplicate mount point: {}", mount.destination);
    }
    mounts_[mount.destination] = std::move(mount);
    return {};
  }
  bool contains(const std::string& destination) const { return mounts_.contains(destination); }
  /// Shallow destinations first, so that deeper ones are mounted over them.
  std::vector<MountPoint> take() {
    std::vector<MountPoint> list;
    for (auto& [destination, mount] : mounts_) list.push_back(std::move(mount));
    std::stable_sort(list.begin(), list.end(), [](const MountPoint& a, const MountPoint& b) {
      return path_depth(a.destination) < path_depth(b.destination);
    });
    return list;
  }

 private:
  std::map<std::string, MountPoint> mounts_;
  std::set<std::string> inherited_;
};

Result<void> add_volumes_from(const spec::HostConfig& host, const MountSources& sources, MountSet& mounts) {
  for (const std::string& text : host.volumes_from) {
    TRY(auto from, parse_volumes_from(text));
    auto theirs = sources.volumes_of(from.container);
    // Not NotFound: that would tell a client that the image is missing, and have it pulled.
    if (!theirs) return Error(Kind::InvalidArgument, theirs.error().message());
    for (MountPoint mount : *theirs) {
      if (mount.type == spec::MountType::Tmpfs) continue;
      if (parse_mode(from.mode).read_only) mount.read_write = false;
      mount.no_copy = true;  // what the other container has in it is what is wanted
      mounts.inherit(std::move(mount));
    }
  }
  return {};
}

}  // namespace

Result<MountPoint> parse_bind(std::string_view text, std::string_view volume_driver) {
  auto invalid = [&] { return failure(Kind::InvalidArgument, "invalid volume specification: '{}'", text); };
  auto parts = split(text, ':');
  if (parts.size() > 3 || parts[0].empty()) return invalid();
  if (parts.size() == 2 && parse_mode(parts[1]).valid) return invalid();
  std::string_view source = parts.size() > 1 ? parts[0] : std::string_view();
  std::string_view target = parts.size() > 1 ? parts[1] : parts[0];
  std::string_view mode = parts.size() > 2 ? parts[2] : std::string_view();
  BindMode parsed = parse_mode(mode);
  if (!parsed.valid) return failure(Kind::InvalidArgument, "invalid mode: {}", mode);

  spec::MountRequest request{.type = is_absolute(source) ? spec::MountType::Bind : spec::MountType::Volume,
                             .source = std::string(source),
                             .target = std::string(target),
                             .read_only = parsed.read_only};
  if (request.type == spec::MountType::Volume) {
    if (!parsed.propagation.empty()) {
      return failure(Kind::InvalidArgument, "invalid volume specification: '{}': {}", text,
                     invalid_mount(request.type, "field BindOptions must not be specified").message());
    }
    request.volume =
        spec::MountRequest::Volume{.no_copy = parsed.no_copy, .driver = std::string(volume_driver)};
  } else {
    if (parsed.no_copy) return failure(Kind::InvalidArgument, "invalid mode: {}", mode);
    request.bind = spec::MountRequest::Bind{.propagation = parsed.propagation};
  }
  auto point = resolve_mount(request);
  if (!point) {
    if (point.error().message().starts_with("invalid mount config")) {
      return failure(Kind::InvalidArgument, "invalid volume specification: '{}': {}", text,
                     point.error().message());
    }
    return std::move(point).error();
  }
  point->mode = mode;
  if (point->type == spec::MountType::Volume && mode.empty()) point->mode = "z";
  // -v makes a host directory that is missing; --mount does not.
  point->create_source = point->type == spec::MountType::Bind;
  return point;
}

Result<MountPoint> resolve_mount(const spec::MountRequest& mount) {
  CHECK(check_destination(mount.type, mount.target));
  MountPoint point{
      .type = mount.type, .destination = clean_path(mount.target), .read_write = !mount.read_only};
  switch (mount.type) {
    case spec::MountType::Bind:
      return resolve_bind_mount(mount, std::move(point));
    case spec::MountType::Volume:
      return resolve_volume_mount(mount, std::move(point));
    case spec::MountType::Tmpfs:
      return resolve_tmpfs_mount(mount, std::move(point));
    case spec::MountType::Image:
      return resolve_image_mount(mount, std::move(point));
  }
  return invalid_mount(mount.type, "mount type unknown");
}

Result<std::vector<MountPoint>> resolve_mounts(const spec::ContainerConfig& config,
                                               const spec::HostConfig& host, const MountSources& sources) {
  MountSet mounts;
  CHECK(add_volumes_from(host, sources, mounts));
  for (const std::string& bind : host.binds) {
    TRY(auto mount, parse_bind(bind, host.volume_driver));
    TRY(auto id_map, id_map_of_mode(mount.mode));
    if (id_map) CHECK(check_id_map(*id_map, host.userns_mode, mount.destination));
    CHECK(settle_propagation(mount, parse_mode(mount.mode).propagation, sources.data_root));
    if (!sources.read_only_recursive) limit_read_only(mount);
    CHECK(mounts.add(std::move(mount)));
  }
  for (const spec::MountRequest& request : host.mounts) {
    TRY(auto mount, resolve_mount(request));
    CHECK(settle_propagation(mount, request.bind ? request.bind->propagation : "", sources.data_root));
    if (!sources.read_only_recursive) limit_read_only(mount);
    CHECK(mounts.add(std::move(mount)));
  }
  // Not part of the list: inspect shows them in HostConfig alone.
  for (const auto& [destination, options] : host.tmpfs) {
    CHECK(check_destination(spec::MountType::Tmpfs, destination));
    CHECK(parse_tmpfs_options(options));
    if (mounts.contains(clean_path(destination))) {
      return failure(Kind::InvalidArgument, "Duplicate mount point: {}", clean_path(destination));
    }
  }
  for (const std::string& volume : config.volumes) {
    // CVE-2022-23648: the destination is text here and resolved beneath the container's root later.
    std::string destination = clean_path("/" + volume);
    if (destination == "/") {
      return Error(Kind::InvalidArgument, "invalid volume: destination can't be '/'");
    }
    bool taken = mounts.contains(destination) ||
                 std::any_of(host.tmpfs.begin(), host.tmpfs.end(),
                             [&](const auto& entry) { return clean_path(entry.first) == destination; });
    if (taken) continue;
    CHECK(mounts.add({.type = spec::MountType::Volume,
                      .destination = destination,
                      .driver = "local",
                      .mode = "",
                      .anonymous = true}));
  }
  auto list = mounts.take();
  for (MountPoint& mount : list) {
    if (mount.type == spec::MountType::Volume && mount.name.empty()) {
      mount.anonymous = true;
      mount.name = sources.new_name();
    }
  }
  return list;
}

}  // namespace berth::engine
