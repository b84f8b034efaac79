// Services and top-level resources in their long form.
#include "apps/berth/compose/normalise.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <span>

#include "apps/berth/compose/normalise_parts.h"
#include "base/format.h"

namespace berth::cli::compose {
namespace {

using Keys = std::span<const std::string_view>;

constexpr std::string_view top_keys[] = {"version", "name",    "services", "networks", "volumes",
                                         "secrets", "configs", "include",  "models"};
constexpr std::string_view service_keys[] = {"annotations",
                                             "attach",
                                             "blkio_config",
                                             "build",
                                             "cap_add",
                                             "cap_drop",
                                             "cgroup",
                                             "cgroup_parent",
                                             "command",
                                             "configs",
                                             "container_name",
                                             "cpu_count",
                                             "cpu_percent",
                                             "cpu_period",
                                             "cpu_quota",
                                             "cpu_rt_period",
                                             "cpu_rt_runtime",
                                             "cpu_shares",
                                             "cpus",
                                             "cpuset",
                                             "credential_spec",
                                             "depends_on",
                                             "deploy",
                                             "develop",
                                             "device_cgroup_rules",
                                             "devices",
                                             "dns",
                                             "dns_opt",
                                             "dns_search",
                                             "domainname",
                                             "entrypoint",
                                             "env_file",
                                             "environment",
                                             "expose",
                                             "extends",
                                             "external_links",
                                             "extra_hosts",
                                             "gpus",
                                             "group_add",
                                             "healthcheck",
                                             "hostname",
                                             "image",
                                             "init",
                                             "ipc",
                                             "isolation",
                                             "label_file",
                                             "labels",
                                             "links",
                                             "logging",
                                             "mac_address",
                                             "mem_limit",
                                             "mem_reservation",
                                             "mem_swappiness",
                                             "memswap_limit",
                                             "models",
                                             "network_mode",
                                             "networks",
                                             "oom_kill_disable",
                                             "oom_score_adj",
                                             "pid",
                                             "pids_limit",
                                             "platform",
                                             "ports",
                                             "post_start",
                                             "pre_start",
                                             "pre_stop",
                                             "privileged",
                                             "profiles",
                                             "provider",
                                             "pull_policy",
                                             "pull_refresh_after",
                                             "read_only",
                                             "restart",
                                             "runtime",
                                             "scale",
                                             "secrets",
                                             "security_opt",
                                             "shm_size",
                                             "stdin_open",
                                             "stop_grace_period",
                                             "stop_signal",
                                             "storage_opt",
                                             "sysctls",
                                             "tmpfs",
                                             "tty",
                                             "ulimits",
                                             "use_api_socket",
                                             "user",
                                             "userns_mode",
                                             "uts",
                                             "volumes",
                                             "volumes_from",
                                             "working_dir"};
constexpr std::string_view network_keys[] = {"name",     "driver",      "driver_opts", "attachable",
                                             "internal", "enable_ipv4", "enable_ipv6", "external",
                                             "labels",   "ipam"};
constexpr std::string_view volume_keys[] = {"name", "driver", "driver_opts", "external", "labels"};
constexpr std::string_view secret_keys[] = {"name",   "file",   "environment", "content",        "external",
                                            "labels", "driver", "driver_opts", "template_driver"};
constexpr std::string_view healthcheck_keys[] = {"test",         "interval",       "timeout", "retries",
                                                 "start_period", "start_interval", "disable"};
constexpr std::string_view build_keys[] = {
    "context",      "dockerfile",  "dockerfile_inline", "args",     "target",     "tags",
    "labels",       "cache_from",  "cache_to",          "no_cache", "pull",       "platforms",
    "network",      "extra_hosts", "shm_size",          "ssh",      "secrets",    "additional_contexts",
    "entitlements", "privileged",  "isolation",         "ulimits",  "provenance", "sbom"};
constexpr std::string_view depends_keys[] = {"condition", "restart", "required"};

Result<void> check_keys(const Value& map, const std::string& path, Keys known) {
  for (const auto& [key, member] : map.members) {
    if (key.starts_with("x-") || std::find(known.begin(), known.end(), key) != known.end()) continue;
    return complaint(member, path, fmt::format("additional properties '{}' not allowed", key));
  }
  return {};
}

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
  CHECK(check_keys(*build, here, build_keys));
  TRY(std::string context, text_of(*build, "context", here, "."));
  if (!is_url(context)) context = resolve_path(directory, context);
  build->set("context", Value::string(context, build->at));
  if (!build->has("dockerfile_inline") && !build->has("dockerfile")) {
    build->set("dockerfile", Value::string("Dockerfile", build->at));
  }
  for (std::string_view key : {"args", "labels"}) CHECK(pairs_to_map(*build, key, here, MissingValue::Null));
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
      map.set(name, Value::map(item.at));
    }
    map.tag = depends->tag;
    *depends = std::move(map);
  }
  CHECK(require_map(*depends, here));
  for (auto& [name, member] : depends->members) {
    if (member.is_null()) member = Value::map(member.at);
    CHECK(require_map(member, here + "." + name));
    CHECK(check_keys(member, here + "." + name, depends_keys));
    TRY(std::string condition, text_of(member, "condition", here, "service_started"));
    if (condition != "service_started" && condition != "service_healthy" &&
        condition != "service_completed_successfully") {
      return complaint(
          member, here + "." + name,
          "condition must be one of service_started, service_healthy, service_completed_successfully");
    }
    member.set("condition", Value::string(condition, member.at));
    if (!member.has("required")) member.set("required", Value::scalar("true", member.at));
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
  CHECK(check_keys(*check, here, healthcheck_keys));
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
    CHECK(check_keys(member, path, secret_keys));
    if (Value* source = member.find("file")) source->text = resolve_path(directory, source->text);
    CHECK(pairs_to_map(member, "labels", path, MissingValue::Empty));
  }
  return {};
}

