#include "apps/buildkit/docker_parameters.h"

#include "base/format.h"
#include "base/json.h"

namespace berth::buildkit {
namespace {

constexpr std::string_view upload_request = "upload-request";

std::string first_of(const Json& query, const char* name) {
  auto values = json_strings(query, name);
  return values && !values->empty() ? values->front() : std::string();
}

bool is_set(const Json& query, const char* name) {
  std::string value = first_of(query, name);
  return !value.empty() && value != "0" && value != "false" && value != "no" && value != "none";
}

Result<Json> json_parameter(const Json& query, const char* name) {
  std::string text = first_of(query, name);
  if (text.empty()) return Json(nullptr);
  auto value = parse_json(text);
  if (!value) return failure(Kind::InvalidArgument, "error reading {}: {}", name, value.error().message());
  return value;
}

/// {"A": "1", "B": null} as attributes; what is null is not set.
Result<void> add_map(const Json& query, const char* name, std::string_view prefix, Attributes& attributes) {
  TRY(Json object, json_parameter(query, name));
  if (object.is_null()) return {};
  if (!object.is_object())
    return failure(Kind::InvalidArgument, "error reading {}: expected a JSON object", name);
  for (const auto& [key, value] : object.items()) {
    if (value.is_null()) continue;
    if (!value.is_string())
      return failure(Kind::InvalidArgument, "error reading {}: the value of \"{}\" must be a string", name,
                     key);
    attributes[std::string(prefix) + key] = value.get<std::string>();
  }
  return {};
}

Result<std::string> joined_list(const Json& query, const char* name) {
  TRY(Json list, json_parameter(query, name));
  if (list.is_null()) return std::string();
  if (!list.is_array()) return failure(Kind::InvalidArgument, "error reading {}: expected a JSON list", name);
  std::string joined;
  for (const Json& entry : list) {
    if (!entry.is_string())
      return failure(Kind::InvalidArgument, "error reading {}: expected a list of strings", name);
    joined += (joined.empty() ? "" : ",") + entry.get<std::string>();
  }
  return joined;
}

Result<std::string> ulimits(const Json& query) {
  TRY(Json list, json_parameter(query, "ulimits"));
  if (list.is_null()) return std::string();
  if (!list.is_array()) return Error(Kind::InvalidArgument, "error reading ulimits: expected a JSON list");
  std::string text;
  for (const Json& entry : list) {
    TRY(std::string name, json_string(entry, "Name"));
    TRY(int64_t soft, json_int(entry, "Soft"));
    TRY(int64_t hard, json_int(entry, "Hard"));
    text += fmt::format("{}{}={}:{}", text.empty() ? "" : ",", name, soft, hard);
  }
  return text;
}

Result<std::string> network_mode(const Json& query) {
  std::string mode = first_of(query, "networkmode");
  if (mode.empty() || mode == "default") return std::string();
  if (mode == "host" || mode == "none") return mode;
  return failure(Kind::InvalidArgument, "network mode \"{}\" not supported by buildkit", mode.substr(0, 128));
}

Result<ExportRequest> exporter_of(const Json& query) {
  TRY(Json outputs, json_parameter(query, "outputs"));
  ExportRequest exporter{.type = "moby"};
  if (!outputs.is_null() && !outputs.is_array())
    return Error(Kind::InvalidArgument, "error reading outputs: expected a JSON list");
  if (outputs.size() > 1) return Error(Kind::InvalidArgument, "multiple outputs not supported");
  if (outputs.size() == 1) {
    TRY(exporter.type, json_string(outputs[0], "Type"));
    TRY(exporter.attributes, json_string_map(outputs[0], "Attrs"));
  }
  bool stored = exporter.type == "moby" || exporter.type == "image";
  TRY(auto tags, json_strings(query, "t"));
  std::string names;
  for (const std::string& tag : tags) {
    if (!tag.empty()) names += (names.empty() ? "" : ",") + tag;
  }
  if (stored && !names.empty()) exporter.attributes["name"] = names;
  return exporter;
}

void place_context(const Json& query, DockerBuild& build) {
  build.build_id = first_of(query, "buildid");
  std::string prefix = std::string(upload_request) + ":";
  if (build.build_id.starts_with(prefix)) {
    build.is_upload = true;
    build.build_id = build.build_id.substr(prefix.size());
  }
  std::string remote = first_of(query, "remote");
  if (remote.empty()) return;
  build.context = remote == upload_request ? DockerBuild::Context::Upload : DockerBuild::Context::Other;
  if (remote != upload_request && remote != "client-session") build.attributes["context"] = remote;
}

}  // namespace

Result<DockerBuild> parse_docker_build(const Json& query) {
  DockerBuild build;
  place_context(query, build);
  if (build.is_upload) return build;
  build.session = first_of(query, "session");
  build.quiet = is_set(query, "q");
  auto& attributes = build.attributes;
  auto add = [&attributes](const char* name, std::string value) {
    if (!value.empty()) attributes[name] = std::move(value);
  };
  add("target", first_of(query, "target"));
  if (std::string file = first_of(query, "dockerfile"); file != ".") add("filename", std::move(file));
  TRY(std::string sources, joined_list(query, "cachefrom"));
  add("cache-from", std::move(sources));
  CHECK(add_map(query, "buildargs", "build-arg:", attributes));
  CHECK(add_map(query, "labels", "label:", attributes));
  if (is_set(query, "nocache")) attributes["no-cache"] = "";
  add("image-resolve-mode", is_set(query, "pull") ? "pull" : "default");
  add("platform", first_of(query, "platform"));
  TRY(std::string mode, network_mode(query));
  add("force-network-mode", std::move(mode));
  add("cgroup-parent", first_of(query, "cgroupparent"));
  if (std::string size = first_of(query, "shmsize"); size != "0") add("shm-size", std::move(size));
  TRY(std::string limits, ulimits(query));
  add("ulimit", std::move(limits));
  TRY(auto hosts, json_strings(query, "extrahosts"));
  std::string all;
  for (std::string host : hosts) {
    if (size_t colon = host.find(':'); colon != host.npos) host[colon] = '=';
    all += (all.empty() ? "" : ",") + host;
  }
  add("add-hosts", std::move(all));
  if (is_set(query, "squash")) attributes["squash"] = "1";
  TRY(build.exporter, exporter_of(query));
  return build;
}

}  // namespace berth::buildkit
