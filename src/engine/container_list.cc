// Finding and listing containers: the filters of GET /containers/json.
#include <algorithm>
#include <charconv>
#include <regex>
#include <set>

#include "base/format.h"
#include "engine/core.h"
#include "engine/label_filters.h"

namespace berth::engine {
namespace {

using Values = std::vector<std::string>;

bool is_listed(const Values& values, std::string_view value) {
  return values.empty() || std::find(values.begin(), values.end(), value) != values.end();
}

Result<void> check_values(const Filters& filters, std::string_view key,
                          std::initializer_list<std::string_view> legal) {
  for (const std::string& value : filter_values(filters, key)) {
    if (std::find(legal.begin(), legal.end(), value) == legal.end()) {
      return failure(Kind::InvalidArgument, "invalid filter '{}={}'", key, value.substr(0, 64));
    }
  }
  return {};
}

/// docker's names are regular expressions over the name with and without its '/'. Bounded, since std::regex
/// recurses; what is no expression is taken literally.
bool name_matches(const Values& patterns, const std::string& name) {
  if (patterns.empty()) return true;
  for (const std::string& pattern : patterns) {
    if (name.find(pattern) != std::string::npos || pattern == "/" + name) return true;
    bool plain = pattern.size() > 256 || pattern.find_first_of("^$.*+?()[]{}|\\") == std::string::npos;
    if (plain) continue;
    try {
      std::regex expression(pattern, std::regex::ECMAScript | std::regex::nosubs);
      if (std::regex_search(name, expression) || std::regex_search("/" + name, expression)) return true;
    } catch (const std::regex_error&) {
      continue;
    }
  }
  return false;
}

bool is_published_as(const ContainerRecord& record, const spec::ContainerPort& wanted) {
  for (const auto& [port, bindings] : record.ports) {
    if (bindings.empty()) continue;
    if (port == wanted.str()) return true;
    for (const spec::PortBinding& binding : bindings) {
      if (binding.host_port == std::to_string(wanted.port)) return true;
    }
  }
  return false;
}

/// "80", "80/tcp", "8000-8080/tcp": any port of a filter value that the container has.
bool port_matches(const Values& values, const ContainerRecord& record, bool published) {
  if (values.empty()) return true;
  for (const std::string& value : values) {
    auto wanted = spec::expand_container_ports(value);
    if (!wanted) continue;
    for (const spec::ContainerPort& port : *wanted) {
      bool exposed = record.config.exposed_ports.contains(port.str()) || record.ports.contains(port.str());
      if (published ? is_published_as(record, port) : exposed) return true;
    }
  }
  return false;
}

bool volume_matches(const Values& values, const ContainerRecord& record) {
  if (values.empty()) return true;
  for (const MountPoint& mount : record.mounts) {
    for (const std::string& value : values) {
      if (mount.name == value || mount.source == value || mount.destination == value) return true;
    }
  }
  return false;
}

bool network_matches(const Values& values, const ContainerRecord& record) {
  if (values.empty()) return true;
  for (const auto& [name, endpoint] : record.endpoints) {
    for (const std::string& value : values) {
      bool by_id = value.size() >= 4 && endpoint.network_id.starts_with(value);
      if (name == value || by_id) return true;
    }
  }
  return false;
}

bool id_matches(const Values& values, const std::string& id) {
  return values.empty() || std::any_of(values.begin(), values.end(),
                                       [&](const std::string& value) { return id.starts_with(value); });
}

/// What filters mean once the names in them are looked up.
struct Lookups {
  std::set<Digest> ancestors;
  std::set<Digest> ancestor_layers;
  std::optional<Timestamp> before;
  std::optional<Timestamp> since;
  std::vector<int> exit_codes;
};

Result<Lookups> look_up(const Core& core, const Filters& filters) {
  Lookups lookups;
  for (const std::string& name : filter_values(filters, "before")) {
    TRY(auto container, core.containers.find(name));
    lookups.before = container->record.created;
  }
  for (const std::string& name : filter_values(filters, "since")) {
    TRY(auto container, core.containers.find(name));
    lookups.since = container->record.created;
  }
  for (const std::string& text : filter_values(filters, "exited")) {
    int code = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
    if (error != std::errc{} || end != text.data() + text.size()) {
      return failure(Kind::InvalidArgument, "invalid filter 'exited={}'", text.substr(0, 64));
    }
    lookups.exit_codes.push_back(code);
  }
  for (const std::string& name : filter_values(filters, "ancestor")) {
    auto image = core.image_store->resolve(name);
    if (!image) continue;
    lookups.ancestors.insert(image->id);
    if (image->chain_id) lookups.ancestor_layers.insert(*image->chain_id);
  }
  return lookups;
}

/// Made of the image, or of an image that was built on it.
bool ancestor_matches(const Core& core, const ContainerRecord& record, const Filters& filters,
                      const Lookups& lookups) {
  if (filter_values(filters, "ancestor").empty() || lookups.ancestors.contains(record.image_id)) return true;
  if (!record.chain_id) return false;
  auto chain = core.snapshotter->chain(*record.chain_id);
  return chain && std::any_of(chain->begin(), chain->end(), [&](const storage::Layer& layer) {
           return lookups.ancestor_layers.contains(layer.chain_id);
         });
}

bool state_matches(const ContainerRecord& record, const Filters& filters, const Lookups& lookups) {
  if (lookups.before && record.created >= *lookups.before) return false;
  if (lookups.since && record.created <= *lookups.since) return false;
  if (!lookups.exit_codes.empty()) {
    const auto& codes = lookups.exit_codes;
    bool listed = std::find(codes.begin(), codes.end(), record.state.exit_code) != codes.end();
    if (record.state.status != Status::Exited || !listed) return false;
  }
  return is_listed(filter_values(filters, "status"), to_string(record.state.status)) &&
         is_listed(filter_values(filters, "health"), to_string(record.state.health.status));
}

bool passes(const Core& core, const ContainerRecord& record, const Filters& filters, const Lookups& lookups) {
  return state_matches(record, filters, lookups) && id_matches(filter_values(filters, "id"), record.id) &&
         name_matches(filter_values(filters, "name"), record.name) &&
         labels_match(filters, record.config.labels) &&
         volume_matches(filter_values(filters, "volume"), record) &&
         network_matches(filter_values(filters, "network"), record) &&
         port_matches(filter_values(filters, "expose"), record, false) &&
         port_matches(filter_values(filters, "publish"), record, true) &&
         ancestor_matches(core, record, filters, lookups);
}

Result<void> check_keys_and_values(const Filters& filters) {
  CHECK(check_filters(
      filters, {"ancestor", "before", "expose", "exited", "health", "id", "isolation", "is-task", "label",
                "name", "network", "publish", "since", "status", "volume"}));
  CHECK(check_values(filters, "status",
                     {"created", "running", "paused", "restarting", "removing", "exited", "dead"}));
  for (const char* key : {"publish", "expose"}) {
    for (const std::string& value : filter_values(filters, key)) {
      if (!spec::expand_container_ports(value))
        return failure(Kind::InvalidArgument, "invalid filter '{}={}'", key, value.substr(0, 64));
    }
  }
  return check_values(filters, "health", {"none", "starting", "healthy", "unhealthy"});
}

/// Filters that ask for a state of their own, and limits, look at all containers.
bool implies_all(const ListContainers& query) {
  if (query.limit > 0) return true;
  for (const char* key : {"status", "exited", "before", "since"}) {
    if (query.filters.contains(key)) return true;
  }
  return false;
}

}  // namespace

Result<ContainerPtr> Containers::find(std::string_view reference) const {
  TRY(ContainerHandle container, core_.containers.find(reference));
  return Container::share(container);
}

Result<std::vector<ContainerPtr>> Containers::list(const ListContainers& query) const {
  CHECK(check_keys_and_values(query.filters));
  TRY(auto is_task, boolean_filter(query.filters, "is-task"));
  if (is_task.value_or(false)) return std::vector<ContainerPtr>();  // only swarms have tasks
  TRY(Lookups lookups, look_up(core_, query.filters));
  bool all = query.scope == ListScope::All || implies_all(query);
  std::vector<ContainerPtr> found;
  for (const ContainerHandle& container : core_.containers.all()) {
    bool shown = all || is_alive(container->record.state.status);
    if (shown && passes(core_, container->record, query.filters, lookups))
      found.push_back(Container::share(container));
  }
  std::sort(found.begin(), found.end(), [](const ContainerPtr& a, const ContainerPtr& b) {
    return a->created != b->created ? a->created > b->created : a->id < b->id;
  });
  size_t limit = query.limit > 0 ? static_cast<size_t>(query.limit) : found.size();
  if (found.size() > limit) found.resize(limit);
  return found;
}

}  // namespace berth::engine