Result<void> normalise_resources(Value& file, std::string_view section, Keys keys) {
  Value* resources = file.find(section);
  if (resources == nullptr) return {};
  CHECK(require_map(*resources, std::string(section)));
  for (auto& [name, member] : resources->members) {
    std::string path = fmt::format("{}.{}", section, name);
    if (member.is_null()) member = Value::map(member.at);
    CHECK(require_map(member, path));
    CHECK(check_keys(member, path, keys));
    CHECK(pairs_to_map(member, "labels", path, MissingValue::Empty));
  }
  return {};
}

}  // namespace

Result<void> normalise_service(Value& service, const std::string& path, const std::string& directory) {
  CHECK(require_map(service, path));
  CHECK(check_keys(service, path, service_keys));
  CHECK(normalise_build(service, path, directory));
  CHECK(normalise_depends_on(service, path));
  CHECK(normalise_networks(service, path));
  for (std::string_view key : {"command", "entrypoint"}) CHECK(normalise_command(service, key, path));
  CHECK(normalise_healthcheck(service, path));
  CHECK(normalise_env_file(service, path, directory));
  CHECK(normalise_label_file(service, directory));
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
  CHECK(normalise_ports(service, path));
  CHECK(normalise_volumes(service, path, directory));
  CHECK(normalise_grants(service, "secrets", path));
  CHECK(normalise_grants(service, "configs", path));
  return {};
}

Result<void> normalise_file(Value& file, const std::string& directory) {
  if (file.is_null()) file = Value::map(file.at);
  CHECK(require_map(file, ""));
  CHECK(check_keys(file, "", top_keys));
  if (Value* services = file.find("services")) {
    CHECK(require_map(*services, "services"));
    for (auto& [name, service] : services->members) {
      bool valid = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
      });
      if (!valid)
        return complaint(service, "services", fmt::format("additional properties '{}' not allowed", name));
      if (service.is_null()) service = Value::map(service.at);
      CHECK(normalise_service(service, "services." + name, directory));
    }
  }
  CHECK(normalise_resources(file, "networks", network_keys));
  CHECK(normalise_resources(file, "volumes", volume_keys));
  CHECK(normalise_files(file, "secrets", directory));
  CHECK(normalise_files(file, "configs", directory));
  return {};
}

std::string resolve_path(const std::string& directory, const std::string& path) {
  std::string result = path;
  if (result == "~" || result.starts_with("~/")) {
    const char* home = std::getenv("HOME");
    if (home != nullptr) result = home + result.substr(1);
  }
  if (!result.starts_with('/')) result = directory + "/" + result;
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
