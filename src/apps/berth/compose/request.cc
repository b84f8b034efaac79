#include "apps/berth/compose/request.h"

#include <algorithm>

#include "apps/berth/compose/request_parts.h"
#include "apps/berth/options/mounts.h"
#include "apps/berth/options/ports.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using Strings = std::vector<std::string>;

Json labels_of(const Project& project, const Service& service, const CreateInput& input) {
  Json labels = Json::object();
  if (const Value* own = service.config.find("labels")) {
    for (const auto& [name, value] : own->members) labels[name] = value.text;
  }
  if (input.one_off) {
    for (const std::string& label : input.one_off->labels) {
      size_t equals = label.find('=');
      labels[label.substr(0, equals)] = equals == std::string::npos ? "" : label.substr(equals + 1);
    }
  }
  auto set = [&](std::string_view key, std::string value) { labels[std::string(key)] = std::move(value); };
  set(label_project, project.name);
  set(label_service, service.name);
  set(label_number, fmt::format("{}", input.number));
  set(label_one_off, input.one_off ? "True" : "False");
  set(label_hash, input.hash);
  if (!input.grants.empty()) set(label_grants, input.grants);
  set(label_image, input.image_id);
  set(label_version, std::string(compose_version));
  set(label_directory, project.directory);
  set(label_files, fmt::format("{}", fmt::join(project.files, ",")));
  if (!project.env_files.empty()) set(label_env_file, fmt::format("{}", fmt::join(project.env_files, ",")));
  std::string depends;
  for (const auto& [name, dependency] : service.depends_on) {
    depends +=
        fmt::format("{}{}:{}:{}", depends.empty() ? "" : ",", name, dependency.condition, dependency.restart);
  }
  set(label_depends_on, depends);
  if (!input.replaces.empty()) set(label_replace, input.replaces);
  return labels;
}

Result<Json> environment_of(const Service& service, const CreateInput& input) {
  std::map<std::string, std::optional<std::string>> variables;
  if (const Value* environment = service.config.find("environment")) {
    for (const auto& [name, value] : environment->members)
      variables[name] = value.is_null() ? std::nullopt : std::optional(value.text);
  }
  if (input.one_off) {
    for (const auto& [name, value] : input.one_off->environment) variables[name] = value;
  }
  Json list = Json::array();
  // A name alone takes the variable away that the image has.
  for (const auto& [name, value] : variables)
    list.push_back(value ? fmt::format("{}={}", name, *value) : name);
  return list;
}

Result<void> add_ports(const Service& service, const CreateInput& input, Json& config, Json& host) {
  Json exposed = Json::object();
  Json bindings = Json::object();
  TRY(Strings expose, texts_of(service.config, "expose", service.path()));
  TRY(auto extra, options::parse_ports(input.one_off ? input.one_off->publish : Strings(), expose));
  for (const std::string& port : extra.exposed) exposed[port] = Json::object();
  auto bind = [&](const std::string& port, const std::string& address, const std::string& published) {
    exposed[port] = Json::object();
    bindings[port].push_back({{"HostIp", address}, {"HostPort", published}});
  };
  for (const auto& [port, list] : extra.bindings) {
    for (const auto& binding : list) bind(port, binding.host_ip, binding.host_port);
  }
  const Value* ports = service.config.find("ports");
  bool published = !input.one_off || input.one_off->service_ports;
  for (const Value& port : ports == nullptr || !published ? Value::List() : ports->items) {
    std::string name = fmt::format("{}/{}", port.find("target")->text, port.find("protocol")->text);
    TRY(std::string address, text_of(port, "host_ip", service.path() + ".ports"));
    TRY(std::string host_port, text_of(port, "published", service.path() + ".ports"));
    bind(name, address, host_port);
  }
  config["ExposedPorts"] = std::move(exposed);
  host["PortBindings"] = std::move(bindings);
  return {};
}

/// "service:X" as "container:ID".
Result<std::string> shared_mode(const Service& service, std::string_view key, const CreateInput& input) {
  TRY(std::string mode, text_of(service.config, key, service.path()));
  if (!mode.starts_with("service:")) return mode;
  auto container = input.container_of ? input.container_of(mode.substr(8)) : std::nullopt;
  if (!container) {
    const std::string_view kind = key == "network_mode" ? "network" : key == "ipc" ? "IPC" : "PID";
    return complaint(
        *service.config.find(key), fmt::format("{}.{}", service.path(), key),
        fmt::format("cannot share {} namespace with service {}: container missing", kind, mode.substr(8)));
  }
  return "container:" + *container;
}

