#include "apps/berth/compose/normalise_parts.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "apps/berth/compose/normalise.h"
#include "apps/berth/options/ports.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

std::string child(const std::string& path, std::string_view key) {
  return fmt::format("{}.{}", path, key);
}

/// The parts of "a:b:c" where a Windows drive never occurs.
std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

Result<void> add_long_port(const Value& item, const std::string& path, Value& out) {
  Value port = item;
  TRY(auto target, int_of(item, "target", path));
  if (!target || *target < 1 || *target > 65535) return complaint(item, path, "target must be a port");
  TRY(std::string protocol, text_of(item, "protocol", path, "tcp"));
  port.set("protocol", Value::string(protocol, item.at));
  if (Value* published = port.find("published")) published->quoted = true;
  if (!port.has("mode")) port.set("mode", Value::string("ingress", item.at));
  out.items.push_back(std::move(port));
  return {};
}

Result<void> add_short_port(const Value& item, const std::string& path, Value& out) {
  auto ports = options::parse_ports({item.text}, {});
  if (!ports && item.variables == Value::Variables::LeftIn) {
    out.items.push_back(item);
    return {};
  }
  if (!ports) return complaint(item, path, ports.error().message());
  for (const auto& [name, bindings] : ports->bindings) {
    size_t slash = name.find('/');
    for (const auto& binding : bindings) {
      Value port = Value::map(item.at);
      port.set("target", Value::scalar(name.substr(0, slash), item.at));
      port.set("protocol", Value::string(name.substr(slash + 1), item.at));
      port.set("mode", Value::string("ingress", item.at));
      if (!binding.host_port.empty()) port.set("published", Value::string(binding.host_port, item.at));
      if (!binding.host_ip.empty()) port.set("host_ip", Value::string(binding.host_ip, item.at));
      out.items.push_back(std::move(port));
    }
  }
  return {};
}

bool names_a_path(std::string_view source) {
  return source.starts_with('/') || source.starts_with('.') || source.starts_with('~');
}

/// Without "." and "..", and without a slash at the end.
std::string clean_target(const std::string& target) {
  std::string clean = std::filesystem::path(target).lexically_normal().string();
  if (clean.size() > 1 && clean.ends_with('/')) clean.pop_back();
  return clean;
}

Result<void> apply_option(Value& volume, const std::string& option, const Value& item,
                          const std::string& path) {
  bool bind = volume.find("type")->text == "bind";
  auto section = [&](std::string_view name) -> Value& {
    Value* found = volume.find(name);
    return found != nullptr ? *found : volume.set(name, Value::map(item.at));
  };
  if (option == "ro" || option == "rw") {
    if (option == "ro") volume.set("read_only", Value::scalar("true", item.at));
  } else if (option == "nocopy") {
    section("volume").set("nocopy", Value::scalar("true", item.at));
  } else if (option == "z" || option == "Z") {
    if (bind) section("bind").set("selinux", Value::string(option, item.at));
  } else if (option.ends_with("private") || option.ends_with("shared") || option.ends_with("slave")) {
    section("bind").set("propagation", Value::string(option, item.at));
  } else if (option == "cached" || option == "delegated" || option == "consistent") {
    volume.set("consistency", Value::string(option, item.at));
  } else if (!option.empty()) {
    return complaint(item, path, fmt::format("\"{}\": unknown option \"{}\"", item.text, option));
  }
  return {};
}

Result<Value> short_volume(const Value& item, const std::string& path, const std::string& directory) {
  auto parts = split(item.text, ':');
  if (parts.size() > 3 && item.variables == Value::Variables::LeftIn) return item;
  if (parts.size() > 3 || item.text.empty()) {
    return complaint(item, path, fmt::format("\"{}\" is not [SOURCE:]TARGET[:OPTIONS]", item.text));
  }
  Value volume = Value::map(item.at);
  if (parts.size() == 1) {
    volume.set("type", Value::string("volume", item.at));
    volume.set("target", Value::string(clean_target(parts[0]), item.at));
    volume.set("volume", Value::map(item.at));
    return volume;
  }
  bool bind = names_a_path(parts[0]);
  volume.set("type", Value::string(bind ? "bind" : "volume", item.at));
  volume.set("source", Value::string(bind ? resolve_path(directory, parts[0]) : parts[0], item.at));
  volume.set("target", Value::string(clean_target(parts[1]), item.at));
  if (!bind) volume.set("volume", Value::map(item.at));
  if (bind) {
    Value options = Value::map(item.at);
    options.set("create_host_path", Value::scalar("true", item.at));
    volume.set("bind", std::move(options));
  }
  if (parts.size() == 3) {
    for (const std::string& option : split(parts[2], ',')) CHECK(apply_option(volume, option, item, path));
  }
  return volume;
}

Result<void> check_long_volume(Value& volume, const std::string& path, const std::string& directory) {
  TRY(std::string type, text_of(volume, "type", path));
  constexpr std::string_view types[] = {"bind", "volume", "tmpfs", "image", "npipe", "cluster"};
  if (std::find(std::begin(types), std::end(types), type) == std::end(types)) {
    return complaint(volume, path, "type must be one of bind, volume, tmpfs, image");
  }
  if (Value* target = volume.find("target")) {
    target->text = clean_target(target->text);
  } else {
    return complaint(volume, path, "target is required");
  }
  if (Value* source = volume.find("source"); source != nullptr && type == "bind") {
    source->text = resolve_path(directory, source->text);
  }
  return {};
}

