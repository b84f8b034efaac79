// The build section's secrets, agents and contexts as flags of `berth build`.
#include "apps/berth/compose/build_inputs.h"

#include "apps/berth/compose/request.h"

namespace berth::cli::compose {
namespace {

constexpr std::string_view service_scheme = "service:";

std::string here(const Service& service, std::string_view key) {
  return fmt::format("{}.build.{}", service.path(), key);
}

/// A field of a comma-separated value, whatever is in it.
std::string field(std::string_view key, std::string_view value) {
  std::string text = "\"" + std::string(key) + "=";
  for (char c : value) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

Outcome<void> add_secret(const Project& project, const Resource& resource, const std::string& id,
                         BuildInputWords& inputs) {
  std::string source;
  if (const Value* file = resource.config.find("file")) {
    source = file->text;
  } else if (const Value* variable = resource.config.find("environment")) {
    // Also from .env, which is no variable of this process.
    auto value = project.value_of("secrets", resource);
    if (!value) {
      return complaint(*variable, fmt::format("secrets.{}.environment", resource.key),
                       fmt::format("environment variable \"{}\" is not set", variable->text));
    }
    TRY(TemporaryFile file, TemporaryFile::create(*value));
    source = file.path();
    inputs.files.push_back(std::move(file));
  } else {
    return complaint(resource.config, "secrets." + resource.key, "needs a file or environment for a build");
  }
  inputs.words.push_back(fmt::format("--secret={},{}", field("id", id), field("src", source)));
  return {};
}

Outcome<void> add_secrets(const Project& project, const Service& service, const Value& build,
                          BuildInputWords& inputs) {
  const Value* grants = build.find("secrets");
  if (grants == nullptr) return {};
  for (const Value& grant : grants->items) {
    const std::string& source = grant.find("source")->text;
    auto found = project.secrets.find(source);
    if (found == project.secrets.end()) {
      return complaint(grant, here(service, "secrets"),
                       fmt::format("refers to undefined secret {}: invalid compose project", source));
    }
    const Value* target = grant.find("target");
    CHECK(add_secret(project, found->second, target == nullptr ? source : target->text, inputs));
  }
  return {};
}

Outcome<void> add_agents(const Service& service, const Value& build, BuildInputWords& inputs) {
  const Value* agents = build.find("ssh");
  if (agents == nullptr) return {};
  if (agents->is_map()) {
    for (const auto& [id, path] : agents->members)
      inputs.words.push_back("--ssh=" + id + (path.text.empty() ? "" : "=" + path.text));
    return {};
  }
  TRY(auto values, as_texts(*agents, here(service, "ssh")));
  for (const std::string& value : values) inputs.words.push_back("--ssh=" + value);
  return {};
}

Outcome<void> add_contexts(const Project& project, const Service& service, const Value& build,
                           BuildInputWords& inputs) {
  TRY(auto needed, built_before(project, service));
  TRY(auto contexts, text_map_of(build, "additional_contexts", here(service, "additional_contexts")));
  for (const auto& [name, value] : contexts) {
    std::string target = value;
    if (value.starts_with(service_scheme)) {
      const Service& other = project.services.at(value.substr(service_scheme.size()));
      target = "docker-image://" + image_of(project, other);
    }
    inputs.words.push_back(fmt::format("--build-context={}={}", name, target));
  }
  return {};
}

}  // namespace

Outcome<std::vector<std::string>> built_before(const Project& project, const Service& service) {
  std::vector<std::string> names;
  const Value* build = service.config.find("build");
  const Value* contexts = build == nullptr ? nullptr : build->find("additional_contexts");
  if (contexts == nullptr) return names;
  for (const auto& [name, value] : contexts->members) {
    if (!value.text.starts_with(service_scheme)) continue;
    std::string other = value.text.substr(service_scheme.size());
    auto found = project.services.find(other);
    if (found == project.services.end() || found->second.config.find("build") == nullptr) {
      return complaint(value, here(service, "additional_contexts." + name),
                       fmt::format("service {} is not there, or not built", other));
    }
    names.push_back(std::move(other));
  }
  return names;
}

Outcome<BuildInputWords> build_input_words(const Project& project, const Service& service) {
  BuildInputWords inputs;
  const Value* build = service.config.find("build");
  if (build == nullptr) return inputs;
  CHECK(add_secrets(project, service, *build, inputs));
  CHECK(add_agents(service, *build, inputs));
  CHECK(add_contexts(project, service, *build, inputs));
  return inputs;
}

}  // namespace berth::cli::compose
