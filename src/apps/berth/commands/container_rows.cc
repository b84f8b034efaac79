// Fields of containers in lists.
#include "apps/berth/commands/container_rows.h"

#include <algorithm>

#include "apps/berth/output/units.h"
#include "base/json.h"
#include "spec/reference.h"

namespace berth::cli::commands {
namespace {

using gotemplate::Value;
using output::ellipsis;
using output::short_id;

std::string text(const Json& object, std::string_view key) {
  return json_string(object, key).value_or("");
}
int64_t number(const Json& object, std::string_view key) {
  return json_int(object, key).value_or(0);
}

/// Without the leading slash; of several names (links) the one without inner slashes.
std::string names_text(const Json& container, Truncate truncate) {
  std::vector<std::string> names = json_strings(container, "Names").value_or(std::vector<std::string>());
  for (std::string& name : names) {
    if (name.starts_with('/')) name.erase(0, 1);
  }
  if (truncate == Truncate::Yes) {
    for (const std::string& name : names) {
      if (name.find('/') == std::string::npos) return name;
    }
  }
  return fmt::format("{}", fmt::join(names, ","));
}

std::string image_text(const Json& container, Truncate truncate) {
  std::string image = text(container, "Image");
  if (image.empty()) return "<no image>";
  if (truncate == Truncate::No) return image;
  std::string id = short_id(text(container, "ImageID"));
  if (!id.empty() && id == short_id(image)) return id;
  auto reference = spec::Reference::parse(image);
  if (!reference) return image;
  auto plain = reference->without_tag_and_digest();
  return reference->tag().empty() ? plain.familiar_string()
                                  : plain.with_tag(reference->tag()).familiar_string();
}

std::string mounts_text(const Json& container, Truncate truncate, int& local_volumes) {
  std::vector<std::string> mounts;
  auto list = container.find("Mounts");
  if (list == container.end() || !list->is_array()) return {};
  for (const Json& mount : *list) {
    std::string name = text(mount, "Name");
    if (name.empty()) name = text(mount, "Source");
    if (text(mount, "Driver") == "local") ++local_volumes;
    mounts.push_back(truncate == Truncate::Yes ? ellipsis(name, 15) : name);
  }
  return fmt::format("{}", fmt::join(mounts, ","));
}

std::string networks_text(const Json& container) {
  std::vector<std::string> names;
  auto settings = container.find("NetworkSettings");
  if (settings == container.end() || !settings->is_object()) return {};
  auto networks = settings->find("Networks");
  if (networks == settings->end() || !networks->is_object()) return {};
  for (const auto& [name, network] : networks->items()) names.push_back(name);
  return fmt::format("{}", fmt::join(names, ","));
}

std::string size_text(const Json& container) {
  std::string written = output::human_size(static_cast<double>(number(container, "SizeRw")), 3);
  int64_t all = number(container, "SizeRootFs");
  if (all <= 0) return written;
  return fmt::format("{} (virtual {})", written, output::human_size(static_cast<double>(all), 3));
}

Value platform_value(const Json& container) {
  auto descriptor = container.find("ImageManifestDescriptor");
  if (descriptor == container.end() || !descriptor->is_object()) return gotemplate::Nil{};
  auto platform = descriptor->find("platform");
  if (platform == descriptor->end() || !platform->is_object()) return gotemplate::Nil{};
  std::string variant = text(*platform, "variant");
  return fmt::format("{}/{}{}{}", text(*platform, "os"), text(*platform, "architecture"),
                     variant.empty() ? "" : "/", variant);
}

struct Port {
  std::string ip;
  int64_t inside = 0;
  int64_t outside = 0;
  std::string protocol;
  auto operator<=>(const Port&) const = default;
};

/// Consecutive ports of the same kind.
struct PortGroup {
  std::string ip;
  std::string protocol;
  int64_t first = 0;
  int64_t last = 0;