Result<void> add_namespaces(const Service& service, const CreateInput& input, Json& host) {
  for (auto [key, name] : {std::pair{"ipc", "IpcMode"}, {"pid", "PidMode"}}) {
    TRY(std::string mode, shared_mode(service, key, input));
    if (!mode.empty()) host[name] = mode;
  }
  for (auto [key, name] :
       {std::pair{"uts", "UTSMode"}, {"userns_mode", "UsernsMode"}, {"cgroup", "CgroupnsMode"}}) {
    TRY(std::string mode, text_of(service.config, key, service.path()));
    if (!mode.empty()) host[name] = mode;
  }
  return {};
}

Result<Json> links_of(const Project& project, const Service& service, const CreateInput& input) {
  Json links = Json::array();
  TRY(Strings own, texts_of(service.config, "links", service.path()));
  for (const std::string& link : own) {
    std::string other = link.substr(0, link.find(':'));
    std::string alias = link.find(':') == std::string::npos ? other : link.substr(link.find(':') + 1);
    auto known = project.services.find(other);
    if (known == project.services.end()) continue;
    if (!input.container_of || !input.container_of(other)) continue;
    // By these three names docker's compose links.
    std::string container = project.container_name(known->second, 1);
    for (const std::string& name :
         {alias, fmt::format("{}{}{}", other, project.separator, input.number),
          fmt::format("{}{}{}{}{}", project.name, project.separator, other, project.separator, input.number)})
      links.push_back(fmt::format("{}:{}", container, name));
  }
  TRY(Strings external, texts_of(service.config, "external_links", service.path()));
  for (const std::string& link : external) {
    links.push_back(link.find(':') == std::string::npos ? fmt::format("{}:{}", link, link) : link);
  }
  return links;
}

Result<Json> endpoint_of(const Project& project, const Service& service, const Value* settings,
                         const CreateInput& input, const std::string& path) {
  Json endpoint = Json::object();
  Json aliases = Json::array();
  if (!input.one_off || input.one_off->use_aliases) {
    aliases.push_back(service.name);
    aliases.push_back(project.container_name(service, input.number));
  }
  if (settings != nullptr && settings->is_map()) {
    TRY(Strings own, texts_of(*settings, "aliases", path));
    if (!input.one_off || input.one_off->use_aliases) {
      for (const std::string& alias : own) aliases.push_back(alias);
    }
    Json ipam = Json::object();
    TRY(std::string ipv4, text_of(*settings, "ipv4_address", path));
    TRY(std::string ipv6, text_of(*settings, "ipv6_address", path));
    TRY(Strings local, texts_of(*settings, "link_local_ips", path));
    if (!ipv4.empty()) ipam["IPv4Address"] = ipv4;
    if (!ipv6.empty()) ipam["IPv6Address"] = ipv6;
    if (!local.empty()) ipam["LinkLocalIPs"] = local;
    endpoint["IPAMConfig"] = std::move(ipam);
    TRY(std::string mac, text_of(*settings, "mac_address", path));
    if (!mac.empty()) endpoint["MacAddress"] = mac;
    TRY(auto priority, int_of(*settings, "gw_priority", path));
    if (priority) endpoint["GwPriority"] = *priority;
    TRY(auto driver, text_map_of(*settings, "driver_opts", path));
    TRY(std::string interface, text_of(*settings, "interface_name", path));
    if (!interface.empty()) driver["com.docker.network.endpoint.ifname"] = interface;
    if (!driver.empty()) endpoint["DriverOpts"] = driver;
  }
  endpoint["Aliases"] = std::move(aliases);
  TRY(Json links, links_of(project, service, input));
  if (!links.empty()) endpoint["Links"] = std::move(links);
  return endpoint;
}

Result<void> add_networks(const Project& project, const Service& service, const CreateInput& input,
                          Json& body) {
  Json& host = body["HostConfig"];
  if (service.config.find("network_mode") != nullptr) {
    TRY(std::string mode, shared_mode(service, "network_mode", input));
    host["NetworkMode"] = mode;
    return {};
  }
  auto networks = networks_of(project, service);
  if (networks.empty()) {
    host["NetworkMode"] = "none";
    return {};
  }
  host["NetworkMode"] = networks[0].first;
  Json endpoints = Json::object();
  for (const auto& [name, settings] : networks) {
    TRY(endpoints[name], endpoint_of(project, service, settings, input, service.path() + ".networks"));
  }
  body["NetworkingConfig"]["EndpointsConfig"] = std::move(endpoints);
  return {};
}

Result<Json> volumes_from(const Service& service, const CreateInput& input) {
  Json list = Json::array();
  TRY(Strings sources, texts_of(service.config, "volumes_from", service.path()));
  for (const std::string& source : sources) {
    if (source.starts_with("container:")) {
      list.push_back(source.substr(10));
      continue;
    }
    std::string name = source.substr(0, source.find(':'));
    std::string mode = source.find(':') == std::string::npos ? "" : source.substr(source.find(':'));
    auto container = input.container_of ? input.container_of(name) : std::nullopt;
    if (!container) {
      return complaint(*service.config.find("volumes_from"), service.path() + ".volumes_from",
                       fmt::format("cannot share volume with service {}: container missing", name));
    }
    list.push_back(*container + mode);
  }
  return list;
}

