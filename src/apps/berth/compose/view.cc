// ps, logs, ls, top, port, events, version, volumes, stats.
#include <algorithm>
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/compose/follow.h"
#include "apps/berth/compose/images.h"
#include "apps/berth/compose/provider.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/subcommand.h"
#include "apps/berth/options/moment.h"
#include "apps/berth/output/progress.h"
#include "apps/berth/output/table.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;
using grammar::Command;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using grammar::Visibility;

std::string text(const Json& json, std::string_view key) {
  return json_string(json, key).value_or("");
}

std::string ports_of(const Json& container) {
  std::set<std::string> parts;
  const Json* ports = json_member(container, "Ports");
  for (const Json& port : ports == nullptr ? Json::array() : *ports) {
    std::string target = fmt::format("{}/{}", json_int(port, "PrivatePort").value_or(0), text(port, "Type"));
    std::string address = text(port, "IP");
    if (address.find(':') != std::string::npos) address = "[" + address + "]";
    int64_t published = json_int(port, "PublicPort").value_or(0);
    parts.insert(published == 0 ? target : fmt::format("{}:{}->{}", address, published, target));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

Json row_of(const Session& session, const Json& container, bool whole) {
  const Json* labels = json_member(container, "Labels");
  auto names = json_strings(container, "Names").value_or(std::vector<std::string>());
  std::string name = names.empty() ? "" : names[0].substr(names[0].starts_with('/') ? 1 : 0);
  std::string status = text(container, "Status");
  std::string health;
  for (std::string_view word : {"healthy", "unhealthy", "health: starting"}) {
    if (status.find(fmt::format("({})", word)) != std::string::npos)
      health = word == "health: starting" ? "starting" : word;
  }
  int64_t exit_code = 0;
  if (size_t open = status.find("Exited ("); open != std::string::npos)
    exit_code = std::atoll(status.c_str() + open + 8);
  Json publishers = Json::array();
  const Json* ports = json_member(container, "Ports");
  for (const Json& port : ports == nullptr ? Json::array() : *ports) {
    publishers.push_back({{"URL", text(port, "IP")},
                          {"TargetPort", json_int(port, "PrivatePort").value_or(0)},
                          {"PublishedPort", json_int(port, "PublicPort").value_or(0)},
                          {"Protocol", text(port, "Type")}});
  }
  const std::string command = text(container, "Command");
  return {{"ID", whole ? text(container, "Id") : output::short_id(text(container, "Id"))},
          {"Name", name},
          {"Names", name},
          {"Image", text(container, "Image")},
          {"Command", output::quoted(whole ? command : output::ellipsis(command, 20))},
          {"Project", session.project.name},
          {"Service", labels == nullptr ? "" : text(*labels, label_service)},
          {"Created", json_int(container, "Created").value_or(0)},
          {"CreatedAt", ""},
          {"State", text(container, "State")},
          {"Status", status},
          {"Health", health},
          {"ExitCode", exit_code},
          {"Publishers", publishers},
          {"Ports", ports_of(container)}};
}

Outcome<std::vector<Json>> rows(Session& session, const Invocation& invocation) {
  Query query;
  query.add("all", "1").add("filters", label_filter(session.project.name));
  TRY(Json list, call_json(session.context.engine(), "GET", "/containers/json", std::move(query)));
  auto statuses = invocation.list("status");
  for (const std::string& filter : invocation.list("filter")) {
    if (!filter.starts_with("status="))
      return refuse("unknown filter \"{}\": only status=... is known", filter);
    statuses.push_back(filter.substr(7));
  }
  const auto& services = invocation.arguments();
  bool all = invocation.on("all") || !statuses.empty();
  std::vector<Json> result;
  for (const Json& container : list) {
    const Json* labels = json_member(container, "Labels");
    if (labels != nullptr && text(*labels, label_one_off) == "True" && !all) continue;
    Json row = row_of(session, container, invocation.on("no-trunc"));
    const std::string service = row["Service"];
    const bool orphan = !session.project.files.empty() && !session.project.services.contains(service) &&
                        !session.project.disabled.contains(service);
    if (orphan && !invocation.on("orphans")) continue;
    std::string state = row["State"];
    if (!statuses.empty() && std::find(statuses.begin(), statuses.end(), state) == statuses.end()) continue;
    if (!all && state != "running" && state != "paused" && state != "restarting") continue;
    if (!services.empty() &&
        std::find(services.begin(), services.end(), row["Service"].get<std::string>()) == services.end())
      continue;
    result.push_back(std::move(row));
  }
  std::sort(result.begin(), result.end(), [](const Json& a, const Json& b) { return a["Name"] < b["Name"]; });
  return result;
}

Outcome<int> list_containers(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  if (!invocation.arguments().empty()) CHECK(session->services(invocation.arguments()));
  TRY(auto all, rows(*session, invocation));
  output::Stream& out = setup.context.out;
  std::string format = invocation.text("format");
  if (invocation.on("quiet")) {
    for (const Json& row : all) out.line(row["ID"].get<std::string>());
  } else if (invocation.on("services")) {
    std::set<std::string> names;
    for (const Json& row : all) names.insert(row["Service"].get<std::string>());
    for (const std::string& name : names) out.line(name);
  } else if (format == "json") {
    for (const Json& row : all) out.line(to_json(row));
  } else if (format.empty() || format == "table") {
    std::string table = "NAME\tIMAGE\tCOMMAND\tSERVICE\tCREATED\tSTATUS\tPORTS\n";
    Timestamp time = now();
    for (const Json& row : all) {
      Timestamp created = from_unix_nanoseconds(row["Created"].get<int64_t>() * 1'000'000'000);
      table += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\n", row["Name"].get<std::string>(),
                           row["Image"].get<std::string>(), row["Command"].get<std::string>(),
                           row["Service"].get<std::string>(), output::time_ago(created, time),
                           row["Status"].get<std::string>(), row["Ports"].get<std::string>());
    }
    out.write(output::align_columns(table));
  } else {
    return refuse("format \"{}\": berth compose has table and json", format);
  }
  return 0;
}

Outcome<int> logs(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  int64_t index = invocation.number("index");
  FollowOptions options{.follow = invocation.on("follow"),
                        .prefix = !invocation.on("no-log-prefix"),
                        .colour = !invocation.on("no-color"),
                        .timestamps = invocation.on("timestamps"),
                        .tail = invocation.text("tail")};
  Timestamp time = now();
  TRY(options.since, options::api_time(invocation.text("since"), time));
  TRY(options.until, options::api_time(invocation.text("until"), time));
  CHECK(setup.context.engine().negotiate());
  Follower follower(*session, options);
  for (const Observed& container : containers) follower.reserve(shown_name(session->project, container));
  for (const Observed& container : containers) {
    if (index != 0 && container.number != index) continue;
    follower.add(container);
    if (!options.follow) follower.wait();
  }
  follower.wait();
  return 0;
}

Outcome<int> list_projects(Setup& setup, const Invocation& invocation) {
  Query query;
  query.add("all", "1").add("filters", to_json(Json{{"label", {label_project}}}));
  TRY(Json list, call_json(setup.context.engine(), "GET", "/containers/json", std::move(query)));
  struct Seen {
    std::map<std::string, int> states;
    std::string files;
  };
  std::map<std::string, Seen> projects;
  for (const Json& container : list) {
    const Json* labels = json_member(container, "Labels");
    if (labels == nullptr || text(*labels, label_one_off) == "True") continue;
    std::string state = text(container, "State");
    if (!invocation.on("all") && state != "running" && state != "paused" && state != "restarting") continue;
    Seen& seen = projects[text(*labels, label_project)];
    ++seen.states[state];
    seen.files = text(*labels, label_files);
  }
  for (const std::string& filter : invocation.list("filter")) {
    if (!filter.starts_with("name=")) return refuse("unknown filter \"{}\": only name=... is known", filter);
    std::erase_if(projects, [&](const auto& project) {
      return project.first.find(filter.substr(5)) == std::string::npos;
    });
  }
  Json all = Json::array();
  std::string table = "NAME\tSTATUS\tCONFIG FILES\n";
  for (const auto& [name, seen] : projects) {
    std::string status;
    for (const auto& [state, count] : seen.states)
      status += fmt::format("{}{}({})", status.empty() ? "" : ", ", state, count);
    table += fmt::format("{}\t{}\t{}\n", name, status, seen.files);
    all.push_back({{"Name", name}, {"Status", status}, {"ConfigFiles", seen.files}});
    if (invocation.on("quiet")) setup.context.out.line(name);
  }
  if (invocation.on("quiet")) return 0;
  if (invocation.text("format") == "json")
    setup.context.out.line(to_json(all));
  else
    setup.context.out.write(output::align_columns(table));
  return 0;
}

Outcome<int> top(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  for (const Observed& container : containers) {
    if (!container.running()) continue;
    setup.context.out.line(container.name);
    TRY(int code, perform(setup.context, commands::top_command, "top", {container.id}));
    if (code != 0) return code;
    setup.context.out.line("");
  }
  return 0;
}

Outcome<int> port(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name({invocation.argument(0)}));
  int64_t index = invocation.given("index") ? invocation.number("index") : 0;
  TRY(Observed container, session->container(invocation.argument(0), index));
  TRY(Json json, call_json(setup.context.engine(), "GET", path_of("containers", container.id, "json")));
  std::string wanted = fmt::format("{}/{}", invocation.argument(1), invocation.text("protocol"));
  const Json* settings = json_member(json, "NetworkSettings");
  const Json* ports = settings == nullptr ? nullptr : json_member(*settings, "Ports");
  const Json* bindings = ports == nullptr ? nullptr : json_member(*ports, wanted);
  if (bindings == nullptr || bindings->empty()) {
    return Failure::plain(fmt::format("no port {} for container {}", wanted, container.name));
  }
  std::string address = text((*bindings)[0], "HostIp");
  if (address.find(':') != std::string::npos) address = "[" + address + "]";
  setup.context.out.print("{}:{}\n", address, text((*bindings)[0], "HostPort"));
  return 0;
}

Outcome<int> events(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  Query query;
  query.add("filters",
            to_json(Json{{"type", {"container"}},
                         {"label", {fmt::format("{}={}", label_project, session->project.name)}}}));
  Timestamp time = now();
  TRY(std::string since, options::api_time(invocation.text("since"), time));
  TRY(std::string until, options::api_time(invocation.text("until"), time));
  query.add_unless_empty("since", since).add_unless_empty("until", until);
  output::JsonCutter cutter;
  const auto& services = invocation.arguments();
  CHECK(setup.context.engine().stream(
      {.path = "/events", .query = query}, [&](std::string_view bytes) -> Outcome<void> {
        return cutter.feed(bytes, [&](std::string_view one) -> Outcome<void> {
          TRY(Json event, parse_json(one));
          const Json* actor = json_member(event, "Actor");
          const Json* attributes = actor == nullptr ? nullptr : json_member(*actor, "Attributes");
          if (attributes == nullptr) return {};
          std::string service = text(*attributes, label_service);
          if (!services.empty() && std::find(services.begin(), services.end(), service) == services.end())
            return {};
          Json shown = Json::object();
          for (const auto& [key, value] : attributes->items()) {
            if (!key.starts_with("com.docker.compose.")) shown[key] = value;
          }
          Timestamp at = from_unix_nanoseconds(json_int(event, "timeNano").value_or(0));
          if (invocation.on("json")) {
            setup.context.out.line(to_json(Json{{"time", output::local_rfc3339(at)},
                                                {"type", "container"},
                                                {"service", service},
                                                {"id", text(*actor, "ID")},
                                                {"action", text(event, "Action")},
                                                {"attributes", shown}}));
          } else {
            std::string pairs;
            for (const auto& [key, value] : shown.items())
              pairs += fmt::format("{}{}={}", pairs.empty() ? "" : ", ", key, value.get<std::string>());
            setup.context.out.print("{} container {} {} ({})\n", output::local_rfc3339(at),
                                    text(event, "Action"), text(*actor, "ID"), pairs);
          }
          setup.context.out.flush();
          return {};
        });
      }));
  return 0;
}

Outcome<int> version(Setup& setup, const Invocation& invocation) {
  if (invocation.on("short"))
    setup.context.out.line(BERTH_VERSION);
  else if (invocation.text("format") == "json")
    setup.context.out.print("{{\"version\":\"v{}\"}}\n", BERTH_VERSION);
  else
    setup.context.out.print("Berth Compose version v{}\n", BERTH_VERSION);
  return 0;
}

Outcome<int> volumes(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name({}));
  std::vector<std::string> words{fmt::format("--filter=label={}={}", label_project, session->project.name),
                                 invocation.on("quiet") ? "--quiet" : "--quiet=false"};
  if (invocation.given("format")) words.push_back("--format=" + invocation.text("format"));
  return perform(setup.context, commands::list_volumes_command, "volume ls", words);
}

