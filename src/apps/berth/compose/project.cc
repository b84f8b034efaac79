// From merged files to a Project: names, defaults, profiles, environment, references.
#include "apps/berth/compose/project.h"

#include <algorithm>
#include <filesystem>
#include <functional>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/compose/builder.h"
#include "apps/berth/compose/dotenv.h"
#include "apps/berth/compose/files.h"
#include "apps/berth/compose/normalise.h"
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

/// The `name:` of the last file that has one, interpolated; read before the rest because files may use
/// ${COMPOSE_PROJECT_NAME}.
Result<std::string> name_in_files(const std::vector<std::string>& files, const Environment& environment) {
  std::string name;
  for (const std::string& file : files) {
    if (file == "-") continue;
    TRY(std::string text, archive::read_text(file, 4u << 20));
    TRY(auto documents, parse_yaml_documents(text, file));
    for (const Value& document : documents) {
      const Value* given = document.find("name");
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

/// The files, the folder, the name and the variables of a project.
Result<void> find_project(const LoadOptions& options, Project& project) {
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
  if (!implicit) project.env_files = env_files;
  // What the .env of the working directory says stands before what the project's says.
  const std::string own = project.directory + "/.env";
  if (implicit && project.directory != here && filesystem::is_regular_file(own)) {
    TRY(project.environment, read_environment({own}, project.environment));
  }
  TRY(project.name, choose_name(options, project));
  if (options.compatibility || project.is_on("COMPOSE_COMPATIBILITY")) project.separator = "_";
  project.environment["COMPOSE_PROJECT_NAME"] = project.name;
  return {};
}

/// Where the files are, what the project is called and what its variables are; then the files, merged.
Result<Value> read_project(LoadOptions& options, Project& project) {
  RemoteFiles remote(options.environment, options.artifacts);
  for (std::string& file : options.files) {
    if (!RemoteFiles::is_remote(file)) continue;
    TRY(file, remote.fetch(file));
  }
  CHECK(find_project(options, project));
  FileLoader loader(project.environment, options, remote);
  TRY(Value file, loader.load(project.files, project.directory));
  project.remote = {remote.fetched().begin(), remote.fetched().end()};
  project.included_values = loader.included_values();
  for (const std::string& name : loader.unset()) {
    project.warnings.push_back(
        fmt::format("The \"{}\" variable is not set. Defaulting to a blank string.", name));
  }
  if (file.find("version") != nullptr) {
    project.warnings.push_back(
        fmt::format("{}: the attribute `version` is obsolete, it will be ignored", project.files[0]));
    file.members.erase("version");
  }
  return file;
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
  LoadOptions options = given;
  TRY(Value file, read_project(options, project));
  CHECK(build_project(project, options, std::move(file)));
  return project;
}

Result<Value> load_model(LoadOptions options) {
  Project project;
  TRY(Value file, read_project(options, project));
  file.set("name", Value::string(project.name));
  if (Value* services = file.find("services")) {
    for (auto& [name, service] : services->members) {
      const bool alone = service.find("network_mode") != nullptr || service.find("provider") != nullptr;
      if (alone || service.find("networks") != nullptr) continue;
      Value networks = Value::map();
      networks.set("default", Value());
      service.set("networks", std::move(networks));
      Value& all =
          file.find("networks") != nullptr ? *file.find("networks") : file.set("networks", Value::map());
      if (!all.has("default")) all.set("default", Value::map());
    }
  }
  for (std::string_view section : {"networks", "volumes", "secrets", "configs"}) {
    Value* resources = file.find(section);
    if (resources == nullptr) continue;
    for (auto& [key, resource] : resources->members) {
      if (resource.is_null()) resource = Value::map();
      const bool external = bool_of(resource, "external", section).value_or(false);
      if (resource.find("name") == nullptr)
        resource.set("name", Value::string(external ? key : fmt::format("{}_{}", project.name, key)));
    }
  }
  return file;
}

std::string Project::container_name(const Service& service, int64_t number) const {
  const Value* given = service.config.find("container_name");
  if (given != nullptr) return given->text;
  return fmt::format("{}{}{}{}{}", name, separator, service.name, separator, number);
}

bool Project::is_on(std::string_view variable) const {
  const auto found = environment.find(variable);
  if (found == environment.end()) return false;
  constexpr std::string_view words[] = {"1", "true", "True", "TRUE", "yes", "y", "on"};
  return std::find(std::begin(words), std::end(words), found->second) != std::end(words);
}

std::optional<std::string> Project::value_of(std::string_view section, const Resource& resource) const {
  const auto included = included_values.find(fmt::format("{}.{}", section, resource.key));
  if (included != included_values.end()) return included->second;
  const Value* variable = resource.config.find("environment");
  if (variable == nullptr) return std::nullopt;
  const auto found = environment.find(variable->text);
  return found == environment.end() ? std::nullopt : std::optional(found->second);
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

}  // namespace berth::cli::compose
