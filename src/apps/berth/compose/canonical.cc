// The project as one file, written as `docker compose config` writes it: every thing in one form, so that the
// text can be compared and loaded again.
#include <algorithm>
#include <set>

#include "apps/berth/compose/project.h"
#include "apps/berth/compose/schema.h"

namespace berth::cli::compose {
namespace {

Value& member(Value& map, std::string_view key, Value fallback) {
  Value* found = map.find(key);
  return found != nullptr ? *found : map.set(key, std::move(fallback));
}

/// Sections that are always shown within what holds them.
void show_empty_sections(Value& service) {
  for (std::string_view key : {"command", "entrypoint"}) {
    if (!service.has(key)) service.set(key, Value());
  }
  if (Value* deploy = service.find("deploy")) {
    for (std::string_view key : {"placement", "resources"}) member(*deploy, key, Value::map());
  }
  Value* develop = service.find("develop");
  Value* watches = develop == nullptr ? nullptr : develop->find("watch");
  if (watches != nullptr) {
    for (Value& watch : watches->items) {
      Value& exec = member(watch, "exec", Value::map());
      if (!exec.has("command")) exec.set("command", Value());
    }
  }
}

void sort_hosts(Value& service) {
  Value* hosts = service.find("extra_hosts");
  if (hosts == nullptr) return;
  std::sort(hosts->items.begin(), hosts->items.end(),
            [](const Value& a, const Value& b) { return a.text < b.text; });
}

/// What is empty says nothing; where null means something (variables, networks, command) it stays.
void drop_empty(Value& service) {
  std::erase_if(service.members, [](const auto& entry) {
    const auto& [key, value] = entry;
    if (key == "command" || key == "entrypoint") return false;
    for (std::string_view flag :
         {"oom_kill_disable", "privileged", "read_only", "stdin_open", "tty", "use_api_socket"}) {
      if (key == flag) return value.is_null() || !as_bool(value, "").value_or(true);
    }
    return value.is_null() || (value.is_list() && value.items.empty()) ||
           (value.is_map() && value.members.empty() && key != "deploy");
  });
}

}  // namespace

Value canonical_service(Value config) {
  drop_empty(config);
  show_empty_sections(config);
  sort_hosts(config);
  apply_forms(config, service_shape);
  drop_zeros(config, service_shape);
  return config;
}

Value Project::canonical(Format format) const {
  Value file = extensions;
  file.kind = Value::Kind::Map;
  file.set("name", Value::string(name));
  Value all = Value::map();
  for (const auto& [key, service] : services) {
    Value config = service.config;
    drop_empty(config);
    if (format == Format::Json) show_empty_sections(config);
    sort_hosts(config);
    all.set(key, std::move(config));
  }
  file.set("services", std::move(all));
  auto section = [&](std::string_view title, const std::map<std::string, Resource>& resources) {
    if (resources.empty()) return;
    Value map = Value::map();
    for (const auto& [key, resource] : resources) {
      Value config = resource.config;
      config.set("name", Value::string(resource.name));
      if (resource.external) config.set("external", Value::scalar("true"));
      if (title == "networks" && format == Format::Json) member(config, "ipam", Value::map());
      map.set(key, std::move(config));
    }
    file.set(title, std::move(map));
  };
  section("networks", networks);
  section("volumes", volumes);
  section("secrets", secrets);
  section("configs", configs);
  if (!models.members.empty() && format == Format::Yaml) file.set("models", models);
  apply_forms(file, file_shape);
  drop_zeros(file, file_shape);
  if (format == Format::Json) drop_extensions(file, file_shape);
  return file;
}

void Project::drop_unused() {
  std::set<std::string> used_networks, used_volumes, used_secrets, used_configs, used_models;
  auto sources = [](const Value* list, std::set<std::string>& out) {
    for (const Value& item : list == nullptr ? Value::List() : list->items) {
      if (const Value* source = item.find("source")) out.insert(source->text);
    }
  };
  auto keys = [](const Value* map, std::set<std::string>& out) {
    for (const auto& [key, member] : map == nullptr ? Value::Map() : map->members) out.insert(key);
  };
  for (const auto& [name, service] : services) {
    keys(service.config.find("networks"), used_networks);
    keys(service.config.find("models"), used_models);
    sources(service.config.find("volumes"), used_volumes);
    sources(service.config.find("secrets"), used_secrets);
    sources(service.config.find("configs"), used_configs);
    if (const Value* build = service.config.find("build")) sources(build->find("secrets"), used_secrets);
  }
  auto keep = [](auto& resources, const std::set<std::string>& used) {
    std::erase_if(resources, [&](const auto& resource) { return !used.contains(resource.first); });
  };
  keep(networks, used_networks);
  keep(volumes, used_volumes);
  keep(secrets, used_secrets);
  keep(configs, used_configs);
  keep(models.members, used_models);
}

}  // namespace berth::cli::compose