Outcome<int> stats(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  std::vector<std::string> words;
  for (std::string_view flag : {"no-stream", "no-trunc"})
    if (invocation.on(flag)) words.push_back(fmt::format("--{}", flag));
  if (invocation.given("format")) words.push_back("--format=" + invocation.text("format"));
  const size_t flags = words.size();
  for (const Observed& container : containers) {
    if (container.running() || invocation.on("all")) words.push_back(container.name);
  }
  if (words.size() == flags) return 0;
  return perform(setup.context, commands::stats_command, "stats", words);
}

constexpr std::array ps_flags{
    Flag{'a', "all", Type::Bool, "Show stopped containers, too"},
    Flag{.name = "filter",
         .type = Type::List,
         .help = "Show only containers with this status (status=running)"},
    Flag{.name = "format", .type = Type::String, .help = "table or json"},
    Flag{.name = "no-trunc", .help = "Show ids and commands in full"},
    Flag{.name = "orphans",
         .help = "Show containers of services that the file does not have",
         .fallback = "true"},
    Flag{'q', "quiet", Type::Bool, "Print ids alone"},
    Flag{.name = "services", .help = "Print names of services"},
    Flag{.name = "status", .type = Type::List, .help = "Show only containers with this status"},
};
constexpr std::array logs_flags{
    Flag{'f', "follow", Type::Bool, "Go on with new lines as they come"},
    Flag{.name = "index", .type = Type::Int, .help = "Number of the container"},
    Flag{.name = "no-color", .help = "No colours"},
    Flag{.name = "no-log-prefix", .help = "No names before the lines"},
    Flag{.name = "since", .type = Type::String, .help = "Show lines from this time on"},
    Flag{'n', "tail", Type::String, "Number of lines to show from the end", "all"},
    Flag{'t', "timestamps", Type::Bool, "Put the time before each line"},
    Flag{.name = "until", .type = Type::String, .help = "Show lines before this time"},
};
constexpr std::array ls_flags{
    Flag{'a', "all", Type::Bool, "Show stopped projects, too"},
    Flag{.name = "filter", .type = Type::List, .help = "Show only projects of this name (name=...)"},
    Flag{.name = "format", .type = Type::String, .help = "table or json", .fallback = "table"},
    Flag{'q', "quiet", Type::Bool, "Print names alone"},
};
constexpr std::array port_flags{
    Flag{.name = "index", .type = Type::Int, .help = "Number of the container"},
    Flag{.name = "protocol", .type = Type::String, .help = "tcp or udp", .fallback = "tcp"},
};
constexpr std::array events_flags{
    Flag{.name = "json", .help = "One JSON object per event"},
    Flag{.name = "since", .type = Type::String, .help = "Show events since this time"},
    Flag{.name = "until", .type = Type::String, .help = "Show events until this time"},
};
constexpr std::array version_flags{
    Flag{'f', "format", Type::String, "pretty or json"},
    Flag{.name = "short", .help = "The number alone"},
};
constexpr std::array volumes_flags{
    Flag{.name = "format", .type = Type::String, .help = "table, json or a template"},
    Flag{'q', "quiet", Type::Bool, "Print names alone"},
};
constexpr std::array stats_flags{
    Flag{'a', "all", Type::Bool, "Show containers that do not run, too"},
    Flag{.name = "format", .type = Type::String, .help = "table, json or a template"},
    Flag{.name = "no-stream", .help = "Print once"},
    Flag{.name = "no-trunc", .help = "Show ids in full"},
};

