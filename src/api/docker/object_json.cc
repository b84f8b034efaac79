// Image, volume, network and event objects.
#include "api/docker/object_json.h"

#include "api/docker/swarm_answer.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api {
namespace {

Json string_list(const std::vector<std::string>& values) {
  Json list = Json::array();
  for (const std::string& value : values) list.push_back(value);
  return list;
}

Json string_map(const std::map<std::string, std::string>& values) {
  Json object = Json::object();
  for (const auto& [name, value] : values) object[name] = value;
  return object;
}

Json ipam_json(const network::NetworkRecord& network) {
  Json pools = Json::array();
  for (const network::IpamPool& pool : network.pools) {
    Json entry = {{"Subnet", pool.subnet.to_string()}};
    if (pool.range) entry["IPRange"] = pool.range->to_string();
    // A configuration for other networks need not have one.
    bool has_gateway = !pool.gateway.is_unspecified() && !pool.implied_gateway;
    if (has_gateway) entry["Gateway"] = pool.gateway.to_string();
    if (!pool.auxiliary.empty()) {
      for (const auto& [name, address] : pool.auxiliary)
        entry["AuxiliaryAddresses"][name] = address.to_string();
    }
    pools.push_back(std::move(entry));
  }
  Json options = network.ipam_options.empty() ? Json(nullptr) : string_map(network.ipam_options);
  return {{"Driver", "default"}, {"Options", std::move(options)}, {"Config", std::move(pools)}};
}

Json endpoint_resource(const network::EndpointRecord& endpoint) {
  bool has_link = endpoint.ipv4 || endpoint.ipv6;
  return {{"Name", endpoint.container_name},
          {"EndpointID", endpoint.id},
          {"MacAddress", has_link ? endpoint.mac.to_string() : ""},
          {"IPv4Address", endpoint.ipv4 ? endpoint.ipv4->to_string() : ""},
          {"IPv6Address", endpoint.ipv6 ? endpoint.ipv6->to_string() : ""}};
}

Result<std::optional<sys::IpPrefix>> prefix_field(const Json& object, std::string_view key) {
  TRY(std::string text, json_string(object, key));
  if (text.empty()) return std::optional<sys::IpPrefix>();
  auto prefix = sys::IpPrefix::parse(text);
  if (!prefix)
    return failure(Kind::InvalidArgument, "invalid {} \"{}\": expected an address with prefix length", key,
                   text.substr(0, 64));
  return std::optional<sys::IpPrefix>(*prefix);
}

Result<network::NetworkRequest::Pool> parse_pool(const Json& object) {
  network::NetworkRequest::Pool pool;
  TRY(pool.subnet, prefix_field(object, "Subnet"));
  TRY(pool.range, prefix_field(object, "IPRange"));
  TRY(std::string gateway, json_string(object, "Gateway"));
  if (!gateway.empty()) {
    // Some clients send the gateway with its prefix length.
    TRY(pool.gateway, sys::IpAddress::parse(std::string_view(gateway).substr(0, gateway.find('/'))));
  }
  TRY(auto auxiliary, json_string_map(object, "AuxiliaryAddresses"));
  for (const auto& [name, text] : auxiliary) {
    TRY(sys::IpAddress address, sys::IpAddress::parse(text));
    pool.auxiliary.emplace(name, address);
  }
  return pool;
}

/// Keys that docker shows even when nothing is set, by version.
Json image_config_json(const spec::ExecutionConfig& config, ApiVersion version) {
  Json object = to_json_value(config);
  Json always = {{"Cmd", nullptr},     {"Entrypoint", nullptr}, {"Env", nullptr},
                 {"Labels", nullptr},  {"OnBuild", nullptr},    {"User", ""},
                 {"Volumes", nullptr}, {"WorkingDir", ""}};
  if (version < ApiVersion{1, 50}) {
    always.update({{"Hostname", ""},
                   {"Domainname", ""},
                   {"AttachStdin", false},
                   {"AttachStdout", false},
                   {"AttachStderr", false},
                   {"Tty", false},
                   {"OpenStdin", false},
                   {"StdinOnce", false},
                   {"Image", ""}});
  }
  always.update(object);
  return always;
}

/// The image's own, else that of its last step: an import's, or the format of the history.
std::string comment_of(const spec::ImageConfig& config) {
  if (!config.comment.empty() || config.history.empty()) return config.comment;
  return config.history.back().comment;
}

}  // namespace

