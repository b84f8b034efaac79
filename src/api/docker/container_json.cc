// Container objects.
#include "api/docker/container_json.h"

#include <algorithm>

#include "base/format.h"
#include "base/json.h"
#include "base/json_text.h"
#include "launch/apparmor.h"
#include "launch/defaults.h"

namespace berth::api {
namespace {

using engine::ContainerRecord;
using engine::Status;

Json string_list(const std::vector<std::string>& values) {
  Json list = Json::array();
  for (const std::string& value : values) list.push_back(value);
  return list;
}

/// As it was asked for: that the engine maps all users (--userns-remap) is not the container's affair.
Json host_config_json(const spec::HostConfig& config) {
  Json object = to_json_value(config);
  if (config.userns_mode.starts_with("remap:")) object["UsernsMode"] = "";
  return object;
}

Json health_json(const engine::Health& health) {
  Json log = Json::array();
  for (const engine::HealthProbe& probe : health.log) {
    log.push_back({{"Start", to_rfc3339(probe.start)},
                   {"End", to_rfc3339(probe.end)},
                   {"ExitCode", probe.exit_code},
                   {"Output", probe.output}});
  }
  return {{"Status", std::string(to_string(health.status))},
          {"FailingStreak", health.failing_streak},
          {"Log", std::move(log)}};
}

Json state_json(const engine::ContainerState& state) {
  Json object = {{"Status", std::string(to_string(state.status))},
                 {"Running", engine::is_alive(state.status)},
                 {"Paused", state.status == Status::Paused},
                 {"Restarting", state.status == Status::Restarting},
                 {"OOMKilled", state.oom_killed},
                 {"Dead", state.status == Status::Dead},
                 {"Pid", state.pid},
                 {"ExitCode", state.exit_code},
                 {"Error", state.error},
                 {"StartedAt", to_rfc3339(state.started)},
                 {"FinishedAt", to_rfc3339(state.finished)}};
  if (!state.denied_calls.empty()) object["DeniedCalls"] = state.denied_calls;
  if (state.health.status != engine::HealthStatus::None) object["Health"] = health_json(state.health);
  return object;
}

struct Link {
  std::string_view container;
  std::string_view alias;
};

Link split_link(std::string_view text) {
  const size_t colon = text.rfind(':');
  const std::string_view container = text.substr(0, colon);
  return {container, colon == text.npos ? container : text.substr(colon + 1)};
}

/// "db:alias" as docker shows it: "/db:/self/alias".
std::string link_path(const ContainerRecord& record, std::string_view text) {
  const Link link = split_link(text);
  return fmt::format("/{}:/{}/{}", link.container, record.name, link.alias);
}

Json mount_json(const engine::MountPoint& mount) {
  Json object = {{"Type", std::string(to_string(mount.type))}};
  if (!mount.name.empty()) object["Name"] = mount.name;
  object["Source"] = mount.source;
  object["Destination"] = mount.destination;
  if (!mount.driver.empty()) object["Driver"] = mount.driver;
  object["Mode"] = mount.mode;
  object["RW"] = mount.read_write;
  object["Propagation"] = mount.propagation;
  return object;
}

Json mounts_json(const std::vector<engine::MountPoint>& mounts) {
  Json list = Json::array();
  for (const engine::MountPoint& mount : mounts) list.push_back(mount_json(mount));
  return list;
}

/// The endpoint whose addresses docker repeats at the top of NetworkSettings: the default bridge's.
const spec::EndpointSettings* default_endpoint(const ContainerRecord& record) {
  auto it = record.endpoints.find("bridge");
  return it == record.endpoints.end() ? nullptr : &it->second;
}

Json network_settings_json(const ContainerRecord& record) {
  static const spec::EndpointSettings none;
  const spec::EndpointSettings* bridge = default_endpoint(record);
  const spec::EndpointSettings& shown = bridge == nullptr ? none : *bridge;
  bool alive = engine::is_alive(record.state.status);
  return {
      {"Bridge", ""},
      {"SandboxID", alive ? record.id : ""},
      {"SandboxKey", alive && record.state.pid > 0 ? fmt::format("/proc/{}/ns/net", record.state.pid) : ""},
      {"Ports", to_json_value(record.ports)},
      {"HairpinMode", false},
      {"LinkLocalIPv6Address", ""},
      {"LinkLocalIPv6PrefixLen", 0},
      {"SecondaryIPAddresses", nullptr},
      {"SecondaryIPv6Addresses", nullptr},
      {"EndpointID", shown.endpoint_id},
      {"Gateway", shown.gateway},
      {"GlobalIPv6Address", shown.global_ipv6_address},
      {"GlobalIPv6PrefixLen", shown.global_ipv6_prefix_len},
      {"IPAddress", shown.ip_address},
      {"IPPrefixLen", shown.ip_prefix_len},
      {"IPv6Gateway", shown.ipv6_gateway},
      {"MacAddress", shown.mac_address},
      {"Networks", to_json_value(record.endpoints)}};
}

std::string apparmor_profile(const spec::HostConfig& host_config) {
  if (host_config.privileged) return "unconfined";
  for (const std::string& option : host_config.security_opt) {
    if (option.starts_with("apparmor=") || option.starts_with("apparmor:"))
      return option.substr(std::string_view("apparmor=").size());
  }
  return launch::default_apparmor_profile();
}

Json graph_driver_json(const ContainerRecord& record) {
  Json data = {{"ID", record.id}};
  return {{"Name", "overlay2"}, {"Data", std::move(data)}};
}

/// Words such as "Up 5 minutes" count from the start; "ago" from the end.
std::string ago(Timestamp then, Timestamp now) {
  return human_duration(now - then) + " ago";
}

/// As docker shows it: arguments with spaces in quotes.
std::string command_line(const ContainerRecord& record) {
  std::string text = record.path;
  for (const std::string& argument : record.args) {
    const std::string_view quote = argument.find(' ') == std::string::npos ? "" : "'";
    text.append(" ").append(quote).append(argument).append(quote);
  }
  return text;
}

/// Published bindings with their address, exposed ports without.
Json port_summaries(const ContainerRecord& record) {
  Json list = Json::array();
  for (const auto& [port, bindings] : record.ports) {
    auto parsed = spec::parse_container_port(port);
    if (!parsed) continue;
    Json exposed = {{"PrivatePort", parsed->port}, {"Type", parsed->protocol}};
    if (bindings.empty()) list.push_back(exposed);
    for (const spec::PortBinding& binding : bindings) {
      Json published = exposed;
      published["IP"] = binding.host_ip;
      if (!binding.host_port.empty()) published["PublicPort"] = std::atoi(binding.host_port.c_str());
      list.push_back(std::move(published));
    }
  }
  return list;
}

}  // namespace

std::string human_duration(std::chrono::nanoseconds duration) {
  int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return fmt::format("{} seconds", seconds);
  int64_t minutes = seconds / 60;
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return fmt::format("{} minutes", minutes);
  int64_t hours = static_cast<int64_t>(static_cast<double>(seconds) / 3600 + 0.5);
  if (hours == 1) return "About an hour";
  if (hours < 48) return fmt::format("{} hours", hours);
  if (hours < 24 * 7 * 2) return fmt::format("{} days", hours / 24);
  if (hours < 24 * 30 * 2) return fmt::format("{} weeks", hours / 24 / 7);
  if (hours < 24 * 365 * 2) return fmt::format("{} months", hours / 24 / 30);
  return fmt::format("{} years", seconds / 3600 / 24 / 365);
}

std::string status_words(const ContainerRecord& record, Timestamp now) {
  const engine::ContainerState& state = record.state;
  switch (state.status) {
    case Status::Created:
      return "Created";
    case Status::Removing:
      return "Removal In Progress";
    case Status::Dead:
      return "Dead";
    case Status::Restarting:
      return fmt::format("Restarting ({}) {}", state.exit_code, ago(state.finished, now));
    case Status::Exited:
      return fmt::format("Exited ({}) {}", state.exit_code, ago(state.finished, now));
    case Status::Paused:
      return fmt::format("Up {} (Paused)", human_duration(now - state.started));
    case Status::Running:
      break;
  }
  std::string words = "Up " + human_duration(now - state.started);
  switch (state.health.status) {
    case engine::HealthStatus::None:
      break;
    case engine::HealthStatus::Starting:
      words += " (health: starting)";
      break;
    case engine::HealthStatus::Healthy:
      words += " (healthy)";
      break;
    case engine::HealthStatus::Unhealthy:
      words += " (unhealthy)";
      break;
  }
  return words;
}

void add_system_paths(const ContainerRecord& record, const launch::HostFacts& host, Json& inspected) {
  const spec::HostConfig& settings = record.host_config;
  bool ours = !settings.privileged &&
              std::none_of(settings.security_opt.begin(), settings.security_opt.end(),
                           [](const std::string& option) { return option.starts_with("systempaths"); });
  if (!ours) return;
  const spec::RuntimeSpec defaults = launch::default_container_spec(host);
  Json& shown = inspected["HostConfig"];
  if (!settings.masked_paths) shown["MaskedPaths"] = string_list(defaults.masked_paths);
  if (!settings.readonly_paths) shown["ReadonlyPaths"] = string_list(defaults.readonly_paths);
}

Json container_inspect_json(const ContainerRecord& record, std::optional<engine::ContainerSize> size,
                            ApiVersion version) {
  Json object = {{"Id", record.id},
                 {"Created", to_rfc3339(record.created)},
                 {"Path", record.path},
                 {"Args", string_list(record.args)},
                 {"State", state_json(record.state)},
                 {"Image", record.image_id.str()},
                 {"ResolvConfPath", record.resolv_conf_path},
                 {"HostnamePath", record.hostname_path},
                 {"HostsPath", record.hosts_path},
                 {"LogPath", record.log_path},
                 {"Name", "/" + record.name},
                 {"RestartCount", record.restart_count},
                 {"Driver", "overlay2"},
                 {"Platform", record.platform},
                 {"MountLabel", ""},
                 {"ProcessLabel", ""},
                 {"AppArmorProfile", apparmor_profile(record.host_config)},
                 {"ExecIDs", record.exec_ids.empty() ? Json(nullptr) : string_list(record.exec_ids)},
                 {"HostConfig", host_config_json(record.host_config)},
                 {"GraphDriver", graph_driver_json(record)},
                 {"Mounts", mounts_json(record.mounts)},
                 {"Config", to_json_value(record.config)},
                 {"NetworkSettings", network_settings_json(record)}};
  if (Json& links = object["HostConfig"]["Links"]; links.is_array()) {
    for (Json& link : links) link = link_path(record, link.get<std::string>());
  }
  if (size) {
    object["SizeRw"] = size->writable;
    object["SizeRootFs"] = size->root;
  }
  if (version < ApiVersion{1, 45}) {
    for (auto& [name, endpoint] : object["NetworkSettings"]["Networks"].items()) {
      if (name == "bridge" || name == "host" || name == "none") continue;
      Json& aliases = endpoint["Aliases"];
      if (!aliases.is_array()) aliases = Json::array();
      aliases.push_back(record.short_id());
    }
  }
  return object;
}

void append_container_summary(std::string& out, const ContainerRecord& record,
                              std::optional<engine::ContainerSize> size, Timestamp now,
                              const SummaryView& view) {
  JsonText object(out);
  object.text("Id", record.id);
  append_json_string(object.begin("Names").append("["), "/" + record.name);
  for (const std::string& name : view.link_names) append_json_string(out.append(","), name);
  out.push_back(']');
  object.text("Image", view.image_renamed ? record.image_id.str() : record.config.image)
      .text("ImageID", record.image_id.str())
      .text("Command", command_line(record))
      .number("Created", to_unix_nanoseconds(record.created) / 1'000'000'000)
      .raw("Ports", record.ports.empty() ? "[]" : to_json(port_summaries(record)));
  {
    object.begin("Labels");
    JsonText labels(out);
    for (const auto& [name, value] : record.config.labels) labels.text(name, value);
  }
  object.text("State", to_string(record.state.status)).text("Status", status_words(record, now));
  {
    object.begin("HostConfig");
    JsonText host_config(out);
    const std::string& mode = record.host_config.network_mode;
    host_config.text("NetworkMode", mode.empty() ? "default" : mode);
    if (!record.host_config.annotations.empty() && view.version >= ApiVersion{1, 46})
      host_config.raw("Annotations", to_json(record.host_config.annotations));
  }
  {
    object.begin("NetworkSettings");
    JsonText settings(out);
    settings.raw("Networks", to_json(to_json_value(record.endpoints)));
  }
  object.raw("Mounts", record.mounts.empty() ? "[]" : to_json(mounts_json(record.mounts)));
  if (size) object.number("SizeRw", size->writable).number("SizeRootFs", size->root);
}

std::map<std::string, std::vector<std::string>> link_names_of(
    const std::vector<engine::ContainerPtr>& containers) {
  std::map<std::string, std::vector<std::string>> names;
  for (const engine::ContainerPtr& linking : containers) {
    for (const std::string& text : linking->host_config.links) {
      const Link link = split_link(text);
      auto target =
          std::find_if(containers.begin(), containers.end(), [&](const engine::ContainerPtr& other) {
            return other->name == link.container ||
                   (link.container.size() >= 12 && other->id.starts_with(link.container));
          });
      if (target != containers.end())
        names[(*target)->id].push_back(fmt::format("/{}/{}", linking->name, link.alias));
    }
  }
  return names;
}

Json container_summary_json(const ContainerRecord& record, std::optional<engine::ContainerSize> size,
                            Timestamp now) {
  std::string text;
  append_container_summary(text, record, size, now);
  auto object = parse_json(text);
  return object ? std::move(*object) : Json::object();
}

Json top_json(const engine::ProcessTable& table) {
  Json rows = Json::array();
  for (const auto& row : table.rows) rows.push_back(string_list(row));
  return {{"Titles", string_list(table.titles)}, {"Processes", std::move(rows)}};
}

Json changes_json(const std::vector<storage::Change>& changes) {
  if (changes.empty()) return nullptr;
  Json list = Json::array();
  for (const storage::Change& change : changes) {
    list.push_back({{"Path", change.path}, {"Kind", static_cast<int>(change.kind)}});
  }
  return list;
}

Json wait_json(const engine::WaitOutcome& outcome) {
  Json object = {{"StatusCode", outcome.status_code}};
  if (!outcome.error.empty()) object["Error"] = {{"Message", outcome.error}};
  return object;
}

Json exec_inspect_json(const engine::ExecRecord& exec, const ContainerRecord&) {
  std::vector<std::string> arguments(exec.config.cmd.begin() + (exec.config.cmd.empty() ? 0 : 1),
                                     exec.config.cmd.end());
  Json process = {{"tty", exec.config.tty},
                  {"entrypoint", exec.config.cmd.empty() ? "" : exec.config.cmd.front()},
                  {"arguments", string_list(arguments)},
                  {"privileged", exec.config.privileged}};
  if (!exec.config.user.empty()) process["user"] = exec.config.user;
  return {{"ID", exec.id},
          {"Running", exec.running},
          {"ExitCode", exec.exit_code ? Json(*exec.exit_code) : Json(nullptr)},
          {"ProcessConfig", std::move(process)},
          {"OpenStdin", exec.open_stdin},
          {"OpenStderr", exec.open_stderr},
          {"OpenStdout", exec.open_stdout},
          {"CanRemove", !exec.running && exec.started},
          {"ContainerID", exec.container_id},
          {"DetachKeys", exec.config.detach_keys},
          {"Pid", exec.pid}};
}

Json path_stat_json(const storage::PathStat& stat) {
  return {{"name", stat.name},
          {"size", stat.size},
          {"mode", stat.mode},
          // A file may really be from 1970: here zero does not mean never.
          {"mtime", to_unix_nanoseconds(stat.mtime) == 0 ? "1970-01-01T00:00:00Z" : to_rfc3339(stat.mtime)},
          {"linkTarget", stat.link_target}};
}

}  // namespace berth::api