constexpr std::string_view services = "[OPTIONS] [SERVICE...]";
constexpr auto any = grammar::at_least(0);
constexpr Command ps_command{
    .usage = services, .summary = "List containers", .flags = ps_flags, .arity = any};
constexpr Command logs_command{
    .usage = services, .summary = "Show what containers have written", .flags = logs_flags, .arity = any};
constexpr Command ls_command{.usage = "[OPTIONS]", .summary = "List projects that run", .flags = ls_flags};
constexpr Command top_command{.usage = "[SERVICE...]", .summary = "Show processes", .arity = any};
constexpr Command port_command{.usage = "[OPTIONS] SERVICE PRIVATE_PORT",
                               .summary = "Print where a port is published",
                               .flags = port_flags,
                               .arity = grammar::exactly(2)};
constexpr Command events_command{
    .usage = services, .summary = "Print events as they come", .flags = events_flags, .arity = any};
constexpr Command version_command{
    .usage = "[OPTIONS]", .summary = "Print the version", .flags = version_flags};
constexpr Command volumes_command{
    .usage = "[OPTIONS]", .summary = "List the project's volumes", .flags = volumes_flags, .arity = any};
constexpr Command stats_command{
    .usage = services, .summary = "Show what containers use", .flags = stats_flags, .arity = any};

constexpr std::array table{
    Subcommand{"ps", &ps_command, list_containers},   Subcommand{"logs", &logs_command, logs},
    Subcommand{"ls", &ls_command, list_projects},     Subcommand{"top", &top_command, top},
    Subcommand{"port", &port_command, port},          Subcommand{"events", &events_command, events},
    Subcommand{"version", &version_command, version}, Subcommand{"volumes", &volumes_command, volumes},
    Subcommand{"stats", &stats_command, stats},
};

}  // namespace

std::span<const Subcommand> view_subcommands() {
  return table;
}

}  // namespace berth::cli::compose
