// Volumes.
#include "engine/volumes.h"

#include <algorithm>
#include <cctype>

#include "base/format.h"
#include "base/id.h"
#include "base/log.h"
#include "engine/core.h"
#include "engine/label_filters.h"
#include "engine/lifecycle.h"
#include "engine/validate.h"
#include "sys/file.h"
#include "sys/project_quota.h"

namespace berth::engine {
namespace {

Result<void> validate_volume_name(const std::string& name) {
  auto plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  bool legal = name.size() >= 2 && name.size() <= 255 && plain(name[0]) &&
               std::all_of(name.begin(), name.end(),
                           [&](char c) { return plain(c) || c == '_' || c == '.' || c == '-'; });
  if (legal) return {};
  if (name.size() == 1)
    return failure(
        Kind::InvalidArgument,
        "create {}: volume name is too short, names should be at least two alphanumeric characters", name);
  return failure(Kind::InvalidArgument,
                 "create {}: \"{}\" includes invalid characters for a local volume name, only "
                 "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use "
                 "absolute path",
                 name.substr(0, 100), name.substr(0, 100));
}

}  // namespace

std::string volume_dir(const Core& core, std::string_view name) {
  return core.options.data_root + "/volumes/" + std::string(name);
}

Result<void> check_new_volume_name(const Core& core, const std::string& name) {
  CHECK(validate_volume_name(name));
  if (!core.volumes.contains(name)) return {};
  return failure(Kind::AlreadyExists, "a volume named {} exists already", name);
}

void publish_volume(Core& core, const VolumeRecord& volume, std::string action,
                    std::map<std::string, std::string> more) {
  more["driver"] = volume.driver;
  core.events.publish("volume", std::move(action), volume.name, std::move(more));
}

namespace {

/// docker's local driver: a mount described by type, o and device, or a bound on what berth's own folder
/// holds.
Result<void> validate_options(const spec::StringMap& options) {
  for (const auto& [key, value] : options) {
    if (key != "type" && key != "o" && key != "device" && key != "size") {
      return failure(Kind::InvalidArgument, "invalid option: \"{}\"", key.substr(0, 64));
    }
  }
  if (auto size = options.find("size"); size != options.end()) {
    TRY(int64_t bytes, parse_size(size->second));
    if (bytes <= 0) return failure(Kind::InvalidArgument, "invalid size: '{}'", size->second.substr(0, 64));
    if (options.size() == 1) return {};
    return Error(Kind::InvalidArgument, "a volume with a device of its own cannot have a size");
  }
  if (!options.empty() && !options.contains("device")) {
    return Error(Kind::InvalidArgument, "missing required option: \"device\"");
  }
  if (!options.empty() && !options.contains("type"))
    return Error(Kind::InvalidArgument, "missing required option: \"type\"");
  return {};
}

std::vector<std::string> users_of(const Core& core, std::string_view volume) {
  std::vector<std::string> ids;
  for (const ContainerHandle& container : core.containers.all()) {
    for (const MountPoint& mount : container->record.mounts) {
      if (mount.type == spec::MountType::Volume && mount.name == volume) {
        ids.push_back(container->record.id);
        break;
      }
    }
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

/// Takes the volume out of use; its data goes in the background.
io::Task<Result<void>> erase(Core& core, std::string name) {
  VolumeRecord volume = core.volumes.find(name)->second;
  std::string directory = volume_dir(core, name);
  CO_CHECK(core.records->remove_volume(name));
  core.volumes.erase(name);
  auto work = [directory] { return sys::remove_tree(directory); };
  auto removed = co_await core.loop.on_worker(work);
  publish_volume(core, volume, "destroy");
  if (!removed) co_return std::move(removed).error().in("remove volume", name);
  co_return Result<void>();
}

}  // namespace

io::Task<Result<VolumeRecord>> Volumes::create(CreateVolume request) {
  if (request.driver.empty()) request.driver = "local";
  if (request.driver != "local") {
    co_return failure(Kind::NotFound, "create {}: error looking up volume plugin {}: plugin \"{}\" not found",
                      request.name, request.driver, request.driver);
  }
  if (request.name.empty()) {
    request.name = random_id();
    request.labels.emplace("com.docker.volume.anonymous", "");
  }
  CO_CHECK(validate_volume_name(request.name));
  if (auto valid = validate_options(request.driver_options); !valid)
    co_return failure(Kind::InvalidArgument, "create {}: {}", request.name, valid.error().message());
  // As with docker, what exists stays as it is, whatever options and labels are asked for this time.
  auto existing = core_.volumes.find(request.name);
  if (existing != core_.volumes.end()) co_return existing->second;
  VolumeRecord volume;
  volume.name = request.name;
  volume.mountpoint = volume_dir(core_, request.name) + "/_data";
  volume.created = now();
  volume.labels = std::move(request.labels);
  volume.options = std::move(request.driver_options);
  if (auto made = sys::make_dirs(volume.mountpoint, 0755); !made) {
    co_return std::move(made).error().in("create volume", request.name);
  }
  if (auto size = volume.options.find("size"); size != volume.options.end()) {
    CO_TRY(int64_t bytes, parse_size(size->second));
    auto limited = sys::limit_directory(volume.mountpoint, static_cast<uint64_t>(bytes));
    if (!limited) {
      if (auto gone = sys::remove_tree(volume_dir(core_, request.name)); !gone)
        log::warn("{}", gone.error().message());
      co_return std::move(limited).error();
    }
  }
  CO_CHECK(core_.records->save_volume(volume));
  core_.volumes.emplace(volume.name, volume);
  publish_volume(core_, volume, "create");
  co_return volume;
}

Result<VolumeRecord> Volumes::find(std::string_view name) const {
  auto it = core_.volumes.find(name);
  if (it == core_.volumes.end())
    return failure(Kind::NotFound, "get {}: no such volume", name.substr(0, 255));
  return it->second;
}

Result<std::vector<VolumeRecord>> Volumes::list(const Filters& filters) const {
  CHECK(check_filters(filters, {"dangling", "driver", "label", "name"}));
  TRY(auto dangling, boolean_filter(filters, "dangling"));
  const auto& names = filter_values(filters, "name");
  const auto& drivers = filter_values(filters, "driver");
  std::vector<VolumeRecord> found;
  for (const auto& [name, volume] : core_.volumes) {
    bool named = names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& part) {
                   return name.find(part) != std::string::npos;
                 });
    bool driven =
        drivers.empty() || std::find(drivers.begin(), drivers.end(), volume.driver) != drivers.end();
    bool used = !dangling || *dangling == users_of(core_, name).empty();
    if (named && driven && used && labels_match(filters, volume.labels)) found.push_back(volume);
  }
  return found;
}

io::Task<Result<void>> Volumes::remove(std::string name, Force force) {
  if (!core_.volumes.contains(name)) {
    if (force == Force::Yes) co_return Result<void>();
    co_return failure(Kind::NotFound, "get {}: no such volume", name.substr(0, 255));
  }
  if (auto users = users_of(core_, name); !users.empty()) {
    co_return failure(Kind::WrongState, "remove {}: volume is in use - [{}]", name, joined(users));
  }
  co_return co_await core_.run_to_end(erase(core_, std::move(name)));
}

io::Task<Result<PruneVolumesReport>> Volumes::prune(Filters filters) {
  CO_CHECK(check_filters(filters, {"label", "label!", "all"}));
  CO_TRY(auto all, boolean_filter(filters, "all"));
  std::vector<std::string> names;
  for (const auto& [name, volume] : core_.volumes) {
    bool wanted = (volume.anonymous() || all.value_or(false)) && labels_match(filters, volume.labels);
    if (wanted && users_of(core_, name).empty()) names.push_back(name);
  }
  PruneVolumesReport report;
  for (const std::string& name : names) {
    auto size = co_await usage(name);
    bool still_unused = core_.volumes.contains(name) && users_of(core_, name).empty();
    if (!still_unused) continue;
    auto erased = co_await core_.run_to_end(erase(core_, name));
    if (!erased) {
      log::warn("volume {}: {}", name, erased.error().message());
      continue;
    }
    report.names.push_back(name);
    if (size) report.reclaimed_bytes += size->bytes;
  }
  core_.events.publish("volume", "prune", "", {{"reclaimed", std::to_string(report.reclaimed_bytes)}});
  co_return report;
}

io::Task<Result<VolumeUsage>> Volumes::usage(std::string name) {
  CO_TRY(VolumeRecord volume, find(name));
  std::string directory = volume.mountpoint;
  auto work = [directory] { return sys::disk_usage(directory); };
  auto measured = co_await core_.loop.on_worker(work);
  if (!measured) co_return std::move(measured).error().in("measure volume", name);
  VolumeUsage use;
  use.bytes = measured->allocated_bytes;
  use.references = static_cast<int>(users_of(core_, name).size());
  co_return use;
}

}  // namespace berth::engine
