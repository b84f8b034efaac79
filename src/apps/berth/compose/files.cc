#include "apps/berth/compose/files.h"

#include <algorithm>
#include <filesystem>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/compose/complete.h"
#include "apps/berth/compose/dotenv.h"
#include "apps/berth/compose/interpolation.h"
#include "apps/berth/compose/merge.h"
#include "apps/berth/compose/normalise.h"
#include "apps/berth/compose/schema.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

constexpr size_t max_file = 4u << 20;
constexpr size_t max_nesting = 32;

Lookup lookup_in(const Environment& environment) {
  return [&environment](const std::string& name) -> std::optional<std::string> {
    auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  };
}

Value merge_documents(std::vector<Value> documents) {
  Value merged;
  for (Value& document : documents)
    merged = merged.is_null() ? std::move(document) : merge_files(std::move(merged), std::move(document));
  return merged;
}

std::string folder_of(const std::string& file) {
  std::string folder = std::filesystem::path(file).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

Result<Environment> read_environment(const std::vector<std::string>& files, const Environment& base) {
  Environment result;
  for (const std::string& file : files) {
    TRY(std::string text, archive::read_text(file, max_file));
    Environment known = base;
    known.insert(result.begin(), result.end());
    TRY(auto variables, parse_dotenv(text, file, lookup_in(known)));
    for (auto& variable : variables) {
      if (variable.value) result[variable.name] = *variable.value;
    }
  }
  for (const auto& [name, value] : base) result[name] = value;
  return result;
}

Result<Value> FileLoader::load(const std::vector<std::string>& files, const std::string& directory) {
  std::vector<Value> all;
  for (const std::string& file : files) {
    TRY(Value one, load_one(file, directory, environment_));
    all.push_back(std::move(one));
  }
  Value merged = merge_documents(std::move(all));
  drop_reset(merged);
  CHECK(complete_file(merged, directory));
  if (merged.members.empty()) return failure(Kind::InvalidArgument, "{}: empty compose file", files[0]);
  return merged;
}

Result<std::vector<Value>> FileLoader::read(const std::string& file, const std::string& directory,
                                            const Environment& environment) {
  auto text = archive::read_text(file, max_file);
  if (!text) return text.error();
  std::string shown =
      file == "-" ? "stdin"
                  : std::filesystem::path(file).lexically_proximate(std::filesystem::current_path()).string();
  if (shown.starts_with("../../")) shown = file;
  TRY(auto documents, parse_yaml_documents(*text, shown));
  for (Value& document : documents) {
    if (!document.is_null() && !document.is_map())
      return complaint(document, "", "top-level object must be a mapping");
    if (options_.interpolate) {
      Lookup lookup = lookup_in(environment);
      CHECK(interpolate_all(document, lookup, unset_));
    } else {
      leave_variables(document);
    }
    drop_repeated(document);
    CHECK(check_shape(document, file_shape));
    CHECK(normalise_file(document, options_.resolve_paths ? directory : ""));
    fold_lists(document);
  }
  return documents;
}

Result<Value> FileLoader::load_one(const std::string& file, const std::string& directory,
                                   const Environment& environment) {
  TRY(auto documents, read(file, directory, environment));
  for (Value& document : documents) CHECK(resolve_document(document, directory, environment));
  return merge_documents(std::move(documents));
}

Result<void> FileLoader::resolve_document(Value& value, const std::string& directory,
                                          const Environment& environment) {
  if (Value* services = value.find("services")) {
    std::vector<std::string> names;
    for (const auto& [name, service] : services->members) names.push_back(name);
    for (const std::string& name : names) {
      std::vector<std::string> chain;
      CHECK(resolve_extends(value, name, directory, environment, chain));
    }
  }
  return resolve_includes(value, directory, environment);
}

Result<void> FileLoader::resolve_extends(Value& file, const std::string& name, const std::string& directory,
                                         const Environment& environment, std::vector<std::string>& chain) {
  Value& service = file.find("services")->members[name];
  const Value* extends = service.find("extends");
  if (extends == nullptr) return {};
  std::string path = fmt::format("services.{}.extends", name);
  std::string base_name, base_file;
  if (extends->is_scalar()) {
    base_name = extends->text;
  } else {
    TRY(base_name, text_of(*extends, "service", path));
    TRY(base_file, text_of(*extends, "file", path));
  }
  if (base_name.empty()) return complaint(*extends, path, "service is required");
  std::string id = fmt::format("{} in {}", name, service.at.file ? *service.at.file : "");
  if (std::find(chain.begin(), chain.end(), id) != chain.end() || chain.size() > max_nesting) {
    return complaint(*extends, path, "is a circular reference");
  }
  chain.push_back(id);
  Value base;
  if (base_file.empty()) {
    Value* services = file.find("services");
    if (!services->has(base_name)) {
      return complaint(
          *extends, path,
          fmt::format("cannot extend service \"{}\": service \"{}\" not found", name, base_name));
    }
    CHECK(resolve_extends(file, base_name, directory, environment, chain));
    base = file.find("services")->members[base_name];
  } else {
    TRY(const std::string other, locate(*extends, path, directory, base_file));
    std::string folder = folder_of(other);
    TRY(auto documents, read(other, folder, environment));
    Value other_file = merge_documents(std::move(documents));
    Value* services = other_file.find("services");
    if (services == nullptr || !services->has(base_name)) {
      return complaint(*extends, path,
                       fmt::format("cannot extend service \"{}\" in {}: service \"{}\" not found", name,
                                   base_file, base_name));
    }
    CHECK(resolve_extends(other_file, base_name, folder, environment, chain));
    base = std::move(other_file.find("services")->members[base_name]);
  }
  chain.pop_back();
  base.members.erase("extends");
  Value& extending = file.find("services")->members[name];
  extending.members.erase("extends");
  extending = merge_services(std::move(base), std::move(extending));
  return {};
}

Result<std::string> FileLoader::locate(const Value& entry, std::string_view what,
                                       const std::string& directory, const std::string& name) {
  if (!RemoteFiles::is_remote(name)) return resolve_path(directory, name);
  auto fetched = remote_.fetch(name);
  if (!fetched) return complaint(entry, what, fetched.error().message());
  return fetched;
}

Result<Value> FileLoader::include(const Value& entry, const std::string& directory,
                                  const Environment& environment) {
  std::vector<std::string> paths, env_files;
  std::string project_directory;
  if (entry.is_scalar()) {
    paths.push_back(entry.text);
  } else {
    TRY(paths, texts_of(entry, "path", "include"));
    TRY(env_files, texts_of(entry, "env_file", "include"));
    TRY(project_directory, text_of(entry, "project_directory", "include"));
  }
  if (paths.empty()) return complaint(entry, "include", "path is required");
  for (std::string& path : paths) {
    TRY(path, locate(entry, "include", directory, path));
    if (std::find(including_.begin(), including_.end(), path) != including_.end() ||
        including_.size() > max_nesting) {
      return complaint(entry, "include", fmt::format("cycle detected: {}", path));
    }
  }
  std::string folder =
      project_directory.empty() ? folder_of(paths[0]) : resolve_path(directory, project_directory);
  if (env_files.empty() && std::filesystem::exists(folder + "/.env")) env_files.push_back(folder + "/.env");
  std::erase(env_files, "/dev/null");
  for (std::string& file : env_files) file = resolve_path(directory, file);
  TRY(Environment own, read_environment(env_files, environment));
  std::vector<Value> all;
  including_.insert(including_.end(), paths.begin(), paths.end());
  for (const std::string& path : paths) {
    TRY(Value one, load_one(path, folder, own));
    all.push_back(std::move(one));
  }
  including_.resize(including_.size() - paths.size());
  Value merged = merge_documents(std::move(all));
  drop_reset(merged);
  CHECK(complete_file(merged, folder));
  resolve_variables(merged, own);
  return merged;
}

/// Names of variables in what is included mean those that it has itself, also where they have no ${}.
void FileLoader::resolve_variables(Value& included, const Environment& environment) {
  const Lookup lookup = lookup_in(environment);
  if (Value* services = included.find("services")) {
    for (auto& [name, service] : services->members) {
      Value* variables = service.find("environment");
      if (variables == nullptr) continue;
      for (auto& [key, value] : variables->members) {
        auto own = value.is_null() ? lookup(key) : std::nullopt;
        if (own) value = Value::string(*own, value.at);
      }
    }
  }
  for (std::string_view section : {"secrets", "configs"}) {
    const Value* resources = included.find(section);
    for (const auto& [name, resource] : resources == nullptr ? Value::Map() : resources->members) {
      const Value* variable = resource.find("environment");
      auto own = variable == nullptr ? std::nullopt : lookup(variable->text);
      if (own) included_values_.try_emplace(fmt::format("{}.{}", section, name), *own);
    }
  }
}

Result<void> FileLoader::resolve_includes(Value& file, const std::string& directory,
                                          const Environment& environment) {
  const Value* entries = file.find("include");
  if (entries == nullptr) return {};
  if (!entries->is_list()) return complaint(*entries, "include", "must be a list");
  Value list = *entries;
  for (const Value& entry : list.items) {
    TRY(Value included, include(entry, directory, environment));
    for (std::string_view section : {"services", "networks", "volumes", "secrets", "configs", "models"}) {
      Value* theirs = included.find(section);
      if (theirs == nullptr) continue;
      if (file.find(section) == nullptr) file.set(section, Value::map(theirs->at));
      Value& ours = *file.find(section);
      for (auto& [name, resource] : theirs->members) {
        auto known = ours.members.find(name);
        if (known != ours.members.end() &&
            to_json(to_json_value(known->second)) != to_json(to_json_value(resource))) {
          return complaint(known->second, fmt::format("{}.{}", section, name),
                           "conflicts with imported resource");
        }
        ours.members.emplace(name, std::move(resource));
      }
    }
  }
  file.members.erase("include");
  return {};
}

}  // namespace berth::cli::compose
