// What a service's container finds mounted or written into it: volumes, binds, tmpfs, secrets, configs.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>

#include "apps/berth/compose/copier.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/request_parts.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using Strings = std::vector<std::string>;

Result<Json> mount_of(const Project& project, const Value& volume, const std::string& path) {
  Json mount{{"Type", volume.find("type")->text}, {"Target", volume.find("target")->text}};
  std::string type = volume.find("type")->text;
  if (type == "npipe" || type == "cluster")
    return complaint(volume, path,
                     fmt::format("type {} is not supported: it is not for Linux's containers", type));
  TRY(std::string source, text_of(volume, "source", path));
  if (type == "volume" && !source.empty()) {
    auto known = project.volumes.find(source);
    if (known != project.volumes.end()) source = known->second.name;
  }
  if (!source.empty()) mount["Source"] = source;
  CHECK(Copier(volume, path, mount).flag("read_only", "ReadOnly").text("consistency", "Consistency").done());
  if (const Value* bind = volume.find("bind"); bind != nullptr && type == "bind") {
    Json options = Json::object();
    CHECK(Copier(*bind, path + ".bind", options)
              .text("propagation", "Propagation")
              .flag("create_host_path", "CreateMountpoint")
              .done());
    TRY(std::string recursive, text_of(*bind, "recursive", path + ".bind"));
    if (recursive == "disabled") options["NonRecursive"] = true;
    if (recursive == "writable") options["ReadOnlyNonRecursive"] = true;
    if (recursive == "readonly") options["ReadOnlyForceRecursive"] = true;
    mount["BindOptions"] = std::move(options);
  }
  if (const Value* own = volume.find("volume"); own != nullptr && type == "volume") {
    Json options = Json::object();
    CHECK(Copier(*own, path + ".volume", options)
              .flag("nocopy", "NoCopy")
              .text("subpath", "Subpath")
              .map("labels", "Labels")
              .done());
    mount["VolumeOptions"] = std::move(options);
  }
  if (const Value* tmpfs = volume.find("tmpfs"); tmpfs != nullptr && type == "tmpfs") {
    Json options = Json::object();
    CHECK(Copier(*tmpfs, path + ".tmpfs", options).bytes("size", "SizeBytes").done());
    if (const Value* mode = tmpfs->find("mode"))
      options["Mode"] = std::strtol(mode->text.c_str(), nullptr, mode->text.starts_with("0") ? 8 : 10);
    mount["TmpfsOptions"] = std::move(options);
  }
  if (const Value* image = volume.find("image"); image != nullptr && type == "image") {
    Json options = Json::object();
    CHECK(Copier(*image, path + ".image", options).text("subpath", "Subpath").done());
    mount["ImageOptions"] = std::move(options);
  }
  return mount;
}

/// "source:target:rw" where that says it all, as docker's compose writes it: of `-v` the engine makes a
/// host's folder that is missing, and containers look the same whoever has made them.
Result<std::optional<std::string>> bind_of(const Project& project, const Value& volume,
                                           const std::string& path) {
  std::optional<std::string> none;
  std::string type = volume.find("type")->text;
  std::string target = volume.find("target")->text;
  TRY(std::string source, text_of(volume, "source", path));
  if (type == "volume") {
    auto known = project.volumes.find(source);
    if (known == project.volumes.end()) return none;
    source = known->second.name;
    const Value* own = volume.find("volume");
    if (own != nullptr && !own->members.empty()) return none;
  } else if (type != "bind") {
    return none;
  }
  TRY(bool read_only, bool_of(volume, "read_only", path, false));
  std::string options = read_only ? "ro" : "rw";
  if (const Value* bind = volume.find("bind"); bind != nullptr && type == "bind") {
    TRY(bool makes_source, bool_of(*bind, "create_host_path", path + ".bind", true));
    if (!makes_source || bind->find("propagation") != nullptr || bind->find("recursive") != nullptr)
      return none;
    TRY(std::string label, text_of(*bind, "selinux", path + ".bind"));
    if (!label.empty()) options += "," + label;
  }
  bool has_colon = source.find(':') != std::string::npos || target.find(':') != std::string::npos;
  if (has_colon) return none;
  return std::optional(fmt::format("{}:{}:{}", source, target, options));
}

std::string grant_target(const Value& grant, std::string_view folder) {
  const Value* target = grant.find("target");
  std::string name = target != nullptr ? target->text : grant.find("source")->text;
  return name.starts_with('/') ? name : fmt::format("{}/{}", folder == "/" ? "" : folder, name);
}

