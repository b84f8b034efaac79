// Finding and listing containers: the filters of GET /containers/json.
#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <set>

#include "base/format.h"
#include "engine/core.h"
#include "engine/expression.h"
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

/// docker's names are regular expressions over the name with and without its '/'; what is no expression is
/// taken literally.
bool name_matches(const Values& patterns, const std::string& name) {
  if (patterns.empty()) return true;
  for (const std::string& pattern : patterns) {
    if (name.find(pattern) != std::string::npos || pattern == "/" + name) return true;
    bool plain = pattern.find_first_of("^$.*+?()[]{}|\\") == std::string::npos;
    if (plain) continue;
    auto expression = Expression::compile(pattern);
    if (expression && (expression->matches(name) || expression->matches("/" + name))) return true;
  }
  return false;
}

/// The host's side, as docker has it: 8080 for -p 8080:80.
bool is_published_as(const ContainerRecord& record, const spec::ContainerPort& wanted) {
  const std::string host_port = std::to_string(wanted.port);
  for (const auto& [port, bindings] : record.ports) {
    auto inside = spec::parse_container_port(port);
    if (!inside || inside->protocol != wanted.protocol) continue;
    for (const spec::PortBinding& binding : bindings) {
      if (binding.host_port == host_port) return true;
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
  std::vector<storage::Image> ancestors;
  /// By id: the images of the containers that are listed, looked up once. Null for one that is gone.
  std::map<Digest, std::shared_ptr<const spec::ImageConfig>> images = {};
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
    lookups.ancestors.push_back(*std::move(image));
  }
  return lookups;
}

bool is_same_step(const spec::HistoryEntry& a, const spec::HistoryEntry& b) {
  return a.created == b.created && a.created_by == b.created_by && a.empty_layer == b.empty_layer;
}

/// Images that only differ in metadata have the same layers: the history tells which was built on which.
bool is_built_on(const spec::ImageConfig& image, const spec::ImageConfig& base) {
  if (base.diff_ids.size() > image.diff_ids.size()) return false;
  if (!std::equal(base.diff_ids.begin(), base.diff_ids.end(), image.diff_ids.begin())) return false;
  if (base.history.size() > image.history.size()) return false;
  if (base.history.size() == image.history.size() && base.diff_ids.size() == image.diff_ids.size())
    return false;
  return std::equal(base.history.begin(), base.history.end(), image.history.begin(), is_same_step);
}

/// Made of the image, or of an image that was built on it.
bool ancestor_matches(const Core& core, const ContainerRecord& record, const Filters& filters,
                      Lookups& lookups) {
  if (filter_values(filters, "ancestor").empty()) return true;
  auto [known, added] = lookups.images.try_emplace(record.image_id);
  if (added) {
    if (auto image = core.image_store->resolve(record.image_id.str())) known->second = image->config;
  }
  return std::any_of(lookups.ancestors.begin(), lookups.ancestors.end(), [&](const storage::Image& base) {
    return base.id == record.image_id || (known->second && is_built_on(*known->second, *base.config));
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

bool passes(const Core& core, const ContainerRecord& record, const Filters& filters, Lookups& lookups) {
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

/// A status that is asked for, and limits, look at all containers; other filters at those that run.
bool implies_all(const ListContainers& query) {
  return query.limit > 0 || query.filters.contains("status");
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