Json image_inspect_json(const storage::Image& image, ApiVersion version) {
  const spec::ImageConfig& config = *image.config;
  Json layers = Json::array();
  for (const Digest& diff_id : config.diff_ids) layers.push_back(diff_id.str());
  Json object = {{"Id", image.id.str()},
                 {"RepoTags", string_list(image.repo_tags)},
                 {"RepoDigests", string_list(image.repo_digests)},
                 {"Parent", image.parent ? image.parent->str() : ""},
                 {"Comment", comment_of(config)},
                 {"DockerVersion", config.docker_version},
                 {"Author", config.author},
                 {"Config", image_config_json(config.config, version)},
                 {"Architecture", config.platform.architecture},
                 {"Os", config.platform.os},
                 {"Size", image.size},
                 {"GraphDriver", {{"Name", "overlay2"}, {"Data", Json::object()}}},
                 {"RootFS", {{"Type", "layers"}, {"Layers", std::move(layers)}}},
                 {"Metadata", {{"LastTagTime", to_rfc3339(image.last_tagged)}}}};
  if (config.created) object["Created"] = to_rfc3339(*config.created);
  if (!config.platform.variant.empty()) object["Variant"] = config.platform.variant;
  if (version < ApiVersion{1, 44}) object["VirtualSize"] = image.size;
  if (version < ApiVersion{1, 45}) {
    object["Container"] = "";
    object["ContainerConfig"] = nullptr;
  }
  return object;
}

