// The image configuration to and from JSON, and the pieces that all image documents share.
#include "base/format.h"
#include "base/json.h"
#include "spec/image.h"
#include "spec/image_json.h"

namespace berth::spec {
namespace {

constexpr size_t max_list = 65536;

/// A list of strings, or one string alone as docker's API takes for Cmd and Entrypoint.
Result<std::vector<std::string>> string_or_list(const Json& object, std::string_view key) {
  auto it = object.find(key);
  if (it != object.end() && it->is_string()) return std::vector<std::string>{it->get<std::string>()};
  return json_strings(object, key);
}

/// The keys of {"80/tcp": {}, ...}, which is how Go writes a set.
Result<std::set<std::string>> parse_set(const Json& object, std::string_view key) {
  std::set<std::string> names;
  auto it = object.find(key);
  if (it == object.end() || it->is_null()) return names;
  if (!it->is_object() || it->size() > max_list) {
    return failure(Kind::InvalidArgument, "invalid JSON: \"{}\" must be an object", key);
  }
  for (const auto& element : it->items()) names.insert(element.key());
  return names;
}

Json set_value(const std::set<std::string>& names) {
  Json object = Json::object();
  for (const std::string& name : names) object[name] = Json::object();
  return object;
}

Result<std::optional<Healthcheck>> parse_healthcheck(const Json& object) {
  auto it = object.find("Healthcheck");
  if (it == object.end() || it->is_null()) return std::optional<Healthcheck>();
  if (!it->is_object())
    return Error(Kind::InvalidArgument, "invalid JSON: \"Healthcheck\" must be an object");
  Healthcheck check;
  TRY(check.test, json_strings(*it, "Test"));
  TRY(check.interval, json_int(*it, "Interval"));
  TRY(check.timeout, json_int(*it, "Timeout"));
  TRY(check.start_period, json_int(*it, "StartPeriod"));
  TRY(check.start_interval, json_int(*it, "StartInterval"));
  TRY(int64_t retries, json_int(*it, "Retries"));
  if (retries < 0 || retries > INT32_MAX) {
    return failure(Kind::InvalidArgument, "invalid Healthcheck: Retries of {}", retries);
  }
  check.retries = static_cast<int>(retries);
  return std::optional<Healthcheck>(std::move(check));
}

Json healthcheck_value(const Healthcheck& check) {
  Json object = Json::object();
  if (!check.test.empty()) object["Test"] = check.test;
  if (check.interval != 0) object["Interval"] = check.interval;
  if (check.timeout != 0) object["Timeout"] = check.timeout;
  if (check.start_period != 0) object["StartPeriod"] = check.start_period;
  if (check.start_interval != 0) object["StartInterval"] = check.start_interval;
  if (check.retries != 0) object["Retries"] = check.retries;
  return object;
}

/// Docker writes year 1 for "unknown".
Result<std::optional<Timestamp>> parse_created(const Json& object) {
  TRY(std::string text, json_string(object, "created"));
  if (text.empty() || text.starts_with("0001-")) return std::optional<Timestamp>();
  TRY(Timestamp time, parse_rfc3339(text));
  return std::optional<Timestamp>(time);
}

std::string created_value(Timestamp time) {
  // The epoch itself is a date that reproducible builds use; to_rfc3339 takes it for "never".
  return to_unix_nanoseconds(time) == 0 ? "1970-01-01T00:00:00Z" : to_rfc3339(time);
}

Result<std::vector<HistoryEntry>> parse_history(const Json& object, const ImageLimits& limits) {
  std::vector<HistoryEntry> history;
  TRY(const Json* list, find_array(object, "history", limits.max_strings));
  if (list == nullptr) return history;
  for (const Json& element : *list) {
    HistoryEntry entry;
    TRY(entry.created, parse_created(element));
    TRY(entry.created_by, json_string(element, "created_by"));
    TRY(entry.author, json_string(element, "author"));
    TRY(entry.comment, json_string(element, "comment"));
    TRY(entry.empty_layer, json_bool(element, "empty_layer"));
    history.push_back(std::move(entry));
  }
  return history;
}

Json history_value(const HistoryEntry& entry) {
  Json object = Json::object();
  if (entry.created) object["created"] = created_value(*entry.created);
  if (!entry.created_by.empty()) object["created_by"] = entry.created_by;
  if (!entry.author.empty()) object["author"] = entry.author;
  if (!entry.comment.empty()) object["comment"] = entry.comment;
  if (entry.empty_layer) object["empty_layer"] = true;
  return object;
}

Result<std::vector<Digest>> parse_rootfs(const Json& object, const ImageLimits& limits) {
  std::vector<Digest> diff_ids;
  auto it = object.find("rootfs");
  if (it == object.end() || !it->is_object()) {
    return Error(Kind::InvalidArgument, "invalid image configuration: no \"rootfs\"");
  }
  TRY(std::string type, json_string(*it, "type"));
  if (type != "layers") {
    return failure(Kind::InvalidArgument, "invalid image configuration: rootfs type \"{}\"",
                   type.substr(0, 64));
  }
  TRY(const Json* list, find_array(*it, "diff_ids", limits.max_layers));
  if (list == nullptr) return diff_ids;
  for (const Json& element : *list) {
    if (!element.is_string()) return Error(Kind::InvalidArgument, "invalid image configuration: diff_ids");
    TRY(Digest digest, Digest::parse(element.get_ref<const std::string&>()));
    diff_ids.push_back(std::move(digest));
  }
  return diff_ids;
}

/// "NAME" or "*" without '=' would make some launchers copy the host's variable (CVE-2026-57231).
void drop_malformed_environment(std::vector<std::string>& env) {
  std::erase_if(env, [](const std::string& entry) {
    size_t equals = entry.find('=');
    return equals == std::string::npos || equals == 0 || entry.find('\0') != std::string::npos;
  });
}

}  // namespace

Result<const Json*> find_array(const Json& object, std::string_view key, size_t limit) {
  const Json* none = nullptr;
  if (!object.is_object()) return none;
  auto it = object.find(key);
  if (it == object.end() || it->is_null()) return none;
  if (!it->is_array()) return failure(Kind::InvalidArgument, "invalid JSON: \"{}\" must be a list", key);
  if (it->size() > limit) {
    return failure(Kind::InvalidArgument, "invalid JSON: \"{}\" has {} elements, more than {}", key,
                   it->size(), limit);
  }
  const Json* list = &*it;
  return list;
}

Result<Descriptor> parse_descriptor(const Json& object) {
  if (!object.is_object()) return Error(Kind::InvalidArgument, "invalid descriptor: not a JSON object");
  TRY(std::string digest_text, json_string(object, "digest"));
  TRY(Digest digest, Digest::parse(digest_text));
  Descriptor descriptor{.digest = std::move(digest)};
  TRY(descriptor.media_type, json_string(object, "mediaType"));
  TRY(descriptor.size, json_int(object, "size"));
  if (descriptor.size < 0) return Error(Kind::InvalidArgument, "invalid descriptor: negative size");
  TRY(descriptor.urls, json_strings(object, "urls"));
  TRY(descriptor.annotations, json_string_map(object, "annotations"));
  TRY(descriptor.artifact_type, json_string(object, "artifactType"));
  if (auto it = object.find("platform"); it != object.end() && it->is_object()) {
    TRY(descriptor.platform, parse_platform(*it));
  }
  return descriptor;
}

Result<Platform> parse_platform(const Json& object) {
  Platform platform;
  TRY(platform.architecture, json_string(object, "architecture"));
  TRY(platform.os, json_string(object, "os"));
  TRY(platform.os_version, json_string(object, "os.version"));
  TRY(platform.os_features, json_strings(object, "os.features"));
  TRY(platform.variant, json_string(object, "variant"));
  return platform;
}

void add_platform_details(Json& object, const Platform& platform) {
  if (!platform.os_version.empty()) object["os.version"] = platform.os_version;
  if (!platform.os_features.empty()) object["os.features"] = platform.os_features;
  if (!platform.variant.empty()) object["variant"] = platform.variant;
}

Result<ExecutionConfig> parse_execution_config(const Json& object) {
  ExecutionConfig config;
  if (object.is_null()) return config;
  if (!object.is_object()) return Error(Kind::InvalidArgument, "invalid JSON: \"config\" must be an object");
  TRY(config.user, json_string(object, "User"));
  TRY(config.exposed_ports, parse_set(object, "ExposedPorts"));
  TRY(config.env, json_strings(object, "Env"));
  TRY(config.entrypoint, string_or_list(object, "Entrypoint"));
  TRY(config.cmd, string_or_list(object, "Cmd"));
  TRY(config.volumes, parse_set(object, "Volumes"));
  TRY(config.working_dir, json_string(object, "WorkingDir"));
  TRY(config.labels, json_string_map(object, "Labels"));
  TRY(config.stop_signal, json_string(object, "StopSignal"));
  if (auto it = object.find("StopTimeout"); it != object.end() && !it->is_null()) {
    TRY(int64_t seconds, json_int(object, "StopTimeout"));
    if (seconds < INT32_MIN || seconds > INT32_MAX) {
      return failure(Kind::InvalidArgument, "invalid StopTimeout: {}", seconds);
    }
    config.stop_timeout = static_cast<int>(seconds);
  }
  TRY(config.args_escaped, json_bool(object, "ArgsEscaped"));
  TRY(config.healthcheck, parse_healthcheck(object));
  TRY(config.on_build, json_strings(object, "OnBuild"));
  TRY(config.shell, json_strings(object, "Shell"));
  return config;
}

Result<ImageConfig> parse_image_config(std::string_view text, const ImageLimits& limits) {
  TRY(Json object, parse_json(text, {.max_bytes = limits.max_document_bytes}));
  if (!object.is_object())
    return Error(Kind::InvalidArgument, "invalid image configuration: not a JSON object");
  ImageConfig image;
  TRY(image.created, parse_created(object));
  TRY(image.author, json_string(object, "author"));
  TRY(image.platform, parse_platform(object));
  if (auto it = object.find("config"); it != object.end()) {
    TRY(image.config, parse_execution_config(*it));
    drop_malformed_environment(image.config.env);
  }
  TRY(image.diff_ids, parse_rootfs(object, limits));
  TRY(image.history, parse_history(object, limits));
  TRY(image.comment, json_string(object, "comment"));
  TRY(image.docker_version, json_string(object, "docker_version"));
  return image;
}

Json to_json_value(const ExecutionConfig& config) {
  Json object = Json::object();
  if (!config.user.empty()) object["User"] = config.user;
  if (!config.exposed_ports.empty()) object["ExposedPorts"] = set_value(config.exposed_ports);
  if (!config.env.empty()) object["Env"] = config.env;
  if (!config.entrypoint.empty()) object["Entrypoint"] = config.entrypoint;
  if (!config.cmd.empty()) object["Cmd"] = config.cmd;
  if (!config.volumes.empty()) object["Volumes"] = set_value(config.volumes);
  if (!config.working_dir.empty()) object["WorkingDir"] = config.working_dir;
  if (!config.labels.empty()) object["Labels"] = config.labels;
  if (!config.stop_signal.empty()) object["StopSignal"] = config.stop_signal;
  if (config.stop_timeout) object["StopTimeout"] = *config.stop_timeout;
  if (config.args_escaped) object["ArgsEscaped"] = true;
  if (config.healthcheck) object["Healthcheck"] = healthcheck_value(*config.healthcheck);
  if (!config.on_build.empty()) object["OnBuild"] = config.on_build;
  if (!config.shell.empty()) object["Shell"] = config.shell;
  return object;
}

std::string serialise(const ImageConfig& image) {
  Json object = to_json_value(image.platform);
  object["config"] = to_json_value(image.config);
  if (image.created) object["created"] = created_value(*image.created);
  if (!image.author.empty()) object["author"] = image.author;
  if (!image.comment.empty()) object["comment"] = image.comment;
  if (!image.docker_version.empty()) object["docker_version"] = image.docker_version;
  Json diff_ids = Json::array();
  for (const Digest& digest : image.diff_ids) diff_ids.push_back(digest.str());
  object["rootfs"] = {{"type", "layers"}, {"diff_ids", std::move(diff_ids)}};
  Json history = Json::array();
  for (const HistoryEntry& entry : image.history) history.push_back(history_value(entry));
  object["history"] = std::move(history);
  return to_json(object);
}

}  // namespace berth::spec