/// One element for each of "address,address".
void add_addresses(const std::string& host, const std::string& addresses, const Position& at, Value& list) {
  for (std::string address : split(addresses, ',')) {
    if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
    list.items.push_back(Value::string(host + "=" + address, at));
  }
}

}  // namespace

Result<void> pairs_to_map(Value& map, std::string_view key, const std::string& path, MissingValue missing) {
  Value* value = map.find(key);
  if (value == nullptr) return {};
  std::string here = child(path, key);
  if (value->is_list()) {
    Value pairs = Value::map(value->at);
    pairs.tag = value->tag;
    for (const Value& item : value->items) {
      TRY(std::string text, as_text(item, here));
      size_t equals = text.find('=');
      if (equals == 0) return complaint(item, here, fmt::format("\"{}\" has no name", text));
      Value member = Value::string(equals == std::string::npos ? "" : text.substr(equals + 1), item.at);
      if (equals == std::string::npos && missing == MissingValue::Null) member = Value();
      member.at = item.at;
      pairs.set(text.substr(0, equals), std::move(member));
    }
    *value = std::move(pairs);
    return {};
  }
  if (!value->is_map()) return complaint(*value, here, "must be a mapping or a list");
  for (auto& [name, member] : value->members) {
    if (member.is_null()) {
      if (missing == MissingValue::Empty && member.tag == Value::Tag::None)
        member = Value::string("", member.at);
      continue;
    }
    CHECK(as_text(member, child(here, name)));
    member.quoted = true;
  }
  return {};
}

Result<void> scalars_to_list(Value& map, std::initializer_list<std::string_view> keys,
                             const std::string& path) {
  for (std::string_view key : keys) {
    Value* value = map.find(key);
    if (value == nullptr) continue;
    CHECK(as_texts(*value, child(path, key)));
    if (value->is_scalar()) {
      Value list = Value::list(value->at);
      list.items.push_back(*value);
      *value = std::move(list);
    }
    for (Value& item : value->items) item.quoted = true;
  }
  return {};
}

Result<void> hosts_to_list(Value& map, std::string_view key, const std::string& path) {
  Value* value = map.find(key);
  if (value == nullptr) return {};
  std::string here = child(path, key);
  Value list = Value::list(value->at);
  list.tag = value->tag;
  if (value->is_map()) {
    for (const auto& [host, member] : value->members) {
      TRY(auto addresses, as_texts(member, child(here, host)));
      for (const std::string& address : addresses)
        list.items.push_back(Value::string(host + "=" + address, member.at));
    }
  } else {
    TRY(auto texts, as_texts(*value, here));
    for (std::string& text : texts) {
      const size_t separator = text.find('=') != std::string::npos ? text.find('=') : text.find(':');
      if (separator == std::string::npos)
        return complaint(*value, here, fmt::format("\"{}\" is not HOST=ADDRESS", text));
      text[separator] = '=';
      add_addresses(text.substr(0, separator), text.substr(separator + 1), value->at, list);
    }
  }
  *value = std::move(list);
  return {};
}

Result<void> normalise_ports(Value& service, const std::string& path) {
  Value* ports = service.find("ports");
  if (ports == nullptr) return {};
  std::string here = path + ".ports";
  if (!ports->is_list()) return complaint(*ports, here, "must be a list");
  Value list = Value::list(ports->at);
  list.tag = ports->tag;
  for (size_t i = 0; i < ports->items.size(); ++i) {
    const Value& item = ports->items[i];
    std::string at = fmt::format("{}[{}]", here, i);
    if (item.is_map()) {
      CHECK(add_long_port(item, at, list));
    } else if (item.is_scalar()) {
      CHECK(add_short_port(item, at, list));
    } else {
      return complaint(item, at, "must be a port or a mapping");
    }
  }
  // "3000" and "3000-3005" name the first one twice.
  std::set<std::string> seen;
  std::erase_if(list.items,
                [&](const Value& port) { return !seen.insert(to_json(to_json_value(port))).second; });
  *ports = std::move(list);
  return {};
}

Result<void> normalise_volumes(Value& service, const std::string& path, const std::string& directory) {
  Value* volumes = service.find("volumes");
  if (volumes == nullptr) return {};
  std::string here = path + ".volumes";
  if (!volumes->is_list()) return complaint(*volumes, here, "must be a list");
  for (size_t i = 0; i < volumes->items.size(); ++i) {
    Value& item = volumes->items[i];
    std::string at = fmt::format("{}[{}]", here, i);
    if (item.is_scalar()) {
      TRY(Value volume, short_volume(item, at, directory));
      item = std::move(volume);
    } else if (item.is_map()) {
      CHECK(check_long_volume(item, at, directory));
    } else {
      return complaint(item, at, "must be a string or a mapping");
    }
  }
  return {};
}

Result<void> normalise_grants(Value& service, std::string_view key, const std::string& path) {
  Value* grants = service.find(key);
  if (grants == nullptr) return {};
  std::string here = child(path, key);
  if (!grants->is_list()) return complaint(*grants, here, "must be a list");
  for (Value& item : grants->items) {
    if (item.is_scalar()) {
      Value map = Value::map(item.at);
      map.set("source", Value::string(item.text, item.at));
      item = std::move(map);
    }
    if (!item.is_map()) return complaint(item, here, "must be a name or a mapping");
    TRY(std::string source, text_of(item, "source", here));
    if (source.empty()) return complaint(item, here, "source is required");
  }
  return {};
}

}  // namespace berth::cli::compose