Json image_summary_json(const engine::ImageSummary& summary, ApiVersion version) {
  const storage::Image& image = summary.image;
  const spec::ImageConfig& config = *image.config;
  std::vector<std::string> tags = image.repo_tags;
  std::vector<std::string> digests = image.repo_digests;
  if (version < ApiVersion{1, 43} && tags.empty() && digests.empty()) {
    tags = {"<none>:<none>"};
    digests = {"<none>@<none>"};
  }
  Json labels = config.config.labels.empty() ? Json(nullptr) : string_map(config.config.labels);
  Json object = {{"Containers", version < ApiVersion{1, 51} ? -1 : summary.containers},
                 {"Created", config.created ? to_unix_nanoseconds(*config.created) / 1'000'000'000 : 0},
                 {"Id", image.id.str()},
                 {"Labels", std::move(labels)},
                 {"ParentId", image.parent ? image.parent->str() : ""},
                 {"RepoDigests", string_list(digests)},
                 {"RepoTags", string_list(tags)},
                 {"SharedSize", summary.shared_bytes ? Json(*summary.shared_bytes) : Json(-1)},
                 {"Size", image.size}};
  if (version < ApiVersion{1, 44}) object["VirtualSize"] = image.size;
  return object;
}

Json image_manifests_json(const std::optional<storage::KeptIndex>& index, const storage::Image& image) {
  std::vector<storage::IndexImage> images;
  if (index) {
    images = index->images;
  } else {
    images.push_back({.manifest = image.manifest.value_or(image.id),
                      .image = image.id,
                      .platform = image.config->platform,
                      .size = 0});
  }
  Json list = Json::array();
  for (const storage::IndexImage& one : images) {
    bool is_unpacked = one.image == image.id;
    Json platform = spec::to_json_value(one.platform);
    list.push_back({{"ID", one.manifest.str()},
                    {"Descriptor", {{"digest", one.manifest.str()}, {"platform", platform}}},
                    {"Available", true},
                    {"Kind", "image"},
                    {"Size", {{"Content", one.size}, {"Total", one.size + (is_unpacked ? image.size : 0)}}},
                    {"ImageData",
                     {{"Platform", platform},
                      {"Containers", Json::array()},
                      {"Size", {{"Unpacked", is_unpacked ? image.size : 0}}}}}});
  }
  return list;
}

Json history_json(const std::vector<storage::HistoryItem>& items) {
  Json list = Json::array();
  for (const storage::HistoryItem& item : items) {
    list.push_back({{"Id", item.id},
                    {"Created", to_unix_nanoseconds(item.created) / 1'000'000'000},
                    {"CreatedBy", item.created_by},
                    {"Tags", item.tags.empty() ? Json(nullptr) : string_list(item.tags)},
                    {"Size", item.size},
                    {"Comment", item.comment}});
  }
  return list;
}

Json removed_names_json(const std::vector<storage::RemovedName>& names) {
  Json list = Json::array();
  for (const storage::RemovedName& name : names) {
    bool untagged = name.kind == storage::RemovedName::Kind::Untagged;
    list.push_back({{untagged ? "Untagged" : "Deleted", name.name}});
  }
  return list;
}

Json volume_json(const engine::VolumeRecord& volume) {
  return {{"CreatedAt", to_rfc3339(volume.created)},
          {"Driver", volume.driver},
          {"Labels", volume.labels.empty() ? Json(nullptr) : string_map(volume.labels)},
          {"Mountpoint", volume.mountpoint},
          {"Name", volume.name},
          {"Options", volume.options.empty() ? Json(nullptr) : string_map(volume.options)},
          {"Scope", "local"}};
}

/// Of the default bridge docker always says the MTU, which here may follow the host's uplink.
Json network_options(const network::NetworkRecord& network) {
  Json options = string_map(network.options);
  bool is_default = network.predefined && network.driver == network::NetworkDriver::Bridge;
  if (is_default) options.emplace("com.docker.network.driver.mtu", std::to_string(network.mtu));
  return options;
}

Json network_json(const network::NetworkRecord& network,
                  const std::vector<network::EndpointRecord>& endpoints) {
  Json containers = Json::object();
  for (const network::EndpointRecord& endpoint : endpoints) {
    containers[endpoint.container_id] = endpoint_resource(endpoint);
  }
  return {{"Name", network.name},
          {"Id", network.id},
          {"Created", to_rfc3339(network.created)},
          {"Scope", "local"},
          {"Driver", std::string(to_string(network.driver))},
          {"EnableIPv4", network.enable_ipv4},
          {"EnableIPv6", network.enable_ipv6},
          {"IPAM", ipam_json(network)},
          {"Internal", network.internal},
          {"Attachable", network.attachable},
          {"Ingress", false},
          {"ConfigFrom", {{"Network", network.config_from}}},
          {"ConfigOnly", network.config_only},
          {"Containers", std::move(containers)},
          {"Options", network_options(network)},
          {"Labels", string_map(network.labels)}};
}

Result<network::NetworkRequest> parse_network_request(std::string_view body) {
  TRY(Json object, parse_json(body));
  if (!object.is_object()) return Error(Kind::InvalidArgument, "invalid JSON: the request must be an object");
  network::NetworkRequest request;
  TRY(request.name, json_string(object, "Name"));
  TRY(request.driver, json_string(object, "Driver"));
  if (request.driver.empty() || request.driver == "default") request.driver = "bridge";
  TRY(std::string scope, json_string(object, "Scope"));
  if (scope == "swarm")
    return Error(Kind::Forbidden, "cannot create a swarm scoped network when swarm is not active");
  if (request.driver == "overlay") return Error(Kind::Forbidden, std::string(not_a_manager_words));
  TRY(request.internal, json_bool(object, "Internal"));
  TRY(request.attachable, json_bool(object, "Attachable"));
  if (json_member(object, "EnableIPv4") != nullptr) {
    TRY(request.enable_ipv4, json_bool(object, "EnableIPv4"));
  }
  if (json_member(object, "EnableIPv6") != nullptr) {
    TRY(request.enable_ipv6, json_bool(object, "EnableIPv6"));
  }
  TRY(request.options, json_string_map(object, "Options"));
  TRY(request.labels, json_string_map(object, "Labels"));
  TRY(request.config_only, json_bool(object, "ConfigOnly"));
  if (const Json* from = json_member(object, "ConfigFrom"); from != nullptr && from->is_object()) {
    TRY(request.config_from, json_string(*from, "Network"));
  }
  const Json* ipam = json_member(object, "IPAM");
  if (ipam != nullptr && ipam->is_object()) {
    TRY(request.ipam_options, json_string_map(*ipam, "Options"));
    TRY(std::string driver, json_string(*ipam, "Driver"));
    // Networks without addresses are what drivers of plugins have; docker's own refuse them in these words.
    if (driver == "null") return Error(Kind::InvalidArgument, "ipv4 pool is empty");
    if (!driver.empty() && driver != "default") {
      return failure(Kind::InvalidArgument, "could not find IPAM driver \"{}\": berth has \"default\" alone",
                     driver.substr(0, 64));
    }
    const Json* pools = json_member(*ipam, "Config");
    if (pools != nullptr && pools->is_array()) {
      for (const Json& entry : *pools) {
        if (!entry.is_object())
          return Error(Kind::InvalidArgument, "invalid JSON: IPAM.Config must be a list of objects");
        TRY(auto pool, parse_pool(entry));
        request.pools.push_back(std::move(pool));
      }
    }
  }
  return request;
}

Json event_json(const engine::Event& event, ApiVersion version) {
  int64_t nanoseconds = to_unix_nanoseconds(event.time);
  Json object = {{"Type", event.type},
                 {"Action", event.action},
                 {"Actor", {{"ID", event.actor_id}, {"Attributes", string_map(event.attributes)}}},
                 {"scope", event.scope},
                 {"time", nanoseconds / 1'000'000'000},
                 {"timeNano", nanoseconds}};
  // Fields of API 1.21 and before that docker still sends for containers and images.
  bool legacy = version < ApiVersion{1, 52} && (event.type == "container" || event.type == "image");
  if (legacy) {
    object["status"] = event.action;
    object["id"] = event.actor_id;
    auto image = event.attributes.find("image");
    if (event.type == "container" && image != event.attributes.end()) object["from"] = image->second;
  }
  return object;
}

}  // namespace berth::api
