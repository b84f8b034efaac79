#include "apps/berth/compose/builder.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/compose/dotenv.h"
#include "apps/berth/compose/project_check.h"
#include "apps/berth/compose/provider.h"
#include "base/format.h"

namespace berth::cli::compose {
namespace {

namespace filesystem = std::filesystem;

class Builder {
 public:
  Builder(Project& project, const LoadOptions& options) : project_(project), options_(options) {}

  Result<void> run(Value file) {
    file_ = std::move(file);
    CHECK(take_services());
    CHECK(choose_profiles());
    CHECK(resolve_files());
    CHECK(take_resources());
    if (!options_.check) return {};
    CHECK(check_references(project_));
    CHECK(check_consistency(project_));
    return check_cycles(project_);
  }

 private:
  Result<void> take_services() {
    const Value* services = file_.find("services");
    if (services == nullptr) return {};
    for (const auto& [name, config] : services->members) {
      Service service{.name = name, .config = config};
      TRY(auto scale, int_of(config, "scale", service.path()));
      if (const Value* deploy = config.find("deploy")) {
        TRY(auto replicas, int_of(*deploy, "replicas", service.path() + ".deploy"));
        if (replicas) service.replicas = *replicas;
      }
      if (scale) service.replicas = *scale;
      if (service.replicas < 0 || service.replicas > 10'000) {
        return complaint(config, service.path(), "has an impossible number of replicas");
      }
      if (config.find("container_name") != nullptr && service.replicas > 1) {
        return complaint(config, service.path() + ".container_name",
                         "cannot be combined with more than one replica: names are unique");
      }
      if (config.find("provider") != nullptr) CHECK(check_provider(service));
      CHECK(take_dependencies(service));
      if (options_.normalise) resolve_build_arguments(service);
      for (std::string_view key : {"environment", "env_file", "label_file"})
        if (const Value* declared = config.find(key)) service.declared.set(key, *declared);
      const Value* own = config.find("networks");
      if ((own == nullptr || own->members.empty()) && options_.normalise &&
          config.find("network_mode") == nullptr && config.find("provider") == nullptr) {
        Value networks = Value::map(config.at);
        networks.set("default", Value());
        service.config.set("networks", std::move(networks));
      }
      project_.services.emplace(name, std::move(service));
    }
    return {};
  }

  Result<void> take_dependencies(Service& service) {
    if (const Value* depends = service.config.find("depends_on")) {
      for (const auto& [name, member] : depends->members) {
        Service::Dependency dependency;
        TRY(dependency.condition, text_of(member, "condition", service.path(), "service_started"));
        TRY(dependency.required, bool_of(member, "required", service.path(), true));
        TRY(dependency.restart, bool_of(member, "restart", service.path(), false));
        service.depends_on[name] = dependency;
      }
    }
    enum class Restart { WithIt, No };
    auto add = [&](const std::string& name, Restart restart) {
      Service::Dependency dependency;
      dependency.restart = restart == Restart::WithIt;
      service.depends_on.try_emplace(name, dependency);
    };
    TRY(auto links, texts_of(service.config, "links", service.path()));
    for (const std::string& link : links) add(link.substr(0, link.find(':')), Restart::WithIt);
    TRY(auto from, texts_of(service.config, "volumes_from", service.path()));
    for (const std::string& source : from) {
      if (!source.starts_with("container:")) add(source.substr(0, source.find(':')), Restart::No);
    }
    for (std::string_view key : {"network_mode", "ipc", "pid", "uts", "cgroup"}) {
      TRY(std::string mode, text_of(service.config, key, service.path()));
      if (mode.starts_with("service:")) add(mode.substr(8), Restart::WithIt);
    }
    if (options_.normalise) show_dependencies(service);
    return {};
  }

  /// Those that follow from links and shared namespaces as if they had been written down.
  static void show_dependencies(Service& service) {
    Value* written = service.config.find("depends_on");
    Value depends = written != nullptr ? *written : Value::map(service.config.at);
    for (const auto& [name, dependency] : service.depends_on) {
      if (depends.has(name)) continue;
      Value one = Value::map(service.config.at);
      one.set("condition", Value::string(dependency.condition));
      one.set("required", Value::scalar("true"));
      if (dependency.restart) one.set("restart", Value::scalar("true"));
      depends.set(name, std::move(one));
    }
    if (!depends.members.empty()) service.config.set("depends_on", std::move(depends));
  }

  /// Arguments without a value are the caller's variables; what he does not have is left to the Dockerfile.
  void resolve_build_arguments(Service& service) const {
    Value* build = service.config.find("build");
    Value* arguments = build == nullptr ? nullptr : build->find("args");
    if (arguments == nullptr) return;
    for (auto& [name, value] : arguments->members) {
      auto mine = value.is_null() ? outer(name) : std::nullopt;
      if (mine) value = Value::string(*mine, value.at);
    }
    std::erase_if(arguments->members, [](const auto& argument) { return argument.second.is_null(); });
    if (arguments->members.empty()) build->members.erase("args");
  }

  /// Files that a service names are read where the service is asked for.
  Result<void> resolve_files() {
    for (auto& [name, service] : project_.services) CHECK(resolve_label_files(service));
    if (!options_.resolve_environment) return {};
    std::vector<std::string> asked_for = options_.selected;
    if (asked_for.empty())
      for (const auto& [name, service] : project_.services) asked_for.push_back(name);
    for (const std::string& name : project_.with_dependencies(asked_for))
      CHECK(resolve_environment(project_.services.at(name)));
    return {};
  }

  std::optional<std::string> outer(const std::string& name) const {
    auto found = project_.environment.find(name);
    return found == project_.environment.end() ? std::nullopt : std::optional(found->second);
  }

