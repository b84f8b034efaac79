// Settings of a service that contradict each other.
#include <functional>

#include "apps/berth/compose/project_check.h"
#include "base/format.h"

namespace berth::cli::compose {
namespace {

const Value* at(const Value& from, std::initializer_list<std::string_view> keys) {
  const Value* node = &from;
  for (std::string_view key : keys) node = node == nullptr ? nullptr : node->find(key);
  return node;
}

Result<void> check_kind(const Service& service) {
  const Value& config = service.config;
  if (config.find("network_mode") != nullptr && config.find("networks") != nullptr)
    return complaint(config, service.path(), "declares mutually exclusive `network_mode` and `networks`");
  if (config.find("image") == nullptr && config.find("build") == nullptr &&
      config.find("provider") == nullptr)
    return complaint(config, fmt::format("service \"{}\"", service.name),
                     "has neither an image nor a build context specified");
  return {};
}

Result<void> check_build(const Project& project, const Service& service) {
  const Value* build = service.config.find("build");
  if (build == nullptr) return {};
  const std::string path = service.path() + ".build";
  if (build->find("dockerfile_inline") != nullptr && build->find("dockerfile") != nullptr)
    return complaint(*build, path, "declares mutually exclusive `dockerfile` and `dockerfile_inline`");
  const Value* contexts = build->find("additional_contexts");
  for (const auto& [name, context] : contexts == nullptr ? Value::Map() : contexts->members) {
    if (!context.text.starts_with("service:")) continue;
    auto other = project.services.find(context.text.substr(8));
    if (other == project.services.end())
      return complaint(context, path,
                       fmt::format("takes unknown service \"{}\" as context", context.text.substr(8)));
    if (other->second.config.find("build") == nullptr)
      return complaint(context, path,
                       fmt::format("takes service \"{}\" as context, which is not built", other->first));
  }
  TRY(auto platforms, texts_of(*build, "platforms", path));
  TRY(std::string platform, text_of(service.config, "platform", service.path()));
  const bool among = std::find(platforms.begin(), platforms.end(), platform) != platforms.end();
  if (!platforms.empty() && !platform.empty() && !among)
    return complaint(*build, path + ".platforms",
                     fmt::format("must include the service's platform \"{}\"", platform));
  return {};
}

/// The service's own limit, and that of its deploy section, where both are given.
Result<void> check_limits(const Service& service) {
  using Read = Result<double> (*)(const Value&, std::string_view);
  constexpr Read bytes = [](const Value& value, std::string_view path) -> Result<double> {
    TRY(int64_t number, as_bytes(value, path));
    return static_cast<double>(number);
  };
  struct Pair {
    std::string_view key, section, within;
    Read read;
  };
  for (const Pair& pair :
       {Pair{"cpus", "limits", "cpus", as_number}, Pair{"mem_limit", "limits", "memory", bytes},
        Pair{"mem_reservation", "reservations", "memory", bytes},
        Pair{"pids_limit", "limits", "pids", as_number}}) {
    const Value* own = service.config.find(pair.key);
    const Value* section = at(service.config, {"deploy", "resources", pair.section});
    if (own == nullptr || section == nullptr) continue;
    TRY(double mine, pair.read(*own, fmt::format("{}.{}", service.path(), pair.key)));
    double theirs = 0;
    if (const Value* other = section->find(pair.within)) {
      TRY(theirs, pair.read(*other, fmt::format("{}.deploy.resources.{}", service.path(), pair.section)));
    }
    if (mine == 0 || mine == theirs) continue;
    return complaint(*own, service.path(),
                     fmt::format("can't set distinct values on '{}' and 'deploy.resources.{}.{}'", pair.key,
                                 pair.section, pair.within));
  }
  return {};
}

Result<void> check_scale(const Service& service) {
  const Value* scale = service.config.find("scale");
  const Value* replicas = at(service.config, {"deploy", "replicas"});
  if (scale == nullptr || replicas == nullptr) return {};
  TRY(int64_t one, as_int(*scale, service.path() + ".scale"));
  TRY(int64_t other, as_int(*replicas, service.path() + ".deploy.replicas"));
  if (one == other) return {};
  return complaint(*scale, service.path(), "can't set distinct values on 'scale' and 'deploy.replicas'");
}

Result<void> check_targets(const Service& service) {
  std::set<std::string> taken;
  auto take = [&](const Value& what, const std::string& target) -> Result<void> {
    if (taken.insert(target).second) return {};
    return complaint(what, service.path(), fmt::format("mounts two things at {}", target));
  };
  TRY(auto tmpfs, texts_of(service.config, "tmpfs", service.path()));
  for (const std::string& one : tmpfs)
    CHECK(take(*service.config.find("tmpfs"), one.substr(0, one.find(':'))));
  const Value* volumes = service.config.find("volumes");
  for (const Value& volume : volumes == nullptr ? Value::List() : volumes->items)
    CHECK(take(volume, volume.find("target")->text));
  return {};
}

}  // namespace

Result<void> check_consistency(const Project& project) {
  for (const auto& [name, service] : project.services) {
    CHECK(check_kind(service));
    CHECK(check_build(project, service));
    CHECK(check_scale(service));
    CHECK(check_limits(service));
    CHECK(check_targets(service));
  }
  return {};
}

Result<void> check_container_names(const Project& project, const std::set<std::string>& services) {
  std::map<std::string, std::string> names;
  for (const std::string& name : services) {
    const Service& service = project.services.at(name);
    const Value* container = service.config.find("container_name");
    if (container == nullptr) continue;
    auto [known, is_new] = names.emplace(container->text, name);
    if (!is_new)
      return complaint(*container, service.path(),
                       fmt::format("container name \"{}\" is already in use by service \"{}\"",
                                   container->text, known->second));
  }
  return {};
}

}  // namespace berth::cli::compose
