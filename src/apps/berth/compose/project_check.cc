#include "apps/berth/compose/project_check.h"

#include <functional>

#include "base/format.h"

namespace berth::cli::compose {
namespace {

Result<void> check_names(const Service& service, std::string_view key,
                         const std::map<std::string, Resource>& known, std::string_view what) {
  const Value* names = service.config.find(key);
  if (names == nullptr) return {};
  for (const auto& [name, member] : names->members) {
    if (known.contains(name)) continue;
    return complaint(member.at.line != 0 ? member : *names, fmt::format("service \"{}\"", service.name),
                     fmt::format("refers to undefined {} {}: invalid compose project", what, name));
  }
  return {};
}

Result<void> check_grant_list(const std::string& service, const Value* grants,
                              const std::map<std::string, Resource>& known, std::string_view what) {
  if (grants == nullptr) return {};
  for (const Value& grant : grants->items) {
    if (known.contains(grant.find("source")->text)) continue;
    return complaint(
        grant, fmt::format("service \"{}\"", service),
        fmt::format("refers to undefined {} {}: invalid compose project", what, grant.find("source")->text));
  }
  return {};
}

Result<void> check_grants(const Service& service, std::string_view key,
                          const std::map<std::string, Resource>& known, std::string_view what) {
  return check_grant_list(service.name, service.config.find(key), known, what);
}

}  // namespace

Result<void> check_references(const Project& project) {
  for (const auto& [name, service] : project.services) {
    for (const auto& [other, dependency] : service.depends_on) {
      if (project.services.contains(other) || !dependency.required) continue;
      std::string why =
          project.disabled.contains(other) ? "is disabled: a profile of it must be enabled" : "is undefined";
      return complaint(
          service.config, fmt::format("service \"{}\"", name),
          project.disabled.contains(other)
              ? fmt::format("depends on service \"{}\", which {}: invalid compose project", other, why)
              : fmt::format("depends on undefined service \"{}\": invalid compose project", other));
    }
    CHECK(check_names(service, "networks", project.networks, "network"));
    if (const Value* volumes = service.config.find("volumes")) {
      for (const Value& volume : volumes->items) {
        const Value* source = volume.find("source");
        if (source == nullptr || volume.find("type")->text != "volume" ||
            project.volumes.contains(source->text))
          continue;
        return complaint(volume, fmt::format("service \"{}\"", name),
                         fmt::format("refers to undefined volume {}: invalid compose project", source->text));
      }
    }
    CHECK(check_grants(service, "secrets", project.secrets, "secret"));
    CHECK(check_grants(service, "configs", project.configs, "config"));
    if (const Value* build = service.config.find("build"))
      CHECK(check_grant_list(name, build->find("secrets"), project.secrets, "build secret"));
    if (const Value* models = service.config.find("models")) {
      for (const auto& [model, settings] : models->members) {
        if (!project.models.has(model))
          return complaint(*models, fmt::format("service \"{}\"", name),
                           fmt::format("refers to undefined model {}: invalid compose project", model));
      }
    }
  }
  return {};
}

Result<void> check_cycles(const Project& project) {
  std::map<std::string, int> state;
  std::vector<std::string> stack;
  std::function<Result<void>(const std::string&)> visit = [&](const std::string& name) -> Result<void> {
    auto found = project.services.find(name);
    if (found == project.services.end() || state[name] == 2) return {};
    stack.push_back(name);
    if (state[name] == 1) {
      std::string cycle;
      for (const std::string& step : stack) cycle += (cycle.empty() ? "" : " -> ") + step;
      return failure(Kind::InvalidArgument, "dependency cycle detected: {}", cycle);
    }
    state[name] = 1;
    for (const auto& [other, dependency] : found->second.depends_on) CHECK(visit(other));
    state[name] = 2;
    stack.pop_back();
    return {};
  };
  for (const auto& [name, service] : project.services) CHECK(visit(name));
  return {};
}

}  // namespace berth::cli::compose
