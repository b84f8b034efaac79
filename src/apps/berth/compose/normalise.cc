// Services and top-level resources in their long form.
#include "apps/berth/compose/normalise.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>

#include "apps/berth/compose/normalise_parts.h"
#include "base/format.h"
#include "spec/cdi.h"

namespace berth::cli::compose {
namespace {

Result<void> require_map(const Value& value, const std::string& path) {
  if (value.is_map()) return {};
  return complaint(value, path, "must be a mapping");
}

bool is_url(std::string_view text) {
  for (std::string_view scheme : {"http://", "https://", "git://", "git@", "ssh://", "github.com/"}) {
    if (text.starts_with(scheme)) return true;
  }
  return false;
}

Result<void> normalise_build(Value& service, const std::string& path, const std::string& directory) {
  Value* build = service.find("build");
  if (build == nullptr) return {};
  std::string here = path + ".build";
  if (build->is_scalar()) {
    Value map = Value::map(build->at);
    map.set("context", Value::string(build->text, build->at));
    *build = std::move(map);
  }
  CHECK(require_map(*build, here));
  if (Value* context = build->find("context"); context != nullptr && !is_url(context->text))
    context->text = resolve_path(directory, context->text);
  CHECK(pairs_to_map(*build, "args", here, MissingValue::Null));
  CHECK(pairs_to_map(*build, "labels", here, MissingValue::Empty));
  CHECK(hosts_to_list(*build, "extra_hosts", here));
  CHECK(scalars_to_list(*build, {"tags", "cache_from", "cache_to", "platforms", "entitlements"}, here));
  CHECK(normalise_grants(*build, "secrets", here));
  if (build->find("additional_contexts") != nullptr) {
    CHECK(pairs_to_map(*build, "additional_contexts", here, MissingValue::Empty));
    for (auto& [name, member] : build->find("additional_contexts")->members) {
      bool other = is_url(member.text) || member.text.find("://") != std::string::npos ||
                   member.text.starts_with("service:");
      if (member.is_scalar() && !other) member.text = resolve_path(directory, member.text);
    }
  }
  return {};
}

Result<void> normalise_depends_on(Value& service, const std::string& path) {
  Value* depends = service.find("depends_on");
  if (depends == nullptr) return {};
  std::string here = path + ".depends_on";
  if (depends->is_list()) {
    Value map = Value::map(depends->at);
    for (const Value& item : depends->items) {
      TRY(std::string name, as_text(item, here));
      Value dependency = Value::map(item.at);
      dependency.set("condition", Value::string("service_started", item.at));
      dependency.set("required", Value::scalar("true", item.at));
      map.set(name, std::move(dependency));
    }
    map.tag = depends->tag;
    *depends = std::move(map);
  }
  CHECK(require_map(*depends, here));
  for (auto& [name, member] : depends->members) {
    if (member.is_null()) member = Value::map(member.at);
    CHECK(require_map(member, here + "." + name));
  }
  return {};
}

Result<void> normalise_networks(Value& service, const std::string& path) {
  if (!service.has("networks")) return {};
  Value& networks = service.members["networks"];
  if (networks.is_null()) return {};
  std::string here = path + ".networks";
  if (networks.is_list()) {
    Value map = Value::map(networks.at);
    for (const Value& item : networks.items) {
      TRY(std::string name, as_text(item, here));
      Value nothing;
      nothing.at = item.at;
      map.set(name, std::move(nothing));
    }
    map.tag = networks.tag;
    networks = std::move(map);
  }
  return require_map(networks, here);
}

Result<void> normalise_command(Value& service, std::string_view key, const std::string& path) {
  Value* command = service.find(key);
  if (command == nullptr) return {};
  std::string here = fmt::format("{}.{}", path, key);
  if (command->is_scalar()) {
    auto words = split_command(command->text);
    if (!words && command->variables == Value::Variables::LeftIn) return {};
    if (!words) return complaint(*command, here, words.error().message());
    Value list = Value::list(command->at);
    for (std::string& word : *words) list.items.push_back(Value::string(std::move(word), command->at));
    list.tag = command->tag;
    *command = std::move(list);
  }
  CHECK(as_texts(*command, here));
  for (Value& item : command->items) item.quoted = true;
  return {};
}

Result<void> normalise_healthcheck(Value& service, const std::string& path) {
  Value* check = service.find("healthcheck");
  if (check == nullptr) return {};
  std::string here = path + ".healthcheck";
  CHECK(require_map(*check, here));
  Value* test = check->find("test");
  if (test == nullptr) return {};
  if (test->is_scalar()) {
    Value list = Value::list(test->at);
    list.items.push_back(Value::string("CMD-SHELL", test->at));
    list.items.push_back(Value::string(test->text, test->at));
    *test = std::move(list);
  }
  if (!test->is_list()) return complaint(*test, here + ".test", "must be a string or a list");
  if (!test->items.empty()) {
    const std::string& first = test->items[0].text;
    if (first != "CMD" && first != "CMD-SHELL" && first != "NONE") {
      return complaint(*test, here + ".test", "must start with NONE, CMD or CMD-SHELL");
    }
  }
  return {};
}

Result<void> normalise_env_file(Value& service, const std::string& path, const std::string& directory) {
  Value* files = service.find("env_file");
  if (files == nullptr) return {};
  std::string here = path + ".env_file";
  Value list = Value::list(files->at);
  list.tag = files->tag;
  if (files->is_list()) {
    list.items = std::move(files->items);
  } else {
    list.items.push_back(*files);
  }
  for (Value& item : list.items) {
    if (item.is_scalar()) {
      Value map = Value::map(item.at);
      map.set("path", Value::string(item.text, item.at));
      item = std::move(map);
    }
    CHECK(require_map(item, here));
    TRY(std::string file, text_of(item, "path", here));
    if (file.empty()) return complaint(item, here, "path is required");
    item.set("path", Value::string(resolve_path(directory, file), item.at));
    if (!item.has("required")) item.set("required", Value::scalar("true", item.at));
  }
  *files = std::move(list);
  return {};
}

/// post_start, pre_stop: their commands and variables.
Result<void> normalise_hooks(Value& service, const std::string& path) {
  for (std::string_view key : {"post_start", "pre_stop"}) {
    Value* hooks = service.find(key);
    if (hooks == nullptr) continue;
    for (size_t i = 0; i < hooks->items.size(); ++i) {
      Value& hook = hooks->items[i];
      const std::string here = fmt::format("{}.{}[{}]", path, key, i);
      if (hook.find("command") == nullptr) return complaint(hook, here, "command is required");
      CHECK(normalise_command(hook, "command", here));
      CHECK(pairs_to_map(hook, "environment", here, MissingValue::Null));
    }
  }
  return {};
}

/// Options of a provider may be given several times.
void normalise_provider(Value& provider) {
  Value* options = provider.find("options");
  if (options == nullptr) return;
  for (auto& [name, member] : options->members) {
    if (member.is_scalar()) {
      Value list = Value::list(member.at);
      list.items.push_back(std::move(member));
      member = std::move(list);
    }
    for (Value& item : member.items) item.quoted = true;
  }
}

/// A list of models becomes a mapping.
Result<void> normalise_models(Value& service, const std::string& path) {
  Value* models = service.find("models");
  if (models == nullptr || !models->is_list()) return {};
  Value map = Value::map(models->at);
  map.tag = models->tag;
  for (const Value& item : models->items) {
    TRY(std::string name, as_text(item, path + ".models"));
    map.set(name, Value());
  }
  *models = std::move(map);
  return {};
}

/// SOURCE[:TARGET[:PERMISSIONS]], or the name of a device of the Container Device Interface.
Result<void> normalise_devices(Value& service) {
  Value* devices = service.find("devices");
  if (devices == nullptr) return {};
  for (Value& item : devices->items) {
    if (!item.is_scalar()) continue;
    Value device = Value::map(item.at);
    std::string source = item.text, target = source, permissions = "rwm";
    if (!spec::is_cdi_name(item.text)) {
      const size_t first = item.text.find(':');
      const size_t second = first == std::string::npos ? first : item.text.find(':', first + 1);
      source = target = item.text.substr(0, first);
      if (first != std::string::npos) target = item.text.substr(first + 1, second - first - 1);
      if (second != std::string::npos) permissions = item.text.substr(second + 1);
    }
    device.set("source", Value::string(source, item.at));
    device.set("target", Value::string(target, item.at));
    device.set("permissions", Value::string(permissions, item.at));
    item = std::move(device);
  }
  return {};
}

Result<void> normalise_label_file(Value& service, const std::string& directory) {
  Value* files = service.find("label_file");
  if (files == nullptr) return {};
  TRY(auto names, as_texts(*files, "label_file"));
  Value list = Value::list(files->at);
  for (const std::string& name : names)
    list.items.push_back(Value::string(resolve_path(directory, name), files->at));
  *files = std::move(list);
  return {};
}

Result<void> normalise_watch(Value& service, const std::string& path, const std::string& directory) {
  Value* develop = service.find("develop");
  Value* watch = develop == nullptr ? nullptr : develop->find("watch");
  if (watch == nullptr) return {};
  std::string here = path + ".develop.watch";
  if (!watch->is_list()) return complaint(*watch, here, "must be a list");
  for (Value& rule : watch->items) {
    CHECK(require_map(rule, here));
    TRY(std::string action, text_of(rule, "action", here));
    TRY(std::string watched, text_of(rule, "path", here));
    if (watched.empty()) return complaint(rule, here, "path is required");
    constexpr std::string_view actions[] = {"rebuild", "restart", "sync", "sync+restart", "sync+exec"};
    if (std::find(std::begin(actions), std::end(actions), action) == std::end(actions)) {
      return complaint(rule, here, "action must be one of rebuild, restart, sync, sync+restart, sync+exec");
    }
    if (action.starts_with("sync") && rule.find("target") == nullptr) {
      return complaint(rule, here, fmt::format("target is required for action {}", action));
    }
    rule.set("path", Value::string(resolve_path(directory, watched), rule.at));
    CHECK(scalars_to_list(rule, {"ignore", "include"}, here));
    if (Value* exec = rule.find("exec")) {
      CHECK(normalise_command(*exec, "command", here + ".exec"));
      CHECK(pairs_to_map(*exec, "environment", here + ".exec", MissingValue::Null));
    }
  }
  return {};
}

Result<void> normalise_files(Value& file, std::string_view section, const std::string& directory) {
  Value* resources = file.find(section);
  if (resources == nullptr) return {};
  CHECK(require_map(*resources, std::string(section)));
  for (auto& [name, member] : resources->members) {
    std::string path = fmt::format("{}.{}", section, name);
    if (member.is_null()) member = Value::map(member.at);
    CHECK(require_map(member, path));
    if (Value* source = member.find("file")) source->text = resolve_path(directory, source->text);
    CHECK(pairs_to_map(member, "labels", path, MissingValue::Empty));
  }
  return {};
}

/// A local volume that is a bind has a folder of the host's, which may be relative.
void resolve_bound_folder(Value& volume, const std::string& directory) {
  const Value* driver = volume.find("driver");
  Value* options = volume.find("driver_opts");
  if (options == nullptr || (driver != nullptr && driver->text != "local")) return;
  const Value* kind = options->find("o");
  Value* device = options->find("device");
  if (kind != nullptr && kind->text == "bind" && device != nullptr)
    device->text = resolve_path(directory, device->text);
}

Result<void> normalise_resources(Value& file, std::string_view section, const std::string& directory) {
  Value* resources = file.find(section);
  if (resources == nullptr) return {};
  CHECK(require_map(*resources, std::string(section)));
  for (auto& [name, member] : resources->members) {
    std::string path = fmt::format("{}.{}", section, name);
    if (member.is_null()) member = Value::map(member.at);
    CHECK(require_map(member, path));
    CHECK(pairs_to_map(member, "labels", path, MissingValue::Empty));
    if (section == "volumes") resolve_bound_folder(member, directory);
  }
  return {};
}

}  // namespace

Result<void> normalise_service(Value& service, const std::string& path, const std::string& directory) {
  CHECK(require_map(service, path));
  CHECK(normalise_build(service, path, directory));
  CHECK(normalise_depends_on(service, path));
  CHECK(normalise_networks(service, path));
  for (std::string_view key : {"command", "entrypoint"}) CHECK(normalise_command(service, key, path));
  CHECK(normalise_healthcheck(service, path));
  CHECK(normalise_env_file(service, path, directory));
  CHECK(normalise_label_file(service, directory));
  CHECK(normalise_devices(service));
  CHECK(normalise_hooks(service, path));
  CHECK(normalise_models(service, path));
  CHECK(normalise_watch(service, path, directory));
  CHECK(pairs_to_map(service, "environment", path, MissingValue::Null));
  for (std::string_view key : {"labels", "annotations", "sysctls"}) {
    CHECK(pairs_to_map(service, key, path, MissingValue::Empty));
  }
  if (Value* deploy = service.find("deploy"))
    CHECK(pairs_to_map(*deploy, "labels", path + ".deploy", MissingValue::Empty));
  CHECK(hosts_to_list(service, "extra_hosts", path));
  CHECK(scalars_to_list(
      service,
      {"cap_add", "cap_drop", "dns", "dns_opt", "dns_search", "tmpfs", "security_opt", "group_add", "expose",
       "external_links", "links", "volumes_from", "device_cgroup_rules", "profiles"},
      path));
  if (Value* provider = service.find("provider")) normalise_provider(*provider);
  CHECK(normalise_ports(service, path));
  CHECK(normalise_volumes(service, path, directory));
  CHECK(normalise_grants(service, "secrets", path));
  CHECK(normalise_grants(service, "configs", path));
  return {};
}

Result<void> normalise_file(Value& file, const std::string& directory) {
  if (file.is_null()) file = Value::map(file.at);
  CHECK(require_map(file, ""));
  if (Value* services = file.find("services")) {
    CHECK(require_map(*services, "services"));
    for (auto& [name, service] : services->members) {
      if (service.is_null()) service = Value::map(service.at);
      CHECK(normalise_service(service, "services." + name, directory));
    }
  }
  CHECK(normalise_resources(file, "networks", directory));
  CHECK(normalise_resources(file, "volumes", directory));
  CHECK(normalise_files(file, "secrets", directory));
  CHECK(normalise_files(file, "configs", directory));
  return {};
}

std::string resolve_path(const std::string& directory, const std::string& path) {
  if (directory.empty()) return path;
  std::string result = path;
  if (result == "~" || result.starts_with("~/")) {
    const char* home = std::getenv("HOME");
    if (home != nullptr) result = home + result.substr(1);
  }
  // A path of Windows ("C:\\x") is whole, too: the engine may be there.
  const bool has_drive = result.size() > 2 && std::isalpha(static_cast<unsigned char>(result[0])) != 0 &&
                         result[1] == ':' && (result[2] == '\\' || result[2] == '/');
  if (result.starts_with('/') || has_drive) return result;
  result = directory + "/" + result;
  result = std::filesystem::path(result).lexically_normal().string();
  if (result.size() > 1 && result.ends_with('/')) result.pop_back();
  return result;
}

Result<std::vector<std::string>> split_command(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (quote == '\'') {
      if (c == quote)
        quote = 0;
      else
        word += c;
    } else if (c == '\\') {
      if (i + 1 == text.size()) return Error(Kind::InvalidArgument, "ends with a backslash");
      char next = text[++i];
      if (quote == '"' && next != '"' && next != '\\' && next != '$' && next != '`') word += c;
      word += next;
      in_word = true;
    } else if (quote == '"') {
      if (c == quote)
        quote = 0;
      else
        word += c;
    } else if (c == '"' || c == '\'') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0) return Error(Kind::InvalidArgument, "has an unbalanced quote");
  if (in_word) words.push_back(std::move(word));
  return words;
}

}  // namespace berth::cli::compose