/// What `config` shows and no container of this engine can have.
Result<void> refuse_what_cannot_be(const Service& service) {
  auto refuse = [&](std::string_view key, std::string_view why) -> Result<void> {
    const Value* value = service.config.find(key);
    if (value == nullptr || value->is_null() || value->text == "false") return {};
    return complaint(*value, service.path() + "." + std::string(key), std::string(why));
  };
  CHECK(refuse("models", "is not supported: berth runs no models"));
  CHECK(refuse("credential_spec", "is not supported: it is for Windows containers"));
  return refuse("use_api_socket", "is not supported: mount the engine's socket with \"volumes\"");
}

void apply_one_off(const OneOff& one, Json& body) {
  Json& host = body["HostConfig"];
  if (one.command) body["Cmd"] = *one.command;
  if (one.entrypoint) {
    body["Entrypoint"] = *one.entrypoint;
    if (!one.command) body["Cmd"] = Json::array();
  }
  if (!one.user.empty()) body["User"] = one.user;
  if (!one.working_directory.empty()) body["WorkingDir"] = one.working_directory;
  body["Tty"] = one.tty;
  body["OpenStdin"] = one.interactive;
  body["StdinOnce"] = one.interactive;
  body["AttachStdin"] = one.interactive;
  body["AttachStdout"] = true;
  body["AttachStderr"] = true;
  host["AutoRemove"] = one.auto_remove;
  host["RestartPolicy"] = {{"Name", "no"}};
  for (const std::string& capability : one.cap_add) host["CapAdd"].push_back(capability);
  for (const std::string& capability : one.cap_drop) host["CapDrop"].push_back(capability);
  body.erase("Healthcheck");
}

}  // namespace

std::string host_line(std::string line) {
  const size_t equals = line.find('=');
  if (equals != std::string::npos) line[equals] = ':';
  return line;
}

std::string image_of(const Project& project, const Service& service) {
  const Value* image = service.config.find("image");
  return image != nullptr ? image->text : project.name + project.separator + service.name;
}

std::vector<std::pair<std::string, const Value*>> networks_of(const Project& project,
                                                              const Service& service) {
  std::vector<std::pair<std::string, const Value*>> networks;
  const Value* own = service.config.find("networks");
  if (own == nullptr || service.config.find("network_mode") != nullptr) return networks;
  for (const auto& [key, settings] : own->members) {
    auto found = project.networks.find(key);
    if (found != project.networks.end()) networks.emplace_back(found->second.name, &settings);
  }
  auto priority = [](const Value* settings) {
    auto number = settings != nullptr ? int_of(*settings, "priority", "") : std::optional<int64_t>();
    return number && *number ? **number : 0;
  };
  std::stable_sort(networks.begin(), networks.end(),
                   [&](const auto& a, const auto& b) { return priority(a.second) > priority(b.second); });
  return networks;
}

Result<Json> endpoint_body(const Project& project, const Service& service, const Value* settings,
                           const CreateInput& input) {
  return endpoint_of(project, service, settings, input, service.path() + ".networks");
}

Result<Json> create_body(const Project& project, const Service& service, const CreateInput& input) {
  CHECK(refuse_what_cannot_be(service));
  Json body = Json::object();
  CHECK(add_program(service, body));
  body["Image"] = image_of(project, service);
  TRY(body["Env"], environment_of(service, input));
  body["Labels"] = labels_of(project, service, input);
  Json host = Json::object();
  CHECK(add_ports(service, input, body, host));
  CHECK(add_namespaces(service, input, host));
  CHECK(add_security(service, host));
  CHECK(add_limits(service, host));
  CHECK(add_surroundings(service, host));
  TRY(host["VolumesFrom"], volumes_from(service, input));
  CHECK(add_mounts(project, service, input.kept_volumes, host));
  if (input.one_off && !input.one_off->volumes.empty()) {
    TRY(auto volumes, options::parse_volumes(input.one_off->volumes));
    for (const std::string& bind : volumes.binds) host["Binds"].push_back(bind);
    for (const std::string& target : volumes.anonymous) body["Volumes"][target] = Json::object();
  }
  TRY(Json links, links_of(project, service, input));
  if (!links.empty()) host["Links"] = std::move(links);
  body["HostConfig"] = std::move(host);
  CHECK(add_networks(project, service, input, body));
  if (input.one_off) apply_one_off(*input.one_off, body);
  return body;
}

}  // namespace berth::cli::compose
