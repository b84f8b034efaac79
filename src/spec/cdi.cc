// Reading and checking CDI specifications.
#include "spec/cdi.h"

#include <algorithm>
#include <initializer_list>
#include <set>

#include "base/format.h"
#include "base/json.h"
#include "spec/object_reader.h"
#include "spec/yaml_document.h"

namespace berth::spec {
namespace {

constexpr std::string_view kVersions[] = {"0.3.0", "0.4.0", "0.5.0", "0.6.0",
                                          "0.7.0", "0.8.0", "1.0.0", "1.1.0"};

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_alphanumeric(char c) {
  return is_letter(c) || (c >= '0' && c <= '9');
}

/// Alphanumeric at both ends, and of `more` besides in between.
bool is_name(std::string_view name, std::string_view more) {
  if (name.empty() || !is_alphanumeric(name.front()) || !is_alphanumeric(name.back())) return false;
  return std::ranges::all_of(name, [&](char c) { return is_alphanumeric(c) || more.find(c) != more.npos; });
}
bool is_vendor_or_class(std::string_view name) {
  return is_name(name, "_-.") && is_letter(name.front());
}
bool is_device_name(std::string_view name) {
  return is_name(name, "_-.:");
}
bool is_kind(std::string_view kind) {
  size_t slash = kind.find('/');
  return slash != kind.npos && is_vendor_or_class(kind.substr(0, slash)) &&
         is_vendor_or_class(kind.substr(slash + 1));
}

Result<void> check_members(const Json& object, std::string_view what,
                           std::initializer_list<std::string_view> known) {
  if (!object.is_object()) return failure(Kind::InvalidArgument, "{} must be an object", what);
  for (const auto& [name, value] : object.items()) {
    if (std::ranges::find(known, std::string_view(name)) == known.end())
      return failure(Kind::InvalidArgument, "{} has an unknown member \"{}\"", what, name);
  }
  return {};
}

/// A text, which YAML may have for a number: `name: 0`.
Result<std::string> text_member(const Json& object, std::string_view key) {
  const Json* value = json_member(object, key);
  if (value != nullptr && value->is_number_integer()) return std::to_string(value->get<int64_t>());
  return json_string(object, key);
}

Result<void> check_env(const std::vector<std::string>& env) {
  for (const std::string& entry : env) {
    size_t equals = entry.find('=');
    if (equals == entry.npos || equals == 0)
      return failure(Kind::InvalidArgument, "invalid environment variable \"{}\"", entry);
  }
  return {};
}

Result<CdiDeviceNode> parse_node(const Json& object) {
  CHECK(
      check_members(object, "a device node",
                    {"path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid"}));
  CdiDeviceNode node;
  std::string type;
  ObjectReader reader(object, "a device node");
  reader.read("path", node.path);
  reader.read("hostPath", node.host_path);
  reader.read("type", type);
  reader.read("major", node.major);
  reader.read("minor", node.minor);
  reader.read("fileMode", node.file_mode);
  reader.read("permissions", node.permissions);
  reader.read("uid", node.uid);
  reader.read("gid", node.gid);
  CHECK(std::move(reader).finish());
  if (!node.path.starts_with('/'))
    return failure(Kind::InvalidArgument, "invalid device path \"{}\": it must be absolute", node.path);
  if (!type.empty() && (type.size() > 1 || std::string_view("bcup").find(type) == std::string_view::npos))
    return failure(Kind::InvalidArgument, "device \"{}\": invalid type \"{}\"", node.path, type);
  if (node.permissions.find_first_not_of("rwm") != std::string::npos)
    return failure(Kind::InvalidArgument, "device \"{}\": invalid permissions \"{}\"", node.path,
                   node.permissions);
  if (!type.empty()) node.type = type.front();
  return node;
}

Result<Mount> parse_mount(const Json& object) {
  CHECK(check_members(object, "a mount", {"hostPath", "containerPath", "options", "type"}));
  Mount mount;
  ObjectReader reader(object, "a mount");
  reader.read("hostPath", mount.source);
  reader.read("containerPath", mount.destination);
  reader.read("options", mount.options);
  reader.read("type", mount.type);
  CHECK(std::move(reader).finish());
  if (mount.source.empty()) return Error(Kind::InvalidArgument, "invalid mount, empty host path");
  if (!mount.destination.starts_with('/'))
    return failure(Kind::InvalidArgument, "invalid mount, container path \"{}\": it must be absolute",
                   mount.destination);
  return mount;
}

Result<void> add_hook(const Json& object, Hooks& hooks) {
  CHECK(check_members(object, "a hook", {"hookName", "path", "args", "env", "timeout"}));
  std::string point;
  Hook hook;
  ObjectReader reader(object, "a hook");
  reader.read("hookName", point);
  reader.read("path", hook.path);
  reader.read("args", hook.args);
  reader.read("env", hook.env);
  reader.read("timeout", hook.timeout);
  CHECK(std::move(reader).finish());
  std::pair<std::string_view, std::vector<Hook>*> points[] = {{"prestart", &hooks.prestart},
                                                              {"createRuntime", &hooks.create_runtime},
                                                              {"createContainer", &hooks.create_container},
                                                              {"startContainer", &hooks.start_container},
                                                              {"poststart", &hooks.poststart},
                                                              {"poststop", &hooks.poststop}};
  if (!hook.path.starts_with('/'))
    return failure(Kind::InvalidArgument, "invalid hook \"{}\" with path \"{}\": it must be absolute", point,
                   hook.path);
  if (hook.env) CHECK(check_env(*hook.env));
  for (const auto& [name, list] : points) {
    if (name != point) continue;
    list->push_back(std::move(hook));
    return {};
  }
  return failure(Kind::InvalidArgument, "invalid hook name \"{}\"", point);
}

Result<uint32_t> parse_gid(const Json& value) {
  if (value.is_number_unsigned() && value.get<uint64_t>() <= UINT32_MAX) return value.get<uint32_t>();
  if (value.is_number_integer() && value.get<int64_t>() >= 0 && value.get<int64_t>() <= UINT32_MAX)
    return static_cast<uint32_t>(value.get<int64_t>());
  return Error(Kind::InvalidArgument, "additionalGids must be numbers of groups");
}

Result<CdiEdits> parse_edits(const Json& object) {
  CdiEdits edits;
  if (object.is_null()) return edits;
  CHECK(check_members(object, "containerEdits",
                      {"env", "deviceNodes", "hooks", "mounts", "intelRdt", "additionalGids"}));
  ObjectReader reader(object, "containerEdits");
  reader.read("env", edits.env);
  reader.read_list("deviceNodes", edits.device_nodes, parse_node);
  reader.read_list("mounts", edits.mounts, parse_mount);
  reader.read_list("additionalGids", edits.additional_gids, parse_gid);
  edits.intel_rdt = reader.find("intelRdt") != nullptr;
  const Json* hooks = reader.find("hooks");
  if (hooks != nullptr && !hooks->is_array())
    reader.fail(Error(Kind::InvalidArgument, "hooks must be a list"));
  CHECK(std::move(reader).finish());
  CHECK(check_env(edits.env));
  if (hooks == nullptr) return edits;
  for (const Json& hook : *hooks) CHECK(add_hook(hook, edits.hooks));
  return edits;
}

Result<CdiDevice> parse_device(const Json& object) {
  CHECK(check_members(object, "a device", {"name", "annotations", "containerEdits"}));
  CdiDevice device;
  TRY(device.name, text_member(object, "name"));
  if (!is_device_name(device.name))
    return failure(Kind::InvalidArgument, "invalid device name \"{}\"", device.name);
  if (const Json* edits = json_member(object, "containerEdits")) {
    auto parsed = parse_edits(*edits);
    if (!parsed) return std::move(parsed).error().in(fmt::format("device \"{}\"", device.name));
    device.edits = std::move(*parsed);
  }
  if (device.edits.empty())
    return failure(Kind::InvalidArgument, "device \"{}\": invalid device, empty device edits", device.name);
  return device;
}

/// A file in the name of JSON is one of YAML too, but for what YAML has of its own (tabs).
Result<Json> parse_document(std::string_view text) {
  size_t first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos) return Error(Kind::InvalidArgument, "no Spec data");
  if (text[first] == '{') return parse_json(text, {.max_bytes = size_t{4} << 20, .max_depth = 32});
  return parse_yaml_document(text);
}

template <class T>
void append_all(std::vector<T>& list, const std::vector<T>& more) {
  list.insert(list.end(), more.begin(), more.end());
}

}  // namespace

