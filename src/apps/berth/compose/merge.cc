#include "apps/berth/compose/merge.h"

#include <functional>
#include <set>

#include "base/format.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

Value merge(Value base, Value over, const std::string& path);

std::string member_text(const Value& map, std::string_view key) {
  const Value* value = map.find(key);
  return value == nullptr ? std::string() : value->text;
}

std::string port_key(const Value& port) {
  return fmt::format("{}/{}/{}/{}", member_text(port, "host_ip"), member_text(port, "target"),
                     member_text(port, "published"), member_text(port, "protocol"));
}
std::string target_key(const Value& item) {
  return member_text(item, "target");
}
std::string grant_key(const Value& item) {
  std::string target = member_text(item, "target");
  return target.empty() ? member_text(item, "source") : target;
}
std::string subnet_key(const Value& pool) {
  return member_text(pool, "subnet");
}
std::string path_key(const Value& item) {
  return member_text(item, "path");
}
std::string whole_key(const Value& item) {
  return to_json(to_json_value(item));
}

using KeyOf = std::string (*)(const Value&);

/// How elements of the list at `path` (within a service) are told apart.
KeyOf key_of(const std::string& path) {
  if (path == "ports") return port_key;
  if (path == "volumes" || path == "devices") return target_key;
  if (path == "ipam.config") return subnet_key;
  if (path == "secrets" || path == "configs") return grant_key;
  if (path == "env_file") return path_key;
  return whole_key;
}

bool replaces(const std::string& path) {
  return path == "command" || path == "entrypoint" || path == "healthcheck.test";
}

Value merge_lists(Value base, Value over, const std::string& path) {
  KeyOf key = key_of(path);
  for (Value& item : over.items) {
    bool placed = false;
    for (Value& known : base.items) {
      if (key(known) != key(item)) continue;
      known = std::move(item);
      placed = true;
      break;
    }
    if (!placed) base.items.push_back(std::move(item));
  }
  base.at = over.at;
  return base;
}

Value merge_maps(Value base, Value over, const std::string& path) {
  for (auto& [name, member] : over.members) {
    auto found = base.members.find(name);
    std::string below = path.empty() ? name : fmt::format("{}.{}", path, name);
    if (found == base.members.end()) {
      base.members.emplace(name, std::move(member));
    } else {
      found->second = merge(std::move(found->second), std::move(member), below);
    }
  }
  if (base.at.line == 0) base.at = over.at;
  return base;
}

Value merge(Value base, Value over, const std::string& path) {
  if (over.tag != Value::Tag::None || base.tag == Value::Tag::Reset || replaces(path)) return over;
  // "logging" with another driver is another thing: its options do not carry over.
  if (path == "logging" && base.find("driver") != nullptr && over.find("driver") != nullptr &&
      member_text(base, "driver") != member_text(over, "driver")) {
    return over;
  }
  if (over.is_null() && path != "") {
    bool variable = path.starts_with("environment.") || path.starts_with("build.args.");
    return variable ? over : base;
  }
  if (base.is_map() && over.is_map()) return merge_maps(std::move(base), std::move(over), path);
  if (base.is_list() && over.is_list()) return merge_lists(std::move(base), std::move(over), path);
  return over;
}

}  // namespace

Value merge_services(Value base, Value over) {
  return merge(std::move(base), std::move(over), "");
}

Value merge_files(Value base, Value over) {
  if (!base.is_map()) return over;
  for (auto& [section, member] : over.members) {
    auto found = base.members.find(section);
    if (found == base.members.end() || !found->second.is_map() || !member.is_map() ||
        member.tag == Value::Tag::Override) {
      base.members[section] = std::move(member);
      continue;
    }
    for (auto& [name, resource] : member.members) {
      auto known = found->second.members.find(name);
      if (known == found->second.members.end()) {
        found->second.members.emplace(name, std::move(resource));
      } else {
        known->second = merge_services(std::move(known->second), std::move(resource));
      }
    }
  }
  return base;
}

namespace {

/// Lists of services in which nothing stands twice.
constexpr std::string_view sets[] = {"cap_add",    "cap_drop", "configs",     "devices", "dns",    "dns_opt",
                                     "dns_search", "env_file", "environment", "expose",  "labels", "links",
                                     "ports",      "profiles", "secrets",     "sysctls", "tmpfs",  "volumes"};

template <class Change>
void for_each_set(Value& file, const Change& change) {
  Value* services = file.find("services");
  if (services == nullptr) return;
  for (auto& [name, service] : services->members) {
    for (std::string_view key : sets) {
      Value* list = service.find(key);
      if (list != nullptr && list->is_list() && list->tag == Value::Tag::None)
        change(*list, std::string(key));
    }
  }
}

}  // namespace

void drop_repeated(Value& file) {
  for_each_set(file, [](Value& list, const std::string&) {
    std::set<std::string> seen;
    std::erase_if(list.items, [&](const Value& item) {
      return item.tag == Value::Tag::None && !seen.insert(whole_key(item)).second;
    });
  });
}

void fold_lists(Value& file) {
  for_each_set(file, [](Value& list, const std::string& key) {
    list = merge_lists(Value::list(list.at), Value(list), key);
  });
}

void drop_reset(Value& value) {
  std::erase_if(value.members, [](const auto& member) { return member.second.tag == Value::Tag::Reset; });
  std::erase_if(value.items, [](const Value& item) { return item.tag == Value::Tag::Reset; });
  for (auto& [key, member] : value.members) drop_reset(member);
  for (Value& item : value.items) drop_reset(item);
}

}  // namespace berth::cli::compose