  /// env_file, then environment over it; what has no value takes the caller's, or is taken from the image's.
  Result<void> resolve_environment(Service& service) {
    Value resolved = Value::map(service.config.at);
    if (const Value* files = service.config.find("env_file")) {
      for (const Value& item : files->items) {
        CHECK(read_env_file(item, service, resolved));
      }
    }
    if (const Value* variables = service.config.find("environment")) {
      for (const auto& [name, value] : variables->members) {
        auto mine = value.is_null() ? outer(name) : std::nullopt;
        resolved.set(name, mine ? Value::string(*mine, value.at) : value);
      }
    }
    if (!resolved.members.empty())
      service.config.set("environment", std::move(resolved));
    else
      service.config.members.erase("environment");
    service.config.members.erase("env_file");
    return {};
  }

  Result<void> read_env_file(const Value& item, const Service& service, Value& resolved) {
    TRY(std::string path, text_of(item, "path", service.path()));
    TRY(bool required, bool_of(item, "required", service.path(), true));
    TRY(std::string format, text_of(item, "format", service.path()));
    if (!filesystem::exists(path)) {
      if (!required) return {};
      return complaint(item, service.path() + ".env_file", fmt::format("env file {} not found", path));
    }
    TRY(std::string text, archive::read_text(path, 4u << 20));
    auto known = [&](const std::string& name) -> std::optional<std::string> {
      if (auto mine = outer(name)) return mine;
      const Value* earlier = resolved.find(name);
      return earlier == nullptr ? std::nullopt : std::optional(earlier->text);
    };
    TRY(auto variables,
        parse_dotenv(text, path, known, format == "raw" ? EnvFormat::Raw : EnvFormat::Compose));
    for (auto& variable : variables) {
      auto value = variable.value ? variable.value : outer(variable.name);
      if (value) resolved.set(variable.name, Value::string(*value, item.at));
    }
    return {};
  }

  Result<void> resolve_label_files(Service& service) {
    TRY(auto files, texts_of(service.config, "label_file", service.path()));
    if (files.empty()) return {};
    Value labels = Value::map(service.config.at);
    for (const std::string& file : files) {
      TRY(std::string text, archive::read_text(file, 1u << 20));
      TRY(auto pairs, parse_dotenv(text, file, [this](const std::string& name) { return outer(name); }));
      for (auto& pair : pairs) labels.set(pair.name, Value::string(pair.value.value_or("")));
    }
    if (const Value* own = service.config.find("labels")) {
      for (const auto& [name, value] : own->members) labels.set(name, value);
    }
    service.config.set("labels", std::move(labels));
    service.config.members.erase("label_file");
    return {};
  }

  Result<void> choose_profiles() {
    std::set<std::string> chosen(options_.profiles.begin(), options_.profiles.end());
    std::string listed = outer("COMPOSE_PROFILES").value_or("");
    for (size_t start = 0; start < listed.size();) {
      size_t end = std::min(listed.find(',', start), listed.size());
      if (end > start) chosen.insert(listed.substr(start, end - start));
      start = end + 1;
    }
    std::set<std::string> selected(options_.selected.begin(), options_.selected.end());
    std::vector<std::string> left_out;
    for (const auto& [name, service] : project_.services) {
      TRY(auto profiles, texts_of(service.config, "profiles", service.path()));
      bool enabled =
          profiles.empty() || chosen.contains("*") || selected.contains(name) ||
          std::any_of(profiles.begin(), profiles.end(), [&](const auto& p) { return chosen.contains(p); });
      if (!enabled) left_out.push_back(name);
    }
    for (const std::string& name : left_out) project_.disabled.insert(project_.services.extract(name));
    return {};
  }

  Result<void> take_resources() {
    CHECK(take_section("networks", project_.networks));
    CHECK(take_section("volumes", project_.volumes));
    CHECK(take_section("secrets", project_.secrets));
    CHECK(take_section("configs", project_.configs));
    if (const Value* models = file_.find("models")) project_.models = *models;
    for (const auto& [key, value] : file_.members) {
      if (key.starts_with("x-")) project_.extensions.set(key, value);
    }
    bool uses_default = std::any_of(project_.services.begin(), project_.services.end(), [](const auto& item) {
      const Value* networks = item.second.config.find("networks");
      return networks != nullptr && networks->has("default");
    });
    if (uses_default && !project_.networks.contains("default")) {
      project_.networks["default"] = {
          .key = "default", .name = project_.name + "_default", .config = Value::map()};
    }
    return {};
  }

  Result<void> take_section(std::string_view section, std::map<std::string, Resource>& out) {
    const Value* resources = file_.find(section);
    if (resources == nullptr) return {};
    for (const auto& [key, config] : resources->members) {
      std::string path = fmt::format("{}.{}", section, key);
      Resource resource{.key = key, .config = config.is_null() ? Value::map(config.at) : config};
      if (const Value* external = config.find("external")) {
        if (external->is_map()) {
          resource.external = true;
          TRY(resource.name, text_of(*external, "name", path));
        } else {
          TRY(resource.external, as_bool(*external, path + ".external"));
        }
      }
      if (resource.name.empty()) {
        TRY(resource.name, text_of(config, "name", path,
                                   resource.external ? key : fmt::format("{}_{}", project_.name, key)));
      }
      out.emplace(key, std::move(resource));
    }
    return {};
  }

  Project& project_;
  const LoadOptions& options_;
  Value file_;
};

}  // namespace

Result<void> build_project(Project& project, const LoadOptions& options, Value file) {
  return Builder(project, options).run(std::move(file));
}

}  // namespace berth::cli::compose