  std::string str() const {
    std::string range = first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
    if (ip.empty()) return fmt::format("{}/{}", range, protocol);
    bool six = ip.find(':') != std::string::npos;
    return fmt::format("{}{}{}:{}->{}/{}", six ? "[" : "", ip, six ? "]" : "", range, range, protocol);
  }
};

}  // namespace

const Headings container_headings{
    {"ID", "CONTAINER ID"},
    {"Names", "NAMES"},
    {"Image", "IMAGE"},
    {"Command", "COMMAND"},
    {"CreatedAt", "CREATED AT"},
    {"RunningFor", "CREATED"},
    {"Ports", "PORTS"},
    {"State", "STATE"},
    {"Status", "STATUS"},
    {"Size", "SIZE"},
    {"Labels", "LABELS"},
    {"Mounts", "MOUNTS"},
    {"LocalVolumes", "LOCAL VOLUMES"},
    {"Networks", "NETWORKS"},
    {"Platform", "PLATFORM"},
};

std::string ports_text(const Json& list) {
  std::vector<Port> ports;
  if (!list.is_array()) return {};
  for (const Json& port : list) {
    ports.push_back(
        {text(port, "IP"), number(port, "PrivatePort"), number(port, "PublicPort"), text(port, "Type")});
  }
  std::sort(ports.begin(), ports.end(), [](const Port& left, const Port& right) {
    return std::tie(left.inside, left.ip, left.outside, left.protocol) <
           std::tie(right.inside, right.ip, right.outside, right.protocol);
  });
  std::vector<std::string> finished;
  std::vector<std::string> mapped;
  std::vector<PortGroup> open;  // one per address and protocol, in order of appearance
  for (const Port& port : ports) {
    if (!port.ip.empty() && port.outside != port.inside) {
      bool six = port.ip.find(':') != std::string::npos;
      mapped.push_back(fmt::format("{}{}{}:{}->{}/{}", six ? "[" : "", port.ip, six ? "]" : "", port.outside,
                                   port.inside, port.protocol));
      continue;
    }
    auto group = std::find_if(open.begin(), open.end(), [&](const PortGroup& candidate) {
      return candidate.ip == port.ip && candidate.protocol == port.protocol;
    });
    if (group == open.end()) {
      open.push_back({port.ip, port.protocol, port.inside, port.inside});
    } else if (port.inside == group->last + 1) {
      group->last = port.inside;
    } else {
      finished.push_back(group->str());
      group->first = group->last = port.inside;
    }
  }
  for (const PortGroup& group : open) finished.push_back(group.str());
  finished.insert(finished.end(), mapped.begin(), mapped.end());
  return fmt::format("{}", fmt::join(finished, ", "));
}

std::vector<std::pair<std::string, std::string>> labels_of(const Json& object) {
  auto labels = json_string_map(object, "Labels").value_or(std::map<std::string, std::string>());
  return {labels.begin(), labels.end()};
}

std::string labels_text(const Json& object) {
  std::vector<std::string> labels;
  for (const auto& [name, value] : labels_of(object)) labels.push_back(fmt::format("{}={}", name, value));
  std::sort(labels.begin(), labels.end());
  return fmt::format("{}", fmt::join(labels, ","));
}

RowFields container_row(const Json& container, Truncate truncate, Timestamp now, RowDetail detail) {
  bool cut = truncate == Truncate::Yes;
  Timestamp created = from_unix_nanoseconds(number(container, "Created") * 1'000'000'000);
  std::string id = text(container, "Id");
  std::string command = text(container, "Command");
  auto ports = container.find("Ports");
  RowFields row;
  row.emplace_back("ID", cut ? short_id(id) : id);
  row.emplace_back("Names", names_text(container, truncate));
  row.emplace_back("Image", image_text(container, truncate));
  row.emplace_back("Command", output::quoted(cut ? ellipsis(command, 20) : command));
  row.emplace_back("RunningFor", output::time_ago(created, now));
  row.emplace_back("Ports", ports == container.end() ? std::string() : ports_text(*ports));
  row.emplace_back("Status", text(container, "Status"));
  if (detail == RowDetail::Table) return row;
  int local_volumes = 0;
  std::string mounts = mounts_text(container, truncate, local_volumes);
  row.emplace_back("CreatedAt", output::local_time(created));
  row.emplace_back("State", text(container, "State"));
  row.emplace_back("Size", size_text(container));
  row.emplace_back("Labels", labels_text(container));
  row.emplace_back("Label", label_method(labels_of(container)));
  row.emplace_back("Mounts", mounts);
  row.emplace_back("LocalVolumes", fmt::format("{}", local_volumes));
  row.emplace_back("Networks", networks_text(container));
  row.emplace_back("Platform", platform_value(container));
  return row;
}

}  // namespace berth::cli::commands
