#include "apps/berth/compose/complete.h"

#include "base/format.h"

namespace berth::cli::compose {
namespace {

void complete_build(Value& build, const std::string& directory) {
  if (build.find("context") == nullptr) build.set("context", Value::string(directory, build.at));
  const Value* file = build.find("dockerfile");
  if (file != nullptr && file->text.empty()) build.members.erase("dockerfile");
  if (build.find("dockerfile_inline") == nullptr && build.find("dockerfile") == nullptr)
    build.set("dockerfile", Value::string("Dockerfile", build.at));
}

Result<void> complete_dependencies(Value& depends, const std::string& path) {
  for (auto& [name, member] : depends.members) {
    if (member.find("condition") == nullptr)
      return complaint(member, fmt::format("{}.{}", path, name), "condition is required");
    if (member.find("required") == nullptr) member.set("required", Value::scalar("true", member.at));
  }
  return {};
}

/// Resources that exist already are not described besides.
/// `alone`: nothing else may be said of it.
Result<void> check_external(const Value& resource, const std::string& path, bool alone) {
  const Value* external = resource.find("external");
  if (external == nullptr || external->variables == Value::Variables::LeftIn) return {};
  bool is_external = external->is_map();
  if (!is_external) {
    TRY(is_external, as_bool(*external, path + ".external"));
  } else if (external->find("name") != nullptr && resource.find("name") != nullptr) {
    return complaint(resource, path, "name and external.name conflict; only use name");
  }
  if (!is_external || !alone) return {};
  for (const auto& [key, member] : resource.members) {
    if (key == "name" || key == "external" || key.starts_with("x-") || member.is_null()) continue;
    return complaint(member, path,
                     fmt::format("conflicting parameters \"external\" and \"{}\" specified", key));
  }
  return {};
}

Result<void> check_source(const Value& resource, const std::string& path, bool may_have_content) {
  size_t given = 0;
  for (std::string_view key : {"file", "environment", "content"}) {
    if (key == "content" && !may_have_content) continue;
    given += resource.find(key) != nullptr ? 1 : 0;
  }
  const char* names = may_have_content ? "file, environment, content" : "file, environment";
  if (given > 1) return complaint(resource, path, fmt::format("takes one of {}", names));
  const bool elsewhere =
      (may_have_content && resource.find("driver") != nullptr) || resource.find("external") != nullptr;
  if (given == 0 && !elsewhere) return complaint(resource, path, fmt::format("needs one of {}", names));
  return {};
}

/// Devices that are asked for by what they can do.
Result<void> complete_requests(Value& requests, const std::string& path, bool needs_capabilities) {
  for (size_t i = 0; i < requests.items.size(); ++i) {
    Value& request = requests.items[i];
    const std::string here = fmt::format("{}[{}]", path, i);
    if (needs_capabilities && request.find("capabilities") == nullptr)
      return complaint(request, here, "capabilities is required");
    Value* count = request.find("count");
    const bool has_ids = request.find("device_ids") != nullptr;
    if (count != nullptr && has_ids)
      return complaint(request, here, "\"count\" and \"device_ids\" attributes are exclusive");
    if (count == nullptr && !has_ids) request.set("count", Value::scalar("-1", request.at));
    if (count == nullptr || count->variables == Value::Variables::LeftIn) continue;
    if (count->text == "all") *count = Value::scalar("-1", count->at);
    if (!as_int(*count, here)) return complaint(*count, here + ".count", "must be \"all\" or a number");
    count->quoted = false;
  }
  return {};
}

Result<void> complete_devices(Value& service, const std::string& path) {
  if (Value* gpus = service.find("gpus")) {
    if (gpus->is_scalar()) {
      Value list = Value::list(gpus->at);
      list.items.push_back(Value::map(gpus->at));
      *gpus = std::move(list);
    }
    CHECK(complete_requests(*gpus, path + ".gpus", false));
  }
  Value* node = service.find("deploy");
  for (std::string_view key : {"resources", "reservations", "devices"})
    node = node == nullptr ? nullptr : node->find(key);
  if (node == nullptr) return {};
  return complete_requests(*node, path + ".deploy.resources.reservations.devices", true);
}

/// Secrets have their place in the container.
void complete_secrets(Value& service) {
  Value* secrets = service.find("secrets");
  if (secrets == nullptr) return;
  for (Value& secret : secrets->items) {
    if (secret.find("target") != nullptr) continue;
    secret.set("target", Value::string("/run/secrets/" + secret.find("source")->text, secret.at));
  }
}

Result<void> check_mounts(const Value& service, const std::string& path) {
  const Value* volumes = service.find("volumes");
  for (const Value& volume : volumes == nullptr ? Value::List() : volumes->items) {
    if (volume.is_scalar()) continue;
    const Value* source = volume.find("source");
    if (volume.find("type")->text == "bind" && (source == nullptr || source->text.empty()))
      return complaint(volume, path + ".volumes", "a bind needs a source");
    const Value* tmpfs = volume.find("tmpfs");
    const Value* size = tmpfs == nullptr ? nullptr : tmpfs->find("size");
    if (size == nullptr || size->variables == Value::Variables::LeftIn) continue;
    TRY(int64_t bytes, as_bytes(*size, path + ".volumes.tmpfs.size"));
    if (bytes < 0) return complaint(*size, path + ".volumes.tmpfs.size", "must not be negative");
  }
  return {};
}

}  // namespace

Result<void> complete_file(Value& file, const std::string& directory) {
  if (Value* services = file.find("services")) {
    for (auto& [name, service] : services->members) {
      if (Value* build = service.find("build")) complete_build(*build, directory);
      if (Value* depends = service.find("depends_on"))
        CHECK(complete_dependencies(*depends, fmt::format("services.{}.depends_on", name)));
      CHECK(complete_devices(service, "services." + name));
      CHECK(check_mounts(service, "services." + name));
      complete_secrets(service);
    }
  }
  for (std::string_view section : {"volumes", "networks", "secrets", "configs"}) {
    const Value* resources = file.find(section);
    if (resources == nullptr) continue;
    for (const auto& [name, resource] : resources->members) {
      std::string path = fmt::format("{}.{}", section, name);
      CHECK(check_external(resource, path, section == "volumes"));
      if (section == "secrets" || section == "configs")
        CHECK(check_source(resource, path, section == "configs"));
    }
  }
  return {};
}

}  // namespace berth::cli::compose
