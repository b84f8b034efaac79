// From merged files to a Project: names, defaults, profiles, environment, references.
#include "apps/berth/compose/project.h"

#include <algorithm>
#include <filesystem>
#include <functional>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/compose/dotenv.h"
#include "apps/berth/compose/files.h"
#include "apps/berth/compose/normalise.h"
#include "apps/berth/compose/project_check.h"
#include "apps/berth/compose/provider.h"
#include "apps/berth/compose/remote_files.h"
#include "apps/berth/options/mounts.h"
#include "base/format.h"

namespace berth::cli::compose {
namespace {

namespace filesystem = std::filesystem;

std::string variable(const Environment& environment, std::string_view name) {
  auto found = environment.find(name);
  return found == environment.end() ? std::string() : found->second;
}

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  for (size_t start = 0; start <= text.size();) {
    size_t end = std::min(text.find(separator, start), text.size());
    if (end > start) parts.push_back(text.substr(start, end - start));
    start = end + separator.size();
  }
  return parts;
}

/// compose.yaml and its kin in `folder`, with the override beside it.
std::vector<std::string> files_in(const std::string& folder) {
  for (std::string_view name : {"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}) {
    std::string file = fmt::format("{}/{}", folder == "/" ? "" : folder, name);
    if (!filesystem::exists(file)) continue;
    std::vector<std::string> files{file};
    for (std::string_view over : {"compose.override.yaml", "compose.override.yml",
                                  "docker-compose.override.yml", "docker-compose.override.yaml"}) {
      std::string other = fmt::format("{}/{}", folder == "/" ? "" : folder, over);
      if (filesystem::exists(other)) {
        files.push_back(other);
        break;
      }
    }
    return files;
  }
  return {};
}

Result<std::vector<std::string>> find_files(const LoadOptions& options, const Environment& environment) {
  std::vector<std::string> files = options.files;
  if (files.empty()) {
    std::string separator = variable(environment, "COMPOSE_PATH_SEPARATOR");
    files = split(variable(environment, "COMPOSE_FILE"), separator.empty() ? ":" : separator);
  }
  if (!files.empty()) {
    for (std::string& file : files) {
      if (file == "-") continue;
      file = options::absolute_path(file);
      if (!filesystem::exists(file))
        return failure(Kind::NotFound, "open {}: no such file or directory", file);
    }
    return files;
  }
  std::string folder = options::absolute_path(options.directory.empty() ? "." : options.directory);
  while (true) {
    files = files_in(folder);
    if (!files.empty()) return files;
    if (folder == "/" || folder.empty())
      return Error(Kind::NotFound, "no configuration file provided: not found");
    folder = filesystem::path(folder).parent_path().string();
  }
}

class Builder {
 public:
  Builder(Project& project, const LoadOptions& options) : project_(project), options_(options) {}

  Result<void> run(Value file) {
    file_ = std::move(file);
    CHECK(take_services());
    CHECK(choose_profiles());
    CHECK(take_resources());
    CHECK(check_references(project_));
    CHECK(check_cycles(project_));
    return {};
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
      if (config.find("network_mode") != nullptr && config.find("networks") != nullptr) {
        return complaint(config, service.path(), "declares mutually exclusive `network_mode` and `networks`");
      }
      if (config.find("image") == nullptr && config.find("build") == nullptr &&
          config.find("provider") == nullptr) {
        return complaint(config, fmt::format("service \"{}\"", name),
                         "has neither an image nor a build context specified");
      }
      if (config.find("provider") != nullptr) CHECK(check_provider(service));
      CHECK(take_dependencies(service));
      CHECK(resolve_environment(service));
      CHECK(resolve_label_files(service));
      if (config.find("networks") == nullptr && config.find("network_mode") == nullptr &&
          config.find("provider") == nullptr) {
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
    for (std::string_view key : {"network_mode", "ipc", "pid"}) {
      TRY(std::string mode, text_of(service.config, key, service.path()));
      if (mode.starts_with("service:")) add(mode.substr(8), Restart::WithIt);
    }
    return {};
  }

  std::optional<std::string> outer(const std::string& name) const {
    auto found = project_.environment.find(name);
    return found == project_.environment.end() ? std::nullopt : std::optional(found->second);
  }

  /// env_file, then environment over it; what has no value takes the caller's or goes.
  Result<void> resolve_environment(Service& service) {
    Value resolved = Value::map(service.config.at);
    if (const Value* files = service.config.find("env_file")) {
      for (const Value& item : files->items) {
        CHECK(read_env_file(item, service, resolved));
      }
    }
    if (const Value* variables = service.config.find("environment")) {
      for (const auto& [name, value] : variables->members) {
        if (!value.is_null()) {
          resolved.set(name, value);
        } else if (auto mine = outer(name)) {
          resolved.set(name, Value::string(*mine, value.at));
        }
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
    for (const std::string& name : split(variable(project_.environment, "COMPOSE_PROFILES"), ","))
      chosen.insert(name);
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

/// The `name:` of the last file that has one, interpolated; read before the rest because files may use
/// ${COMPOSE_PROJECT_NAME}.
Result<std::string> name_in_files(const std::vector<std::string>& files, const Environment& environment) {
  std::string name;
  for (const std::string& file : files) {
    if (file == "-") continue;
    TRY(std::string text, archive::read_text(file, 4u << 20));
    TRY(Value value, parse_yaml(text, file));
    const Value* given = value.find("name");
    if (given == nullptr || !given->is_scalar()) continue;
    std::set<std::string> unset;
    TRY(name, interpolate(
                  given->text,
                  [&](const std::string& key) -> std::optional<std::string> {
                    auto found = environment.find(key);
                    return found == environment.end() ? std::nullopt : std::optional(found->second);
                  },
                  unset));
  }
  return name;
}

Result<std::string> choose_name(const LoadOptions& options, const Project& project) {
  std::string name =
      options.name.empty() ? variable(project.environment, "COMPOSE_PROJECT_NAME") : options.name;
  if (!name.empty() && normalise_project_name(name) != name) {
    return failure(
        Kind::InvalidArgument,
        "invalid project name \"{}\": must consist only of lowercase alphanumeric characters, hyphens, and "
        "underscores as well as start with a letter or number",
        name);
  }
  if (name.empty()) {
    TRY(std::string given, name_in_files(project.files, project.environment));
    name = normalise_project_name(given);
  }
  if (name.empty()) name = normalise_project_name(filesystem::path(project.directory).filename().string());
  if (name.empty()) return Error(Kind::InvalidArgument, "project name must not be empty: give one with -p");
  return name;
}

}  // namespace

std::string normalise_project_name(std::string_view text) {
  std::string name;
  for (char c : text) {
    char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    bool letter = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
    if (letter || (!name.empty() && (lower == '_' || lower == '-'))) name += lower;
  }
  return name;
}

Result<Project> load_project(const LoadOptions& given) {
  Project project;
  RemoteFiles remote(given.environment, given.artifacts);
  LoadOptions options = given;
  for (std::string& file : options.files) {
    if (!RemoteFiles::is_remote(file)) continue;
    TRY(file, remote.fetch(file));
  }
  project.environment = options.environment;
  std::string start = options.directory.empty() ? std::string() : options::absolute_path(options.directory);
  // .env of the working directory may name the files.
  std::vector<std::string> env_files = options.env_files;
  if (env_files.empty()) env_files = split(variable(options.environment, "COMPOSE_ENV_FILES"), ",");
  for (std::string& file : env_files) file = options::absolute_path(file);
  std::string here = start.empty() ? options::absolute_path(".") : start;
  bool implicit = env_files.empty();
  if (implicit && filesystem::is_regular_file(here + "/.env")) env_files = {here + "/.env"};
  TRY(project.environment, read_environment(env_files, options.environment));
  TRY(project.files, find_files(options, project.environment));
  project.directory = start;
  if (start.empty()) {
    project.directory =
        project.files[0] == "-" ? here : filesystem::path(project.files[0]).parent_path().string();
  }
  if (implicit && project.directory != here) {
    env_files.clear();
    if (filesystem::is_regular_file(project.directory + "/.env")) env_files = {project.directory + "/.env"};
    TRY(project.environment, read_environment(env_files, options.environment));
  }
  project.env_files = env_files;
  TRY(project.name, choose_name(options, project));
  project.environment["COMPOSE_PROJECT_NAME"] = project.name;

  FileLoader loader(project.environment, options.interpolate, remote);
  TRY(Value file, loader.load(project.files, project.directory));
  project.remote = {remote.fetched().begin(), remote.fetched().end()};
  for (const std::string& name : loader.unset()) {
    project.warnings.push_back(
        fmt::format("The \"{}\" variable is not set. Defaulting to a blank string.", name));
  }
  if (file.find("version") != nullptr) {
    project.warnings.push_back(
        fmt::format("{}: the attribute `version` is obsolete, it will be ignored", project.files[0]));
  }
  CHECK(Builder(project, options).run(std::move(file)));
  return project;
}

std::string Project::container_name(const Service& service, int64_t number) const {
  const Value* given = service.config.find("container_name");
  if (given != nullptr) return given->text;
  return fmt::format("{}-{}-{}", name, service.name, number);
}

std::vector<std::string> Project::in_order() const {
  std::vector<std::string> order;
  std::set<std::string> seen;
  std::function<void(const std::string&)> visit = [&](const std::string& service) {
    auto found = services.find(service);
    if (found == services.end() || !seen.insert(service).second) return;
    for (const auto& [other, dependency] : found->second.depends_on) visit(other);
    order.push_back(service);
  };
  for (const auto& [service, config] : services) visit(service);
  return order;
}

std::set<std::string> Project::with_dependencies(const std::vector<std::string>& names) const {
  std::set<std::string> result;
  std::function<void(const std::string&)> visit = [&](const std::string& service) {
    auto found = services.find(service);
    if (found == services.end() || !result.insert(service).second) return;
    for (const auto& [other, dependency] : found->second.depends_on) visit(other);
  };
  for (const std::string& service : names) visit(service);
  return result;
}

Value Project::canonical() const {
  Value file = Value::map();
  file.set("name", Value::string(name));
  Value all = Value::map();
  for (const auto& [key, service] : services) all.set(key, service.config);
  file.set("services", std::move(all));
  auto section = [&](std::string_view title, const std::map<std::string, Resource>& resources) {
    if (resources.empty()) return;
    Value map = Value::map();
    for (const auto& [key, resource] : resources) {
      Value config = resource.config;
      config.set("name", Value::string(resource.name));
      if (resource.external) config.set("external", Value::scalar("true"));
      map.set(key, std::move(config));
    }
    file.set(title, std::move(map));
  };
  section("networks", networks);
  section("volumes", volumes);
  section("secrets", secrets);
  section("configs", configs);
  return file;
}

}  // namespace berth::cli::compose