bool CdiEdits::empty() const {
  const Hooks& h = hooks;
  bool no_hooks = h.prestart.empty() && h.create_runtime.empty() && h.create_container.empty() &&
                  h.start_container.empty() && h.poststart.empty() && h.poststop.empty();
  return env.empty() && device_nodes.empty() && mounts.empty() && no_hooks && additional_gids.empty() &&
         !intel_rdt;
}

void CdiEdits::append(const CdiEdits& more) {
  append_all(env, more.env);
  append_all(device_nodes, more.device_nodes);
  append_all(mounts, more.mounts);
  append_all(hooks.prestart, more.hooks.prestart);
  append_all(hooks.create_runtime, more.hooks.create_runtime);
  append_all(hooks.create_container, more.hooks.create_container);
  append_all(hooks.start_container, more.hooks.start_container);
  append_all(hooks.poststart, more.hooks.poststart);
  append_all(hooks.poststop, more.hooks.poststop);
  append_all(additional_gids, more.additional_gids);
  intel_rdt = intel_rdt || more.intel_rdt;
}

Result<CdiSpec> parse_cdi_spec(std::string_view text) {
  TRY(Json document, parse_document(text));
  CHECK(check_members(document, "a CDI specification",
                      {"cdiVersion", "kind", "annotations", "devices", "containerEdits"}));
  std::string version;
  CdiSpec spec;
  ObjectReader reader(document, "a CDI specification");
  reader.read("cdiVersion", version);
  reader.read("kind", spec.kind);
  reader.read_list("devices", spec.devices, parse_device);
  reader.read_with("containerEdits", spec.edits, parse_edits);
  CHECK(std::move(reader).finish());
  std::string_view number = version;
  if (number.starts_with('v')) number.remove_prefix(1);
  if (std::ranges::find(kVersions, number) == std::end(kVersions))
    return failure(Kind::InvalidArgument, "invalid CDI version \"{}\": known are {}", version,
                   fmt::join(kVersions, ", "));
  if (!is_kind(spec.kind))
    return failure(Kind::InvalidArgument, "invalid kind \"{}\": it is one of the form vendor.com/class",
                   spec.kind);
  if (spec.devices.empty()) return Error(Kind::InvalidArgument, "invalid spec, no devices");
  std::set<std::string_view> names;
  for (const CdiDevice& device : spec.devices) {
    if (!names.insert(device.name).second)
      return failure(Kind::InvalidArgument, "invalid spec, multiple device \"{}\"", device.name);
  }
  return spec;
}

bool is_cdi_name(std::string_view text) {
  size_t equals = text.find('=');
  return equals != text.npos && is_kind(text.substr(0, equals)) && is_device_name(text.substr(equals + 1));
}

}  // namespace berth::spec