Result<void> add_grants(const Service& service, std::string_view key,
                        const std::map<std::string, Resource>& resources, std::string_view folder,
                        Json& host) {
  const Value* grants = service.config.find(key);
  if (grants == nullptr) return {};
  for (const Value& grant : grants->items) {
    auto found = resources.find(grant.find("source")->text);
    if (found == resources.end()) continue;
    const Resource& resource = found->second;
    if (resource.external) {
      return complaint(
          grant, fmt::format("{}.{}", service.path(), key),
          fmt::format("\"{}\" is external, which only a swarm has: use file, environment or content",
                      resource.key));
    }
    const Value* file = resource.config.find("file");
    if (file == nullptr) continue;
    if (!std::filesystem::exists(file->text)) {
      return complaint(*file, fmt::format("{}.{}.file", key, resource.key),
                       fmt::format("{} does not exist", file->text));
    }
    Json mount{{"Type", "bind"},
               {"Source", file->text},
               {"Target", grant_target(grant, folder)},
               {"ReadOnly", true}};
    if (key == "secrets") mount["BindOptions"] = Json::object();
    host["Mounts"].push_back(std::move(mount));
  }
  return {};
}

Result<void> add_injected(const Project& project, const Service& service, std::string_view key,
                          const std::map<std::string, Resource>& resources, std::string_view folder,
                          std::vector<InjectedFile>& out) {
  const Value* grants = service.config.find(key);
  if (grants == nullptr) return {};
  for (const Value& grant : grants->items) {
    auto found = resources.find(grant.find("source")->text);
    if (found == resources.end() || found->second.config.find("file") != nullptr) continue;
    std::string path = fmt::format("{}.{}", key, found->first);
    InjectedFile file{.target = grant_target(grant, folder)};
    if (const Value* variable = found->second.config.find("environment")) {
      auto value = project.value_of(key, found->second);
      if (!value) {
        return complaint(*variable, path + ".environment",
                         fmt::format("environment variable \"{}\" is not set", variable->text));
      }
      file.content = *value;
    } else if (const Value* content = found->second.config.find("content")) {
      file.content = content->text;
    } else {
      return complaint(found->second.config, path, "needs a file, environment or content");
    }
    TRY(auto uid, int_of(grant, "uid", path));
    TRY(auto gid, int_of(grant, "gid", path));
    file.uid = uid.value_or(0);
    file.gid = gid.value_or(0);
    if (const Value* mode = grant.find("mode")) {
      file.mode =
          static_cast<uint32_t>(std::strtoul(mode->text.c_str() + (mode->text.starts_with("0o") ? 2 : 0),
                                             nullptr, mode->text.starts_with("0") ? 8 : 10)) &
          07777;
    }
    out.push_back(std::move(file));
  }
  return {};
}

}  // namespace

Result<void> add_mounts(const Project& project, const Service& service,
                        const std::map<std::string, std::string>& kept, Json& host) {
  Json mounts = Json::array();
  std::set<std::string> bound;
  if (const Value* volumes = service.config.find("volumes")) {
    for (const Value& volume : volumes->items) {
      TRY(auto bind, bind_of(project, volume, service.path() + ".volumes"));
      if (bind) {
        host["Binds"].push_back(*bind);
        bound.insert(volume.find("target")->text);
        continue;
      }
      TRY(Json mount, mount_of(project, volume, service.path() + ".volumes"));
      auto known = kept.find(mount["Target"].get<std::string>());
      if (mount["Type"] == "volume" && !mount.contains("Source") && known != kept.end())
        mount["Source"] = known->second;
      mounts.push_back(std::move(mount));
    }
  }
  // Volumes that the image declares and the replaced container had.
  for (const auto& [target, volume] : kept) {
    bool placed = bound.contains(target) || std::any_of(mounts.begin(), mounts.end(), [&](const Json& mount) {
                    return mount["Target"] == target;
                  });
    if (!placed) mounts.push_back({{"Type", "volume"}, {"Source", volume}, {"Target", target}});
  }
  host["Mounts"] = std::move(mounts);
  CHECK(add_grants(service, "secrets", project.secrets, "/run/secrets", host));
  CHECK(add_grants(service, "configs", project.configs, "/", host));
  TRY(Strings tmpfs, texts_of(service.config, "tmpfs", service.path()));
  for (const std::string& entry : tmpfs) {
    size_t colon = entry.find(':');
    host["Tmpfs"][entry.substr(0, colon)] = colon == std::string::npos ? "" : entry.substr(colon + 1);
  }
  return {};
}

Result<std::vector<InjectedFile>> injected_files(const Project& project, const Service& service) {
  std::vector<InjectedFile> files;
  CHECK(add_injected(project, service, "secrets", project.secrets, "/run/secrets", files));
  CHECK(add_injected(project, service, "configs", project.configs, "/", files));
  return files;
}

}  // namespace berth::cli::compose
