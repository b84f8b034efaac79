#include "apps/berth/compose/config_hash.h"

#include "apps/berth/compose/hashed_json.h"
#include "apps/berth/compose/schema.h"
#include "base/json.h"
#include "base/sha256.h"

namespace berth::cli::compose {
namespace {

std::string hash_of(Value config) {
  // The last is a key that docker's compose takes and forgets.
  for (std::string_view key :
       {"build", "pull_policy", "scale", "depends_on", "profiles", "pull_refresh_after"})
    config.members.erase(std::string(key));
  if (Value* deploy = config.find("deploy")) deploy->members.erase("replicas");
  return sha256(hashed_json(canonical_service(std::move(config)), service_shape)).hex();
}

std::string hash_of(const Resource& resource, const Shape& shape, Value config) {
  config.set("name", Value::string(resource.name));
  if (resource.external) config.set("external", Value::scalar("true"));
  apply_forms(config, shape);
  drop_zeros(config, shape);
  return sha256(hashed_json(config, shape)).hex();
}

/// "service:X" as the container that is meant.
void follow_mode(Value& mode, const ContainerOf& container_of) {
  if (!mode.text.starts_with("service:")) return;
  if (auto id = container_of(mode.text.substr(8))) mode.text = "container:" + *id;
}

void follow_volumes(Value& source, const ContainerOf& container_of) {
  if (source.text.starts_with("container:")) {
    source.text = source.text.substr(10, source.text.find(':', 10) - 10);
    return;
  }
  const size_t colon = source.text.find(':');
  auto id = container_of(source.text.substr(0, colon));
  if (!id) return;
  // docker's compose mounts for writing whatever the file says: what it has made is not what ":ro" asks for.
  const bool read_only = colon != std::string::npos && source.text.substr(colon) == ":ro";
  source.text = *id + (read_only ? ":ro" : "");
}

}  // namespace

std::string config_hash(const Service& service, const ContainerOf& container_of) {
  Value config = service.config;
  if (const Value* files = service.declared.find("label_file")) config.set("label_file", *files);
  if (container_of) {
    for (std::string_view key : {"network_mode", "ipc", "pid"})
      if (Value* mode = config.find(key)) follow_mode(*mode, container_of);
    if (Value* from = config.find("volumes_from"))
      for (Value& source : from->items) follow_volumes(source, container_of);
  }
  return hash_of(std::move(config));
}

std::string declared_hash(const Service& service) {
  Value config = service.config;
  config.members.erase("environment");
  for (std::string_view key : {"environment", "env_file"})
    if (const Value* declared = service.declared.find(key)) config.set(key, *declared);
  // Files that are required are written as their paths alone.
  if (Value* files = config.find("env_file"))
    for (Value& file : files->items) {
      const Value* required = file.find("required");
      const Value* path = file.find("path");
      if (path != nullptr && required != nullptr && as_bool(*required, "").value_or(false))
        file = Value::string(path->text);
    }
  return hash_of(std::move(config));
}

std::string grants_hash(const Project& project, const Service& service) {
  Value all = Value::map();
  for (auto [key, resources] : {std::pair{"configs", &project.configs}, {"secrets", &project.secrets}}) {
    const Value* grants = service.config.find(key);
    if (grants == nullptr) continue;
    for (const Value& grant : grants->items) {
      auto found = resources->find(grant.find("source")->text);
      if (found == resources->end()) continue;
      Value definition = found->second.config;
      if (auto value = project.value_of(key, found->second))
        definition.set("x-content", Value::string(sha256(*value).hex()));
      all.set(std::string(key) + "." + found->first, std::move(definition));
    }
  }
  return all.members.empty() ? "" : sha256(to_json(to_json_value(all))).hex();
}

std::string network_hash(const Resource& network) {
  Value config = network.config;
  Value* addresses = config.find("ipam");
  if (addresses == nullptr) addresses = &config.set("ipam", Value::map());
  addresses->members.erase("options");  // docker's compose forgets them
  return hash_of(network, network_shape, std::move(config));
}

std::string volume_hash(const Resource& volume) {
  Value config = volume.config;
  const Value* driver = config.find("driver");
  if (driver == nullptr || driver->text.empty()) config.set("driver", Value::string("local"));
  return hash_of(volume, volume_shape, std::move(config));
}

}  // namespace berth::cli::compose
